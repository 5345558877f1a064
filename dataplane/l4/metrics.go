package l4

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/fabric"
)

type metrics struct {
	ports     prometheus.Gauge
	unopened  prometheus.Gauge
	open      *prometheus.GaugeVec   // by kind
	accepted  *prometheus.CounterVec // by kind
	closed    *prometheus.CounterVec // by reason
	carried   map[fabric.Network]carried
	acceptErr prometheus.Counter
	flows     prometheus.Gauge
	ended     *prometheus.CounterVec // flows, by reason
	dropped   *prometheus.CounterVec // datagrams, by reason
}

// carried counts bytes of one network by direction.
type carried struct{ up, down prometheus.Counter }

func (c carried) moved(up bool, n int64) {
	if up {
		c.up.Add(float64(n))
	} else {
		c.down.Add(float64(n))
	}
}

// A reason is why something was not served; it is the label of a counter.
type reason string

const (
	reasonNotAllowed reason = "not_allowed"
	reasonPerIP      reason = "per_ip"
	reasonCrowded    reason = "crowded"
	reasonQuota      reason = "quota" // the organization's, of requests and connections
	reasonShare      reason = "share" // of the connections that the organization may have
	reasonNoTarget   reason = "no_target"
	reasonDial       reason = "dial"
	reasonTLS        reason = "tls"
	reasonNoRoute    reason = "no_route"
	reasonDraining   reason = "draining"

	reasonOpening reason = "opening" // too many flows wait for their target
	reasonQueue   reason = "queue"   // the flow's is full
	reasonMemory  reason = "memory"  // all of them together are
	reasonClient  reason = "client"  // the system does not take the answer
	reasonIdle    reason = "idle"
	reasonRoom    reason = "room"    // another one needed its place
	reasonStream  reason = "stream"  // the way to the target ended
	reasonApply   reason = "applied" // no longer configured
)

// kinds of connections.
const (
	kindPort = "port"
	kindName = "name"
)

func newMetrics(reg prometheus.Registerer, queued func() float64) *metrics {
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_l4_bytes_total", Help: "Bytes carried, by network and direction."}, []string{"network", "direction"})
	m := &metrics{
		ports:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "node_l4_ports", Help: "Ports of services that are open."}),
		unopened:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "node_l4_ports_unopened", Help: "Ports of services that can't be opened."}),
		open:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "node_l4_connections", Help: "Open TCP connections, by how they are reached."}, []string{"kind"}),
		accepted:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_l4_accepted_total", Help: "TCP connections accepted, by how they are reached."}, []string{"kind"}),
		closed:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_l4_closed_total", Help: "TCP connections closed instead of being served, by reason."}, []string{"reason"}),
		carried:   map[fabric.Network]carried{},
		acceptErr: prometheus.NewCounter(prometheus.CounterOpts{Name: "node_l4_accept_errors_total", Help: "Failed accepts and reads of sockets; serving goes on."}),
		flows:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "node_l4_flows", Help: "UDP clients that have a target."}),
		ended:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_l4_flows_ended_total", Help: "UDP clients that no longer have a target, by reason."}, []string{"reason"}),
		dropped:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_l4_datagrams_dropped_total", Help: "Datagrams dropped, by reason."}, []string{"reason"}),
	}
	for _, n := range []fabric.Network{fabric.TCP, fabric.UDP} {
		m.carried[n] = carried{bytes.WithLabelValues(n.String(), "up"), bytes.WithLabelValues(n.String(), "down")}
	}
	for _, k := range []string{kindPort, kindName} {
		m.open.WithLabelValues(k)
		m.accepted.WithLabelValues(k)
	}
	for _, r := range []reason{reasonNotAllowed, reasonPerIP, reasonCrowded, reasonQuota, reasonShare, reasonNoTarget, reasonDial, reasonTLS, reasonNoRoute, reasonDraining} {
		m.closed.WithLabelValues(string(r))
	}
	for _, r := range []reason{reasonIdle, reasonRoom, reasonStream, reasonApply, reasonDial, reasonDraining} {
		m.ended.WithLabelValues(string(r))
	}
	for _, r := range []reason{reasonNotAllowed, reasonQuota, reasonOpening, reasonQueue, reasonMemory, reasonClient} {
		m.dropped.WithLabelValues(string(r))
	}
	reg.MustRegister(m.ports, m.unopened, m.open, m.accepted, m.closed, bytes, m.acceptErr, m.flows, m.ended, m.dropped,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "node_l4_queued_bytes", Help: "Bytes of datagrams that wait for their stream."}, queued))
	return m
}

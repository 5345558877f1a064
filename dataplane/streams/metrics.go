package streams

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/shared/identity"
)

type nodeMetrics struct {
	accepts *prometheus.CounterVec
	refuses *prometheus.CounterVec
	waits   prometheus.Counter
}

func newNodeMetrics(reg prometheus.Registerer, counts func() (idle, busy, up int)) *nodeMetrics {
	m := &nodeMetrics{
		accepts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "node_streams_accepted_total", Help: "Connections that were dialled here, by protocol and whether the TLS session was resumed.",
		}, []string{"protocol", "resumed"}),
		refuses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "node_streams_refused_total", Help: "Connections that were closed instead of being used, by reason.",
		}, []string{"reason"}),
		waits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "node_streams_waits_total", Help: "Streams that found no idle connection and waited for one."}),
	}
	for _, r := range []string{"handshake", "unknown", "surplus"} {
		m.refuses.WithLabelValues(r)
	}
	conns := func(state string, n func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "node_streams_connections", Help: "Stream connections, by state.", ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 { return float64(n()) })
	}
	reg.MustRegister(m.accepts, m.refuses, m.waits,
		conns("idle", func() int { idle, _, _ := counts(); return idle }),
		conns("busy", func() int { _, busy, _ := counts(); return busy }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "node_streams_peers", Help: "Peers whose control connection answers.",
		}, func() float64 { _, _, up := counts(); return float64(up) }))
	return m
}

func (m *nodeMetrics) refused(reason string) { m.refuses.WithLabelValues(reason).Inc() }

func (m *nodeMetrics) accepted(protocol string, resumed bool) {
	m.accepts.WithLabelValues(protocol, strconv.FormatBool(resumed)).Inc()
}

type connectorMetrics struct {
	nodes prometheus.Gauge
	conns prometheus.Gauge
	fails *prometheus.CounterVec
}

// newConnectorMetrics names metrics after what they count: those of a node are of its relaying.
func newConnectorMetrics(reg prometheus.Registerer, d dialect, copied func() bool) *connectorMetrics {
	prefix := "node_connector"
	if d.kind == identity.Node {
		prefix = "node_relay"
	}
	m := &connectorMetrics{
		nodes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "_stream_nodes", Help: "Nodes whose control connection answers."}),
		conns: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "_stream_connections", Help: "Stream connections, idle ones included."}),
		fails: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "_stream_dial_errors_total", Help: "Connections to nodes that could not be made, by protocol.",
		}, []string{"protocol"}),
	}
	for _, p := range []string{d.control, d.stream} {
		m.fails.WithLabelValues(p)
	}
	reg.MustRegister(m.nodes, m.conns, m.fails, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: prefix + "_identity_copied", Help: "1 while another process connects to nodes with the identity of this one.",
	}, func() float64 {
		if copied() {
			return 1
		}
		return 0
	}))
	return m
}

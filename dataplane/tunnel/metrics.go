package tunnel

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/liveness"
)

// metrics is also the collector of what only the device knows.
type metrics struct {
	dropped    [verdicts]prometheus.Counter
	refused    [refusalKinds]prometheus.Counter
	heals      [liveness.Rebind + 1]prometheus.Counter
	tlsLinks   *prometheus.CounterVec
	tlsDropped prometheus.Counter
	peers      *prometheus.Desc
	states     func() []PeerState
}

func newMetrics(reg prometheus.Registerer, states func() []PeerState) *metrics {
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "node_tunnel_dropped_packets_total", Help: "Packets from tunnels that the filter refused, by reason.",
	}, []string{"reason"})
	heals := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "node_tunnel_heal_steps_total", Help: "What was done about tunnels that were down, by step.",
	}, []string{"step"})
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "node_tunnel_refused_handshakes_total", Help: "Packets that were refused before WireGuard saw them, by reason.",
	}, []string{"reason"})
	m := &metrics{
		tlsLinks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "node_tunnel_tls_links_total", Help: "TLS connections for packets of WireGuard, by how they began.",
		}, []string{"result"}),
		tlsDropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "node_tunnel_tls_dropped_packets_total", Help: "Packets that did not fit in the queue of a TLS connection.",
		}),
		peers: prometheus.NewDesc("node_tunnel_peers",
			"Peers configured, by kind and by whether they are up.", []string{"kind", "up"}, nil),
		states: states,
	}
	for v := taken + 1; v < verdicts; v++ {
		m.dropped[v] = dropped.WithLabelValues(v.String())
	}
	for r := range m.refused {
		m.refused[r] = refused.WithLabelValues(refusal(r).String())
	}
	for s := range m.heals {
		m.heals[s] = heals.WithLabelValues(liveness.Step(s).String())
	}
	for _, r := range []string{"ok", "failed", "refused"} {
		m.tlsLinks.WithLabelValues(r)
	}
	reg.MustRegister(dropped, refused, heals, m.tlsLinks, m.tlsDropped, m)
	return m
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.peers }

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	type series struct{ kind, up string }
	n := map[series]int{}
	for _, k := range []Kind{Mesh, Connector, Node, Stock} {
		n[series{k.String(), "true"}], n[series{k.String(), "false"}] = 0, 0
	}
	for _, s := range m.states() {
		up := "false"
		if s.Up {
			up = "true"
		}
		n[series{s.Kind.String(), up}]++
	}
	for s, v := range n {
		ch <- prometheus.MustNewConstMetric(m.peers, prometheus.GaugeValue, float64(v), s.kind, s.up)
	}
}

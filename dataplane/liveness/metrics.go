package liveness

import "github.com/prometheus/client_golang/prometheus"

// Reasons for a lost heartbeat.
const (
	dropStranger  = "stranger"  // from nobody who is configured
	dropMalformed = "malformed" // not a heartbeat, or of a version to come
	dropFlood     = "flood"     // more questions than anybody needs to ask
	dropRead      = "read"
	dropWrite     = "write"
)

// metrics is also the collector of the number of paths.
type metrics struct {
	dropped *prometheus.CounterVec
	changes *prometheus.CounterVec
	paths   *prometheus.Desc
	count   func() [Down + 1]int
}

func newMetrics(reg prometheus.Registerer, count func() [Down + 1]int) *metrics {
	m := &metrics{
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "node_liveness_dropped_total", Help: "Heartbeats that were not taken in or not sent, by reason.",
		}, []string{"reason"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "node_liveness_changes_total", Help: "Changes of the state of a path, by the new state.",
		}, []string{"to"}),
		paths: prometheus.NewDesc("node_liveness_paths", "Paths by state.", []string{"state"}, nil),
		count: count,
	}
	for _, r := range []string{dropStranger, dropMalformed, dropFlood, dropRead, dropWrite} {
		m.dropped.WithLabelValues(r)
	}
	reg.MustRegister(m.dropped, m.changes, m)
	return m
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.paths }

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for s, n := range m.count() {
		ch <- prometheus.MustNewConstMetric(m.paths, prometheus.GaugeValue, float64(n), State(s).String())
	}
}

package fabric

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	dials    *prometheus.CounterVec
	dialTime prometheus.Histogram
	relays   *prometheus.CounterVec
	relayed  *prometheus.CounterVec
	relaying prometheus.Gauge
	bytes    *prometheus.CounterVec
	sites    prometheus.Gauge
	carrier  *prometheus.GaugeVec
	changes  *prometheus.CounterVec
}

// prefers counts that a connector's carrier is another one; "" is none.
func (m *metrics) prefers(from, to string) {
	if from != "" {
		m.carrier.WithLabelValues(from).Dec()
	}
	if to != "" {
		m.carrier.WithLabelValues(to).Inc()
	}
	if from != "" && to != "" {
		m.changes.WithLabelValues(to).Inc()
	}
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		dials: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "node_fabric_dials_total", Help: "Streams asked for by listeners of this node, by how it ended.",
		}, []string{"status"}),
		dialTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "node_fabric_dial_seconds", Help: "Time until a stream to a target was open.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		relays: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "node_fabric_relays_total", Help: "Streams that other nodes pass on for listeners of this one, by the carrier to that node.",
		}, []string{"carrier"}),
		relayed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "node_fabric_relayed_total", Help: "Streams that other nodes asked this one to pass on, by how it ended.",
		}, []string{"status"}),
		relaying: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "node_fabric_relay_streams", Help: "Streams passed on for other nodes now."}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "node_fabric_relay_bytes_total", Help: "Bytes passed on for other nodes, by direction, counted when a stream ends.",
		}, []string{"direction"}),
		sites: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "node_fabric_sites", Help: "Sites known."}),
		carrier: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "node_fabric_connectors", Help: "Connectors that were dialled, by the carrier that is preferred.",
		}, []string{"carrier"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "node_fabric_carrier_changes_total", Help: "Times that another carrier became the preferred one, by which.",
		}, []string{"carrier"}),
	}
	for s := StatusConnected; s <= StatusBadRequest; s++ {
		m.dials.WithLabelValues(s.label())
		m.relayed.WithLabelValues(s.label())
	}
	for _, c := range []string{CarrierStream, CarrierWireGuard} {
		m.relays.WithLabelValues(c)
		m.carrier.WithLabelValues(c)
		m.changes.WithLabelValues(c)
	}
	reg.MustRegister(m.dials, m.dialTime, m.relays, m.relayed, m.relaying, m.bytes, m.sites, m.carrier, m.changes)
	return m
}

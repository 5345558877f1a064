package sni

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	open      prometheus.Gauge
	accepted  prometheus.Counter
	passed    prometheus.Counter
	ended     prometheus.Counter
	own       prometheus.Counter
	closed    *prometheus.CounterVec // by reason
	bytes     *prometheus.CounterVec // by direction
	acceptErr prometheus.Counter
	routes    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		open:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "node_sni_connections", Help: "Open connections, those handed to TLS termination included."}),
		accepted:  prometheus.NewCounter(prometheus.CounterOpts{Name: "node_sni_accepted_total", Help: "Connections accepted."}),
		passed:    prometheus.NewCounter(prometheus.CounterOpts{Name: "node_sni_passed_total", Help: "Connections connected to a passthrough target."}),
		ended:     prometheus.NewCounter(prometheus.CounterOpts{Name: "node_sni_terminated_total", Help: "Connections handed to TLS termination."}),
		own:       prometheus.NewCounter(prometheus.CounterOpts{Name: "node_sni_own_total", Help: "Connections of protocols of the node's own."}),
		closed:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_sni_closed_total", Help: "Connections closed instead of being served, by reason."}, []string{"reason"}),
		bytes:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_sni_bytes_total", Help: "Bytes passed through, by direction."}, []string{"direction"}),
		acceptErr: prometheus.NewCounter(prometheus.CounterOpts{Name: "node_sni_accept_errors_total", Help: "Failed accepts; accepting goes on."}),
		routes:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "node_sni_routes", Help: "Hostnames in the table."}),
	}
	for _, r := range reasons {
		m.closed.WithLabelValues(string(r))
	}
	reg.MustRegister(m.open, m.accepted, m.passed, m.ended, m.own, m.closed, m.bytes, m.acceptErr, m.routes)
	return m
}

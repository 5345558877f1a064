package challenge

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	requests *prometheus.CounterVec // by result
	shed     prometheus.Counter
	proofs   *prometheus.CounterVec // by result
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_plain_requests_total", Help: "Requests to the port without TLS, by result."}, []string{"result"}),
		shed:     prometheus.NewCounter(prometheus.CounterOpts{Name: "node_plain_shed_total", Help: "Connections to the port without TLS closed because there were too many."}),
		proofs:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_tls_challenges_total", Help: "Handshakes of certificate authorities for TLS-ALPN challenges, by result."}, []string{"result"}),
	}
	for _, r := range []string{"challenge", "redirected", "unknown"} {
		m.requests.WithLabelValues(r)
	}
	for _, r := range []string{"answered", "failed"} {
		m.proofs.WithLabelValues(r)
	}
	reg.MustRegister(m.requests, m.shed, m.proofs)
	return m
}

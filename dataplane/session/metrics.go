package session

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	known, verified, refused prometheus.Counter
	renewed                  *prometheus.CounterVec // by result
	revoked, stale           prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	checks := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_session_checks_total", Help: "Tokens that requests have shown: known, verified anew, or refused."}, []string{"result"})
	m := &metrics{
		known: checks.WithLabelValues("known"), verified: checks.WithLabelValues("verified"), refused: checks.WithLabelValues("refused"),
		renewed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_session_renewals_total", Help: "Renewals of tokens asked of the control plane, by result."}, []string{"result"}),
		stale:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "node_session_stale_subjects", Help: "Users and organizations whose tokens from before a moment are renewed before they count."}),
		revoked: prometheus.NewGauge(prometheus.GaugeOpts{Name: "node_session_revocations", Help: "Revocations that are known."}),
	}
	for _, r := range []string{"ok", "ended", "failed", "dropped"} {
		m.renewed.WithLabelValues(r)
	}
	reg.MustRegister(checks, m.renewed, m.revoked, m.stale)
	return m
}

package access

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/shared/policy"
)

type metrics struct {
	decisions [3]prometheus.Counter // by action
	attempts  *prometheus.CounterVec
	unplaced  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_access_decisions_total", Help: "Requests and connections that a policy decided about, by what became of them."}, []string{"action"})
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_access_attempts_total", Help: "PINs and passwords that were tried, by result."}, []string{"result"}),
		unplaced: prometheus.NewCounter(prometheus.CounterOpts{Name: "node_access_unplaced_total", Help: "Decisions that asked for a country or an autonomous system where neither is known."}),
	}
	for a := range m.decisions {
		m.decisions[a] = decisions.WithLabelValues(policy.Action(a).String())
	}
	for _, r := range []string{"right", "wrong", "limited", "busy"} {
		m.attempts.WithLabelValues(r)
	}
	reg.MustRegister(decisions, m.attempts, m.unplaced)
	return m
}

func (m *metrics) decided(d policy.Decision) { m.decisions[d.Action].Inc() }

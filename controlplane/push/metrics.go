package push

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/snapshot"
)

type metrics struct {
	convergence          prometheus.Histogram
	revision             prometheus.Gauge
	streams              *prometheus.GaugeVec
	sent, acks, nacks    *prometheus.CounterVec // responses by type
	resources            *prometheus.CounterVec // sent, by type
	resumes              *prometheus.CounterVec // by kind
	logEntries, logBytes prometheus.GaugeFunc
	waiting              prometheus.GaugeFunc
}

func newMetrics(reg prometheus.Registerer, s *Server) *metrics {
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	m := &metrics{
		convergence: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cp_push_convergence_seconds", Help: "From commit until every affected stream had applied the change.",
			Buckets: []float64{.005, .01, .02, .035, .05, .075, .1, .15, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		revision:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "cp_push_revision", Help: "Newest published revision."}),
		streams:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "cp_push_streams", Help: "Open streams, by kind of reader."}, []string{"kind"}),
		sent:       counter("cp_push_responses_total", "Responses sent, by type.", "type"),
		acks:       counter("cp_push_acks_total", "Responses acknowledged, by type.", "type"),
		nacks:      counter("cp_push_nacks_total", "Responses rejected, by type; a checkpoint is rejected if one of its resources is.", "type"),
		resources:  counter("cp_push_resources_total", "Resources sent in transactions, by type.", "type"),
		resumes:    counter("cp_push_resumes_total", "Streams that started, by what they needed: current, tail, types, full.", "kind"),
		logEntries: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cp_push_log_entries", Help: "Changes that readers can resume from."}, func() float64 { n, _ := s.index.size(); return float64(n) }),
		logBytes:   prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cp_push_log_bytes", Help: "Size of the change logs."}, func() float64 { _, n := s.index.size(); return float64(n) }),
		waiting:    prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cp_push_full_waiting", Help: "Readers that wait for their turn to get a full view."}, func() float64 { return float64(s.admission.depth()) }),
	}
	reg.MustRegister(m.convergence, m.revision, m.streams, m.sent, m.acks, m.nacks, m.resources, m.resumes, m.logEntries, m.logBytes, m.waiting)
	return m
}

// convergence measures how long it takes until every affected stream has applied a change.
type convergence struct {
	rev       model.Revision
	committed time.Time
	waiting   atomic.Int64
	last      atomic.Int64 // unix nanoseconds of the last ACK
	h         prometheus.Histogram
}

func newConvergence(ch snapshot.Changes, streams int, h prometheus.Histogram) *convergence {
	c := &convergence{rev: ch.Revision, committed: ch.CommittedAt, h: h}
	c.waiting.Store(int64(streams))
	return c
}

// reached counts a stream that has applied rev, if that is far enough.
func (c *convergence) reached(rev model.Revision) bool {
	if rev < c.rev {
		return false
	}
	c.last.Store(time.Now().UnixNano())
	c.left()
	return true
}

// left counts a stream out; one that ended can't be waited for.
func (c *convergence) left() {
	if c.waiting.Add(-1) > 0 {
		return
	}
	if last := c.last.Load(); last != 0 && !c.committed.IsZero() {
		c.h.Observe(max(0, time.Unix(0, last).Sub(c.committed).Seconds()))
	}
}

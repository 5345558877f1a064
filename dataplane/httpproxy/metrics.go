package httpproxy

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	inFlight   prometheus.Gauge
	upgraded   prometheus.Gauge
	routes     prometheus.Gauge
	requests   *prometheus.CounterVec // by class of status
	failures   *prometheus.CounterVec // by reason
	refused    *prometheus.CounterVec // by reason
	retries    *prometheus.CounterVec // by reason
	handshakes *prometheus.CounterVec // by result
	seconds    prometheus.Histogram
}

// failures lists what classify can say, and "cut": an answer that stops in the middle.
var failures = []string{"cut", "wire", "slow_body", "idle", "client_gone", "unavailable", "timeout", "target"}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		inFlight:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "node_http_in_flight", Help: "Requests being served, upgraded connections included."}),
		upgraded:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "node_http_upgraded", Help: "Open upgraded connections."}),
		routes:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "node_http_routes", Help: "Hostnames in the table."}),
		requests:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_http_requests_total", Help: "Requests, by class of status; aborted: without one."}, []string{"class"}),
		failures:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_http_failures_total", Help: "Requests that got no whole answer of a target, by reason."}, []string{"reason"}),
		refused:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_http_refused_total", Help: "Requests that no target was asked for, by reason."}, []string{"reason"}),
		retries:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_http_retries_total", Help: "Further attempts of requests, by what became of the one before."}, []string{"after"}),
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_tls_handshakes_total", Help: "TLS handshakes, by result."}, []string{"result"}),
		seconds:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: "node_http_request_seconds", Help: "From the request's head to the end of its answer.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15)}),
	}
	for _, r := range refusals {
		m.refused.WithLabelValues(r.Reason)
	}
	for _, r := range failures {
		m.failures.WithLabelValues(r)
	}
	for _, unsent := range []bool{true, false} {
		m.retries.WithLabelValues(retryReason(unsent))
	}
	for _, r := range []string{"ok", "no_certificate", "failed"} {
		m.handshakes.WithLabelValues(r)
	}
	reg.MustRegister(m.inFlight, m.upgraded, m.routes, m.requests, m.failures, m.refused, m.retries, m.handshakes, m.seconds)
	return m
}

func (m *metrics) request(status int, failure string, took time.Duration) {
	class := "aborted"
	if status > 0 {
		class = strconv.Itoa(status/100) + "xx"
	}
	m.requests.WithLabelValues(class).Inc()
	for _, f := range failures {
		if f == failure {
			m.failures.WithLabelValues(f).Inc()
		}
	}
	m.seconds.Observe(took.Seconds())
}

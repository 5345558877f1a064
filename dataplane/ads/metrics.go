package ads

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	connected, revision prometheus.Gauge
	resources           *prometheus.CounterVec // by what: upsert, removal, rejection
	transactions, full  prometheus.Counter
	ends                *prometheus.CounterVec // of streams, by cause
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		connected:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "node_ads_connected", Help: "1 while a stream to the control plane is open."}),
		revision:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "node_ads_applied_revision", Help: "Revision of the newest applied checkpoint."}),
		resources:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_ads_resources_total", Help: "Resources in applied transactions, by what happened to them."}, []string{"what"}),
		transactions: prometheus.NewCounter(prometheus.CounterOpts{Name: "node_ads_transactions_total", Help: "Applied checkpoints."}),
		full:         prometheus.NewCounter(prometheus.CounterOpts{Name: "node_ads_resets_total", Help: "Applied checkpoints in which at least one type came in full."}),
		ends:         prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_ads_stream_ends_total", Help: "Ended streams, by cause."}, []string{"cause"}),
	}
	reg.MustRegister(m.connected, m.revision, m.resources, m.transactions, m.full, m.ends)
	return m
}

package apply

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	saves   *prometheus.CounterVec
	saved   prometheus.Gauge
	unsaved prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		saves:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_snapshot_saves_total", Help: "Snapshots written to disk, by result."}, []string{"result"}),
		unsaved: prometheus.NewGauge(prometheus.GaugeOpts{Name: "node_snapshot_unsaved", Help: "1 while the snapshot that is served could not be written to disk."}),
		saved:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "node_snapshot_saved_timestamp_seconds", Help: "When the newest snapshot was written to disk."}),
	}
	reg.MustRegister(m.saves, m.saved, m.unsaved)
	return m
}

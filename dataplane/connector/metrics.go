package connector

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/fabric"
)

type metrics struct {
	streams    map[fabric.Status]prometheus.Counter
	open       prometheus.Gauge
	toTarget   prometheus.Counter
	fromTarget prometheus.Counter
	lost       prometheus.Counter
	dialTime   prometheus.Histogram
	targets    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	streams := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "node_connector_streams_total", Help: "Streams from nodes, by how they were answered.",
	}, []string{"status"})
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "node_connector_bytes_total", Help: "Bytes carried, by direction, counted when a stream ends.",
	}, []string{"direction"})
	m := &metrics{
		streams: map[fabric.Status]prometheus.Counter{},
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "node_connector_streams", Help: "Streams open now."}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "node_connector_datagrams_lost_total", Help: "Datagrams that a target did not take, and errors that came back from the network."}),
		toTarget: bytes.WithLabelValues("to_target"), fromTarget: bytes.WithLabelValues("from_target"),
		dialTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "node_connector_dial_seconds", Help: "Time until a target took a connection, name resolution included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
		targets: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "node_connector_targets", Help: "Targets that may be dialled."}),
	}
	for s, label := range map[fabric.Status]string{
		fabric.StatusConnected: "connected", fabric.StatusNotAllowed: "not_allowed", fabric.StatusDialFailed: "dial_failed",
		fabric.StatusBadRequest: "bad_request",
	} {
		m.streams[s] = streams.WithLabelValues(label)
	}
	reg.MustRegister(streams, bytes, m.open, m.lost, m.dialTime, m.targets)
	return m
}

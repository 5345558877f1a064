package dns

import (
	"strconv"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

type transport int

const (
	overUDP transport = iota
	overTCP
)

func (t transport) String() string { return [...]string{"udp", "tcp"}[t] }

// Reasons to drop a packet or a connection.
const (
	dropMalformed   = "malformed"   // no header, an answer, or longer than any query
	dropConnections = "connections" // more TCP connections than maxConns
	dropWrite       = "write"       // the answer could not be sent
	dropRead        = "read"        // the socket reported an error
)

// metrics resolves its labels ahead: a label lookup costs a tenth of a whole answer.
type metrics struct {
	queries   [2][dns.RcodeBadVers + 1]prometheus.Counter
	dropped   *prometheus.CounterVec
	truncated prometheus.Counter
	limited   prometheus.Counter
	panics    prometheus.Counter
	conns     prometheus.Gauge
	zones     prometheus.Gauge
	serial    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	queries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "node_dns_queries_total", Help: "DNS queries answered, by transport and rcode.",
	}, []string{"transport", "rcode"})
	m := &metrics{
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "node_dns_dropped_total", Help: "DNS packets or connections dropped without an answer, by transport and reason.",
		}, []string{"transport", "reason"}),
		truncated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "node_dns_truncated_total", Help: "Answers that did not fit and were sent empty with the TC bit."}),
		limited: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "node_dns_limited_total", Help: "Answers over UDP that were one too many for their network, and were sent empty with the TC bit."}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "node_dns_panics_total", Help: "Queries answered SERVFAIL because answering them panicked."}),
		conns: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "node_dns_tcp_connections", Help: "Open TCP connections of DNS clients."}),
		zones: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "node_dns_zones", Help: "Zones served."}),
		serial: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "node_dns_serial", Help: "SOA serial of the zones served."}),
	}
	for _, t := range []transport{overUDP, overTCP} {
		for rcode := range m.queries[t] {
			label := dns.RcodeToString[rcode]
			switch {
			case rcode == dns.RcodeBadVers:
				label = "BADVERS" // miekg/dns calls 16 BADSIG, its TSIG meaning
			case label == "":
				label = strconv.Itoa(rcode)
			}
			switch rcode { // only those that are given exist as series
			case dns.RcodeSuccess, dns.RcodeFormatError, dns.RcodeServerFailure, dns.RcodeNameError,
				dns.RcodeNotImplemented, dns.RcodeRefused, dns.RcodeBadVers:
				m.queries[t][rcode] = queries.WithLabelValues(t.String(), label)
			}
		}
	}
	reg.MustRegister(queries, m.dropped, m.truncated, m.limited, m.panics, m.conns, m.zones, m.serial)
	return m
}

func (m *metrics) drop(t transport, reason string) {
	m.dropped.WithLabelValues(t.String(), reason).Inc()
}

package gossip

import "github.com/prometheus/client_golang/prometheus"

// Reasons to drop a packet or a connection.
const (
	dropOff         = "off"         // gossip is off: no keys, or no address of this node
	dropMalformed   = "malformed"   // no packet of gossip has this size, or no message this form
	dropTooLong     = "too_long"    // a stream yields more than the largest record
	dropConnections = "connections" // more connections than knownConns or otherConns
	dropRead        = "read"        // the socket reported an error
	dropWrite       = "write"       // the packet could not be sent
	dropRefused     = "refused"     // a member that is no peer: revoked, or not pushed yet
	dropQueue       = "queue"       // a delta that newer ones pushed out of the queue
	dropMemberlist  = "memberlist"  // memberlist complained: mostly what no key opens
)

type metrics struct {
	received, sent prometheus.Counter
	dropped        *prometheus.CounterVec
	conns          prometheus.Gauge
	members        *prometheus.GaugeVec
	changes        prometheus.Counter
	restarts       prometheus.Counter
	queue          prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "node_gossip_bytes_total", Help: "Payload of gossip, by direction."}, []string{"direction"})
	m := &metrics{
		received: bytes.WithLabelValues("received"),
		sent:     bytes.WithLabelValues("sent"),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "node_gossip_dropped_total", Help: "Packets, connections and messages of gossip dropped, by reason."}, []string{"reason"}),
		conns: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "node_gossip_connections", Help: "Open TCP connections that others made."}),
		members: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "node_gossip_nodes", Help: "Other nodes, by what gossip says of them."}, []string{"state"}),
		changes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "node_gossip_changes_total", Help: "Changes of what is known of other nodes."}),
		restarts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "node_gossip_restarts_total", Help: "Times that the failure detector was started, with other settings or for the first time."}),
		queue: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "node_gossip_queue", Help: "Messages waiting to be told."}),
	}
	reg.MustRegister(bytes, m.dropped, m.conns, m.members, m.changes, m.restarts, m.queue)
	return m
}

func (m *metrics) drop(reason string) { m.dropped.WithLabelValues(reason).Inc() }

package streams

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/shared/identity"
)

// ConnectorConfig is all that a Connector knows.
type ConnectorConfig struct {
	Nodes map[string]netip.AddrPort // node id → its TLS port
}

// Handler carries one stream that a node has opened. The node is verified; conn is closed when it returns,
// and when ctx ends.
type Handler func(ctx context.Context, conn net.Conn, node string)

// Options are what NewConnector needs.
type Options struct {
	Credentials identity.Credentials
	Handler     Handler
	TUN         func() bool // our tunnel is an interface of the system
	Log         *slog.Logger
	Registerer  prometheus.Registerer
}

// Connector is the end of stream connections at a site: it dials them. Safe for concurrent use.
type Connector struct {
	opts Options
	m    *connectorMetrics
	dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)

	changed chan struct{} // holds one: nodes is another
	mu      sync.Mutex
	nodes   map[string]netip.AddrPort // guarded by mu; replaced whole
}

// NewConnector makes a Connector that knows no node.
func NewConnector(o Options) *Connector {
	var dialer net.Dialer
	return &Connector{
		opts: o, m: newConnectorMetrics(o.Registerer), changed: make(chan struct{}, 1),
		dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", to.String())
		},
	}
}

// String names the task.
func (c *Connector) String() string { return "stream connections" }

// Apply replaces the configuration. Streams from nodes that are no longer there have some time to end.
func (c *Connector) Apply(cfg ConnectorConfig) {
	c.mu.Lock()
	c.nodes = cfg.Nodes
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// Run keeps connections to every node until ctx ends; then it closes them and all streams.
func (c *Connector) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	type entry struct {
		to   netip.AddrPort
		stop context.CancelFunc
	}
	links := map[string]entry{}
	for {
		c.mu.Lock()
		nodes := c.nodes
		c.mu.Unlock()
		for id, e := range links {
			if nodes[id] != e.to {
				e.stop()
				delete(links, id)
			}
		}
		for id, to := range nodes {
			if _, ok := links[id]; ok {
				continue
			}
			wanted, stop := context.WithCancel(ctx)
			l := newLink(c, id, to)
			running.Go(func() { l.run(ctx, wanted) })
			links[id] = entry{to, stop}
		}
		select {
		case <-ctx.Done():
			for _, e := range links {
				e.stop()
			}
			return nil
		case <-c.changed:
		}
	}
}

// connect dials a node and agrees on a protocol.
func (c *Connector) connect(ctx context.Context, to netip.AddrPort, cfg *tls.Config) (*tls.Conn, error) {
	within, cancel := context.WithTimeout(ctx, connectTime)
	raw, err := c.dial(within, to)
	cancel()
	if err != nil {
		return nil, err
	}
	tune(raw)
	conn := tls.Client(raw, cfg)
	if err := handshake(ctx, conn); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

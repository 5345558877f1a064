package streams

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/dial"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/identity"
)

// ConnectorConfig is all that a Connector knows.
type ConnectorConfig struct {
	Nodes map[string]endpoint.Endpoint // node id → its TLS port; without this one
}

// Handler carries one stream that a node has opened. The node is verified; conn is closed when it returns,
// and when ctx ends.
type Handler func(ctx context.Context, conn net.Conn, node string)

// Options are what NewConnector needs.
type Options struct {
	Credentials identity.Credentials
	As          identity.Kind // what this process is: a connector, or a node that relays for others
	Handler     Handler
	TUN         func() bool                   // our tunnel is an interface of the system
	Stuck       func(node string) bool        // our tunnel to a node does not come up; may be nil
	Watched     func(node string, works bool) // the path of the control connection to a node works, or not any more; it must not wait; may be nil
	Missed      func(node string)             // a node says that we do not answer in our tunnel to it; it must not wait; may be nil
	Drain       time.Duration                 // for streams in progress when Run's context has ended
	Log         *slog.Logger
	Registerer  prometheus.Registerer
}

// Connector is the end of stream connections that carries streams: it dials nodes, and they open streams. It
// stands in a connector, or in a node that relays for others. Safe for concurrent use.
type Connector struct {
	opts   Options
	speaks dialect
	m      *connectorMetrics
	dial   dial.Dialer // looks names up for each connection

	changed chan struct{} // holds one: nodes is another
	mu      sync.Mutex
	nodes   map[string]endpoint.Endpoint // guarded by mu; replaced whole
	links   map[string]*link             // guarded by mu; of the nodes that are kept
	others  replacements
}

// NewConnector makes a Connector that knows no node.
func NewConnector(o Options) *Connector {
	c := &Connector{
		opts: o, speaks: dialectOf(o.As), changed: make(chan struct{}, 1), links: map[string]*link{},
		dial: dial.Dialer{Lookup: dial.Remember(dial.System)},
	}
	c.m = newConnectorMetrics(o.Registerer, c.speaks, c.others.any)
	return c
}

// String names the task.
func (c *Connector) String() string { return "stream connections" }

// Apply replaces the configuration. Streams from nodes that are no longer there have some time to end at a
// connector, whose nodes change; at a node, which knows all others, they end at once: that node is of the cluster
// no more.
func (c *Connector) Apply(cfg ConnectorConfig) {
	c.mu.Lock()
	c.nodes = cfg.Nodes
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// Doubt tells that the other carrier has found the path to a node to be in doubt, or another one than before. An idle
// control connection asks seldom: it asks now.
func (c *Connector) Doubt(node string) {
	c.mu.Lock()
	l := c.links[node]
	c.mu.Unlock()
	if l == nil {
		return
	}
	if s := l.now.Load(); s != nil {
		s.doubt()
	}
}

func (c *Connector) watched(node string, works bool) {
	if c.opts.Watched != nil {
		c.opts.Watched(node, works)
	}
}

// replaced takes a node's word that somebody else has connected as us.
func (c *Connector) replaced(node string) {
	if c.others.note(time.Now()) {
		c.opts.Log.Warn("another process uses the identity of this one: its state directory was copied, or this one was", "kind", c.speaks.kind, "seen_by", node)
	}
}

// calm takes that nobody else has used our identity for long.
func (c *Connector) calm(now time.Time) {
	if c.others.over(now) {
		c.opts.Log.Info("no other process uses the identity of this one any more")
	}
}

// keep notes the link of a node; nil: there is none.
func (c *Connector) keep(node string, l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.links[node] = l; l == nil {
		delete(c.links, node)
	}
}

// Run keeps connections to every node until ctx ends. Then it takes no more streams; those in progress have the
// time of the options.
func (c *Connector) Run(ctx context.Context) error {
	var running sync.WaitGroup
	live, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	type entry struct {
		to        endpoint.Endpoint
		stop, cut context.CancelFunc
	}
	links := map[string]entry{}
	look := time.NewTicker(time.Minute)
	defer look.Stop()
	for {
		c.mu.Lock()
		nodes := c.nodes
		c.mu.Unlock()
		for id, e := range links {
			if nodes[id] == e.to {
				continue
			}
			e.stop()
			if _, moved := nodes[id]; !moved && c.speaks.kind == identity.Node {
				e.cut()
			}
			delete(links, id)
			c.keep(id, nil)
		}
		for id, to := range nodes {
			if _, ok := links[id]; ok {
				continue
			}
			wanted, stop := context.WithCancel(ctx)
			streams, cut := context.WithCancel(live)
			l := newLink(c, id, to)
			c.keep(id, l)
			running.Go(func() {
				defer cut()
				l.run(streams, wanted)
			})
			links[id] = entry{to, stop, cut}
		}
		select {
		case <-ctx.Done():
			for _, e := range links {
				e.stop()
			}
			late := time.AfterFunc(c.opts.Drain, cut)
			defer late.Stop()
			running.Wait()
			return nil
		case <-c.changed:
		case now := <-look.C:
			c.calm(now)
		}
	}
}

// connect dials a node and agrees on a protocol.
func (c *Connector) connect(ctx context.Context, to endpoint.Endpoint, cfg *tls.Config) (*tls.Conn, error) {
	within, cancel := context.WithTimeout(ctx, connectTime)
	raw, err := c.dial.Dial(within, to)
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

// Package connector is the site's end of the fabric, from where streams reach the targets that its
// configuration names.
package connector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// dialTime bounds resolving the name of a target and connecting to it.
const dialTime = 5 * time.Second

// Connector serves streams with the configuration of the last Apply. Safe for concurrent use.
type Connector struct {
	resolver *net.Resolver
	log      *slog.Logger
	m        *metrics
	permit   permission
	table    atomic.Pointer[table] // replaced whole by Apply; each stream loads it once
}

// table is a checked Config. It is never written to.
type table struct {
	site    string
	targets map[string]target
	nodes   map[netip.Addr]string
	served  map[string]bool // the nodes, by id
	dial    dialer          // nil: by the connector itself
}

// dialer connects to an address of a target.
type dialer func(ctx context.Context, t target, address string) (net.Conn, error)

// New makes a Connector that refuses everything. Names of targets are resolved with r; nil is the
// system's way.
func New(r *net.Resolver, log *slog.Logger, reg prometheus.Registerer) *Connector {
	c := &Connector{resolver: r, log: log, m: newMetrics(reg), permit: permit}
	c.table.Store(&table{})
	return c
}

// Apply replaces the configuration. Streams that exist stay. Targets that can't be served are reported as
// joined *TargetError, and all else applied.
func (c *Connector) Apply(cfg Config) error {
	t, errs := newTable(cfg, c.permit)
	c.table.Store(t)
	c.m.targets.Set(float64(len(t.targets)))
	return errors.Join(errs...)
}

// newTable checks a configuration. The errors are those of targets that are left out, ordered by id.
func newTable(cfg Config, permit permission) (*table, []error) {
	t := &table{site: cfg.Site, targets: make(map[string]target, len(cfg.Targets)), nodes: maps.Clone(cfg.Nodes), served: make(map[string]bool, len(cfg.Nodes))}
	for _, id := range cfg.Nodes {
		t.served[id] = true
	}
	var bad []*TargetError
	for id, target := range cfg.Targets {
		parsed, err := parseTarget(target, permit)
		if err != nil {
			bad = append(bad, &TargetError{id, err})
			continue
		}
		t.targets[id] = parsed
	}
	slices.SortFunc(bad, func(a, b *TargetError) int { return cmp.Compare(a.ID, b.ID) })
	var errs []error
	for _, e := range bad {
		errs = append(errs, e)
	}
	return t, errs
}

// Serve takes streams from l, which listens on the connector's overlay address, until ctx ends; then it
// closes l and all streams. The tunnel vouches for the addresses that they come from.
func (c *Connector) Serve(ctx context.Context, l net.Listener) error {
	err := fabric.Serve(ctx, l, func(ctx context.Context, conn net.Conn) {
		c.Stream(ctx, conn, c.table.Load().nodes[fabric.RemoteAddr(conn)])
	})
	if err != nil {
		return fmt.Errorf("connector: %w", err)
	}
	return nil
}

// Stream carries one stream that a node has opened, and returns when it is over. The caller has verified
// that the node is the one of this id; nobody's is "". The caller closes conn, also when ctx ends.
func (c *Connector) Stream(ctx context.Context, conn net.Conn, node string) {
	c.carry(ctx, conn, node, c.table.Load())
}

// carry is Stream with a table.
func (c *Connector) carry(ctx context.Context, conn net.Conn, node string, t *table) {
	start := time.Now()
	h, out, status, err := c.accept(ctx, conn, node, t)
	c.m.streams[status].Inc()
	c.log.Debug("stream", "target", h.Target, "service", h.Service, "client", h.Client, "node", node,
		"status", status.String(), "dur", time.Since(start), "err", err)
	if out == nil {
		_ = fabric.WriteStatus(conn, status) // the node may be gone already
		return
	}
	defer out.Close()
	splice := c.splicer(ctx, h.Network, conn, out) // before the node may use it
	if err := fabric.WriteStatus(conn, fabric.StatusConnected); err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = out.Close() })
	defer stop()
	c.m.open.Inc()
	defer c.m.open.Dec()
	in, back := splice(conn, out)
	c.m.toTarget.Add(float64(in))
	c.m.fromTarget.Add(float64(back))
}

// splicer carries between a stream and a target until both are done, and says how much.
type splicer func(stream, target net.Conn) (toTarget, fromTarget int64)

func (c *Connector) splicer(ctx context.Context, network fabric.Network, stream, target net.Conn) splicer {
	if network == fabric.UDP {
		return c.datagrams
	}
	near, local := stream.(siteEnd)
	direct, ok := target.(*net.TCPConn)
	if local && ok {
		return near.hand(ctx, direct)
	}
	return fabric.Splice
}

// accept reads and judges a header, then dials. The connection is nil unless the status is
// StatusConnected; err says more, for the log.
func (c *Connector) accept(ctx context.Context, conn net.Conn, node string, t *table) (fabric.Header, net.Conn, fabric.Status, error) {
	h, err := fabric.ReadHeader(conn)
	if err != nil {
		return h, nil, fabric.StatusBadRequest, err
	}
	if !t.served[node] {
		return h, nil, fabric.StatusNotAllowed, errors.New("not from a node of this connector")
	}
	if h.Site != t.site {
		return h, nil, fabric.StatusNotAllowed, fmt.Errorf("site %s is not ours", h.Site)
	}
	target, ok := t.targets[h.Target]
	if !ok {
		return h, nil, fabric.StatusNotAllowed, errors.New("not a target of this connector")
	}
	address, err := target.address(h.Network, h.Port)
	if err != nil {
		return h, nil, fabric.StatusNotAllowed, err
	}
	out, err := c.dialer(t)(ctx, target, address)
	if _, denied := errors.AsType[*DeniedError](err); denied {
		return h, nil, fabric.StatusNotAllowed, err
	}
	if err != nil {
		return h, nil, fabric.StatusDialFailed, err
	}
	return h, out, fabric.StatusConnected, nil
}

// DialTarget connects to a target of the last Apply, for whoever wants to know whether it can serve; of
// several ports, to the first.
func (c *Connector) DialTarget(ctx context.Context, id string) (net.Conn, error) {
	return c.check(ctx, c.table.Load(), id)
}

// check is DialTarget with a table.
func (c *Connector) check(ctx context.Context, in *table, id string) (net.Conn, error) {
	t, ok := in.targets[id]
	if !ok {
		return nil, errors.New("not a target of this connector")
	}
	address, err := t.address(t.network, 0)
	if err != nil {
		return nil, err
	}
	return c.dialer(in)(ctx, t, address)
}

// dialer is how targets of a table are dialled.
func (c *Connector) dialer(t *table) dialer {
	if t.dial != nil {
		return t.dial
	}
	return c.dial
}

// dial connects to an address of a target, trying all that its name has now.
func (c *Connector) dial(ctx context.Context, t target, address string) (net.Conn, error) {
	start := time.Now()
	d := net.Dialer{
		Timeout:  dialTime,
		Resolver: c.resolver,
		// Called with the address of the socket, after resolving: a name can't lead elsewhere between
		// the check and the connection.
		ControlContext: func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(resolved)
			if err != nil {
				return fmt.Errorf("address %q: %w", resolved, err)
			}
			return c.permit(ap.Addr(), t.loopback)
		},
	}
	conn, err := d.DialContext(ctx, t.network.String(), address)
	if err != nil {
		return nil, err
	}
	c.m.dialTime.Observe(time.Since(start).Seconds())
	return conn, nil
}

package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/health"
	"github.com/warrenedge/warren/dataplane/streams"
	"github.com/warrenedge/warren/dataplane/tunnel"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/resource"
)

// Site is what a connector consists of.
type Site struct {
	Tunnel interface {
		Apply(context.Context, tunnel.Config) error
	}
	Streams   interface{ Apply(streams.ConnectorConfig) }
	Connector interface{ Apply(connector.Config) error }
	Checks    interface{ Apply([]health.Target) }
	Trust     func(pem []byte) error
}

// Connector applies the snapshot of a connector. It is an ads.Handler.
type Connector struct {
	id   string
	addr netip.Addr // own, in the overlay
	sub  Site
	log  *slog.Logger
	*saver
	state *ledger
	noWay error // targets and nodes that can't be served, from those who were told of them
	ready atomic.Bool
}

// NewConnector makes a Connector with this id and overlay address that has applied nothing.
func NewConnector(id string, addr netip.Addr, sub Site, disk *Disk, log *slog.Logger, reg prometheus.Registerer) *Connector {
	return &Connector{id: id, addr: addr, sub: sub, log: log, saver: newSaver(disk, log, reg), state: newLedger()}
}

// Ready reports whether a checkpoint is applied.
func (c *Connector) Ready() bool { return c.ready.Load() }

// Restore applies what is on disk and returns what the stream starts from.
func (c *Connector) Restore(ctx context.Context) (ads.State, error) {
	l, err := c.disk.load(decode)
	if err != nil || l == nil {
		return ads.State{}, err
	}
	if err := c.install(ctx, l, everyType()); err != nil {
		return ads.State{}, err
	}
	c.log.Info("serving from disk", "rev", l.checkpoint.GetRevision())
	return l.state(), nil
}

// Transaction implements ads.Handler.
func (c *Connector) Transaction(ctx context.Context, t ads.Transaction) ([]*nodev1.Rejection, error) {
	next, changed := c.state.stage(t, decode)
	if err := c.install(ctx, next, changed); err != nil {
		return nil, err
	}
	c.save(next)
	return next.rejections(next.refused(c.noWay)...), nil
}

// Presence implements ads.Handler; connectors are told none.
func (c *Connector) Presence(context.Context, string, []ads.Resource, []string, bool) {}

func (c *Connector) install(ctx context.Context, l *ledger, changed map[string]bool) error {
	if changed[resource.Trust] && c.sub.Trust != nil {
		for _, t := range values[trust](l, resource.Trust) {
			if err := c.sub.Trust(t.pem); err != nil {
				c.log.Warn("new authorities not kept", "err", err)
			}
		}
	}
	if changed[resource.ConnectorConfig] {
		tun, con := tunnel.Config{Addr: c.addr}, connector.Config{Targets: map[string]connector.Target{}, Nodes: map[netip.Addr]string{}}
		dial := streams.ConnectorConfig{Nodes: map[string]endpoint.Endpoint{}}
		var checks []health.Target
		for _, cfg := range values[connectorConfig](l, resource.ConnectorConfig) { // one: its site's
			con.Site, con.Targets, checks = cfg.site, cfg.targets, cfg.checks
			for _, n := range cfg.nodes {
				tun.Peers = append(tun.Peers, tunnel.Peer{ID: n.id, Kind: tunnel.Node, Key: n.key, Endpoint: n.endpoint, TLS: n.stream, Addr: n.addr, Remind: keepalive})
				con.Nodes[n.addr] = n.id
				if !n.stream.IsZero() {
					dial.Nodes[n.id] = n.stream
				}
			}
		}
		noTarget := c.sub.Connector.Apply(con)
		if noTarget != nil {
			c.log.Warn("some targets can't be served", "err", noTarget)
		}
		c.sub.Checks.Apply(checks) // by way of the connector, which has to allow their targets first
		c.sub.Streams.Apply(dial)
		err := c.sub.Tunnel.Apply(ctx, tun)
		if err != nil {
			if !partial[*tunnel.PeerError](err) {
				return fmt.Errorf("tunnel: %w", err)
			}
			c.log.Warn("some tunnels can't be made", "err", err)
		}
		c.noWay = errors.Join(noTarget, err)
	}
	c.state = l
	c.ready.Store(true)
	return nil
}

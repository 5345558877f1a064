package main

import (
	"log/slog"
	"path/filepath"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/config"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/health"
	"github.com/warrenedge/warren/dataplane/join"
	"github.com/warrenedge/warren/dataplane/liveness"
	"github.com/warrenedge/warren/dataplane/streams"
	"github.com/warrenedge/warren/dataplane/tunnel"
	"github.com/warrenedge/warren/shared/identity"
)

// ways are how a node reaches targets: carriers, and the fabric that chooses among them.
type ways struct {
	tun    *tunnel.Tunnel
	ends   *streams.Node      // of connectors
	others *streams.Node      // of other nodes, which relay for this one
	relays *streams.Connector // to other nodes, for which this one relays
	local  *connector.Local
	checks *health.Checker
	fabric *fabric.Fabric

	changes atomic.Uint64 // of paths to peers
}

// newWays makes them. lost is called with a peer that no longer answers by these carriers: connections that are kept may
// lead by them.
func newWays(cfg *config.Node, id *join.Identity, lost func(peer string, by ...string), log *slog.Logger, reg *prometheus.Registry) (*ways, error) {
	var w *ways
	silent := func(peer string, by ...string) { // whom this node leads others to, too
		w.changes.Add(1)
		lost(peer, by...)
		w.fabric.Silent(peer, by...)
	}
	tunnelled := func(peer string) { silent(peer, fabric.CarrierWireGuard, fabric.CarrierLocal) } // a stock device, too
	me := identity.Credentials{Cluster: id.Cluster, Certificate: id.Certificate, Authorities: id.Authorities}
	tun, err := tunnel.New(tunnel.Options{
		Mode: cfg.Tunnel, Interface: cfg.Interface, Key: id.WG, ListenPort: cfg.Listen.WireGuard, Filter: tunnel.NodeRole,
		TLS: &me, Changed: func(c liveness.Change) {
			w.changes.Add(1)
			if c.To == liveness.Down {
				tunnelled(c.Peer)
				w.ends.Miss(c.Peer)
				w.others.Doubt(c.Peer)
			}
		}, Recall: filepath.Join(cfg.StateDir, "stock-peers.json"), Lost: tunnelled, Log: log, Registerer: reg,
	})
	if err != nil {
		return nil, err
	}
	dialled := func(from identity.Kind, stuck func(string), watched func(string, bool)) *streams.Node {
		return streams.NewNode(streams.NodeOptions{
			Credentials: me, From: from, Silent: func(peer string) { silent(peer, fabric.CarrierStream) }, Stuck: stuck, Watched: watched,
			Log: log, Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"from": string(from)}, reg),
		})
	}
	w = &ways{tun: tun, others: dialled(identity.Node, nil, nil), local: connector.NewLocal(nil, tun, log, reg)}
	w.ends = dialled(identity.Connector, func(connector string) {
		if _, err := tun.Renew(connector); err != nil {
			log.Warn("begin anew with a connector", "connector", connector, "err", err)
		}
	}, func(peer string, works bool) {
		w.changes.Add(1)
		tun.Watched(peer, works)
	})
	w.checks = health.New(w.local.DialTarget, log, reg)
	w.fabric = fabric.New(fabric.Carriers{
		WireGuard: tun, Stream: w.ends, Nodes: w.others, Local: w.local,
		BothTUN: func(connector string) bool {
			return tun.Mode() == tunnel.ModeTUN && w.ends.TUN(connector) && tun.Transport(connector) == tunnel.TransportUDP
		},
	}, log, reg)
	w.relays = streams.NewConnector(streams.Options{
		Credentials: me, As: identity.Node, Handler: w.fabric.RelayStream, TUN: func() bool { return false }, Drain: fabric.RelayDrain, Log: log, Registerer: reg,
	})
	return w, nil
}

// up reports whether a connector, or the stock peer of a site, is connected here.
func (w *ways) up(peer string) bool { return w.ends.Up(peer) || w.tun.Up(peer) }

// Package tunnel keeps WireGuard tunnels to a set of peers, on an interface of the system or on a TCP
// stack inside the process.
//
// Nothing but the fabric's streams, heartbeats and what stock peers answer gets in: a packet filter stands between
// WireGuard and the stack. Heartbeats say whether a peer is up; a tunnel that is down is worked on until it is up again.
package tunnel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/warrenedge/warren/dataplane/dial"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/liveness"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/wgkey"
)

// Modes of Options.
const (
	ModeAuto     = "auto"     // tun where it is permitted, else netstack
	ModeTUN      = "tun"      // an interface of the system
	ModeNetstack = "netstack" // a TCP stack in this process: no privilege needed
)

const (
	mtu      = 1420 // leaves room for WireGuard over IPv6 over Ethernet
	stockMTU = 1280 // to a stock peer: what any path carries
)

// DefaultInterface is the name of the TUN interface when Options has none.
const DefaultInterface = "warren0"

// ErrClosed is returned once Run has ended.
var ErrClosed = errors.New("tunnel is closed")

// ErrDown is returned while there is no device: before the first Apply.
var ErrDown = errors.New("tunnel is not up yet")

// Config is the whole desired state.
type Config struct {
	Addr  netip.Addr // our own in the overlay; it can't change while the process lives
	Peers []Peer
}

// Options are what New needs.
type Options struct {
	Mode       string // ModeAuto when empty
	Interface  string // DefaultInterface when empty
	Key        wgkey.Private
	ListenPort uint16 // of UDP; 0: any
	Filter     FilterRole
	TLS        *identity.Credentials // for WireGuard in TLS where UDP does not work; nil: never
	Changed    func(liveness.Change) // called at each change of a path, in order of each; it must not wait; may be nil
	Recall     string                // file in which it is kept where stock peers are, to call them after a restart; empty: none
	Lost       func(peer string)     // called when a stock peer that was there is not any more; it must not wait; may be nil
	Lookup     dial.Lookup           // of peers that are reached by name; nil: the system's
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Tunnel is one WireGuard device. Safe for concurrent use.
type Tunnel struct {
	opts Options
	log  *slog.Logger
	m    *metrics

	up     chan struct{} // closed when the device is up
	failed chan struct{} // closed when it could not be opened
	closed chan struct{} // closed when Run has ended

	mu    sync.Mutex
	err   error // guarded by mu; why the device could not be opened
	wg    *device.Device
	tun   *filtered
	net   network
	mode  string
	have  map[wgkey.Public]Peer // what the device was told
	want  []Peer                // of the last Apply
	addrs map[string]netip.Addr // by peer id

	open    func(self netip.Addr) (tun.Device, network, string, error)
	states  stateCache
	refused refusals
	beats   *liveness.Monitor
	pulse   net.PacketConn // of the heartbeats; set before up is closed
	heal    *healer
	names   *dial.Names
	where   places
	stock   *stockWatch
	bind    *bind
}

var _ fabric.Carrier = (*Tunnel)(nil)

// New checks the options. It opens nothing.
func New(o Options) (*Tunnel, error) {
	if o.Mode == "" {
		o.Mode = ModeAuto
	}
	if o.Interface == "" {
		o.Interface = DefaultInterface
	}
	if o.Mode != ModeAuto && o.Mode != ModeTUN && o.Mode != ModeNetstack {
		return nil, fmt.Errorf("tunnel: mode %q is none of %s, %s, %s", o.Mode, ModeAuto, ModeTUN, ModeNetstack)
	}
	if len(o.Interface) >= unix.IFNAMSIZ {
		return nil, fmt.Errorf("tunnel: interface %q has more than %d bytes", o.Interface, unix.IFNAMSIZ-1)
	}
	if o.Filter != NodeRole && o.Filter != ConnectorRole {
		return nil, fmt.Errorf("tunnel: filter role %d is unknown", int(o.Filter))
	}
	if o.Key.IsZero() {
		return nil, errors.New("tunnel: no WireGuard key")
	}
	t := &Tunnel{
		opts: o, log: o.Log,
		up: make(chan struct{}), failed: make(chan struct{}), closed: make(chan struct{}),
		have: map[wgkey.Public]Peer{}, addrs: map[string]netip.Addr{},
	}
	t.m = newMetrics(o.Registerer, t.Peers)
	t.open = t.openDevice
	t.names = dial.NewNames(o.Lookup, t.renamed)
	t.heal, t.stock = newHealer(t), newStockWatch(t)
	var dialNode dialFunc
	if o.TLS != nil {
		by := dial.Dialer{Lookup: dial.Remember(o.Lookup)}
		dialNode = func(ctx context.Context, node string, at endpoint.Endpoint) (net.Conn, error) {
			return dialTLS(ctx, *o.TLS, node, at, by)
		}
	}
	t.bind = newBind(conn.NewDefaultBind(), o.Key.Public(), dialNode, o.Log, t.m)
	t.beats = liveness.New(liveness.Options{
		Port: fabric.HeartbeatPort, Traffic: t.traffic, Changed: t.changed, Resized: t.resized, Log: o.Log, Registerer: o.Registerer,
	})
	return t, nil
}

// String names the task.
func (t *Tunnel) String() string { return "tunnel" }

// Run blocks until ctx ends, then closes the device that the first Apply opens. It returns an error when
// the device can't be opened.
func (t *Tunnel) Run(ctx context.Context) error {
	var err error
	select {
	case <-ctx.Done():
	case <-t.failed:
		t.mu.Lock()
		err = t.err
		t.mu.Unlock()
	case <-t.up:
		err = t.work(ctx)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.closed)
	if t.wg != nil {
		_ = t.pulse.Close()
		t.wg.Close()
		t.wg = nil
	}
	return err
}

// Apply makes the tunnels match want. Applying what already holds touches nothing, and sessions of peers
// that stay go on. The first Apply opens the device; when that fails, Run ends with the same error. Peers
// that can't be applied are reported as joined *PeerError, and the others applied.
func (t *Tunnel) Apply(ctx context.Context, want Config) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("tunnel: apply: %w", err)
	}
	defer t.states.forget() // after mu is free: up takes the two locks the other way round
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.isClosed() {
		return ErrClosed
	}
	if t.err != nil {
		return t.err
	}
	if t.wg == nil {
		if err := t.openLocked(want.Addr); err != nil {
			t.err = err
			close(t.failed)
			return err
		}
	} else if want.Addr != t.tun.self {
		return fmt.Errorf("tunnel: own overlay address changed from %s to %s: this needs a restart", t.tun.self, want.Addr)
	}
	peers, refused := valid(t.opts.Filter, want.Addr, t.opts.Key.Public(), want.Peers)
	t.want = peers
	t.knowLocked()
	return errors.Join(refused, t.applyLocked(t.reachedLocked()))
}

// applyLocked changes the device, and after every step what we know of it. The filter changes between
// the steps that take addresses away and those that give them.
func (t *Tunnel) applyLocked(want []Peer) error {
	steps := diff(slices.Collect(maps.Values(t.have)), want)
	gives := slices.IndexFunc(steps, func(s step) bool { return !s.takes() })
	if gives < 0 {
		gives = len(steps)
	}
	for _, s := range steps[:gives] {
		if err := t.doLocked(s); err != nil {
			return err
		}
	}
	kinds, addrs := make(map[netip.Addr]Kind, len(want)), make(map[string]netip.Addr, len(want))
	for _, p := range want {
		kinds[p.Addr], addrs[p.ID] = p.Kind, p.Addr
	}
	t.tun.setPeers(kinds)
	t.addrs = addrs
	if err := t.net.route(slices.Collect(maps.Values(addrs))); err != nil {
		return fmt.Errorf("tunnel: %w", err)
	}
	t.beats.Apply(t.paths(want))
	t.heal.apply(want)
	t.stock.apply(want)
	t.bind.apply(want)
	for _, s := range steps[gives:] {
		if err := t.doLocked(s); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tunnel) doLocked(s step) error {
	if c := s.config(); c != "" {
		if err := t.wg.IpcSet(c); err != nil {
			return fmt.Errorf("tunnel: %s: %w", s, err)
		}
	}
	switch s.op {
	case opRemove:
		delete(t.have, s.peer.Key)
	case opDetach:
		p := s.peer
		p.Addr = netip.Addr{}
		t.have[p.Key] = p
	case opUpdate, opAdd:
		t.have[s.peer.Key] = s.peer
	}
	t.log.Debug("tunnel changed", "op", s.op.String(), "peer", s.peer.ID, "kind", s.peer.Kind.String())
	return nil
}

func (t *Tunnel) isClosed() bool {
	select {
	case <-t.closed:
		return true
	default:
		return false
	}
}

// Mode is the mode in use: ModeTUN or ModeNetstack, or the one asked for while there is no device.
func (t *Tunnel) Mode() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mode == "" {
		return t.opts.Mode
	}
	return t.mode
}

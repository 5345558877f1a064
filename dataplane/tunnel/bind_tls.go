package tunnel

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/wgkey"
)

const (
	dialTime  = 4 * time.Second
	tlsQueued = 256 // packets that came by TLS and that WireGuard has not taken yet
)

// dialFunc opens a TLS connection to a node, mutually verified.
type dialFunc func(ctx context.Context, peer string, at endpoint.Endpoint) (net.Conn, error)

// bind brings WireGuard's packets to peers: over UDP, and where that does not work in TLS connections.
// A connector chooses and dials; a node answers by the way on which a peer was heard last.
type bind struct {
	conn.Bind // UDP
	dial      dialFunc
	log       *slog.Logger
	m         *metrics

	gate     *gate
	inflight inflight
	room     room

	in   chan frame
	wake chan *way // ways to dial; a way that does not fit is offered again with its next packet

	ways atomic.Pointer[ways] // replaced whole

	mu     sync.Mutex
	closed chan struct{}       // guarded by mu; of the last Open; nil: none
	known  map[string]bool     // guarded by mu; peers that may come by TLS
	links  map[string]*tlsLink // guarded by mu; of a node, by peer
}

var _ conn.Bind = (*bind)(nil)

func newBind(udp conn.Bind, key wgkey.Public, dial dialFunc, log *slog.Logger, m *metrics) *bind {
	b := &bind{
		Bind: udp, dial: dial, log: log, m: m,
		in: make(chan frame, tlsQueued), wake: make(chan *way, 16), links: map[string]*tlsLink{},
	}
	b.gate = newGate(device.NoisePublicKey(key), func(p []byte, to conn.Endpoint) { _ = b.Bind.Send([][]byte{p}, to) }, func(why refusal) { m.refused[why].Inc() })
	b.ways.Store(&ways{})
	return b
}

// apply makes the peers the whole list. Links of peers that are gone end.
func (b *bind) apply(peers []Peer) {
	old, next := b.ways.Load(), &ways{map[netip.AddrPort]*way{}, map[string]*way{}}
	known := map[string]bool{}
	for _, p := range peers {
		known[p.ID] = p.Kind == Connector
		if b.dial == nil || p.Kind != Node || !p.Endpoint.Addr.IsValid() || p.TLS.IsZero() {
			continue
		}
		w := old.of[p.ID]
		if w == nil || w.tls != p.TLS || w.remind != p.Remind {
			w = &way{peer: p.ID, tls: p.TLS, remind: p.Remind}
		}
		udp := unmap(p.Endpoint.Addr)
		w.moved(udp)
		next.at[udp], next.of[p.ID] = w, w
	}
	b.ways.Store(next)
	for id, w := range old.of {
		if next.of[id] != w {
			w.hangUp()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known = known
	for id, l := range b.links {
		if !known[id] {
			l.end()
		}
	}
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// hangUp ends the link.
func (w *way) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.link != nil {
		w.link.end()
	}
}

// Open opens the UDP sockets. Links stay as they are, whatever happens to those.
func (b *bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	fns, actual, err := b.Bind.Open(port)
	if err != nil {
		return nil, 0, err
	}
	closed := make(chan struct{})
	b.mu.Lock()
	b.closed = closed
	b.mu.Unlock()
	for i, fn := range fns {
		fns[i] = b.listening(fn)
	}
	return append(fns, b.receiver(closed)), actual, nil
}

// BatchSize is how many packets WireGuard makes room for.
func (b *bind) BatchSize() int { return b.room.of(b.Bind.BatchSize()) }

// Close closes the UDP sockets and ends the receivers.
func (b *bind) Close() error {
	b.mu.Lock()
	if b.closed != nil {
		close(b.closed)
		b.closed = nil
	}
	b.mu.Unlock()
	return b.Bind.Close()
}

// listening gives what comes over UDP, without what the gate refuses, and notes who is heard.
func (b *bind) listening(fn conn.ReceiveFunc) conn.ReceiveFunc {
	return func(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		b.inflight.wait()
		n, err := fn(bufs, sizes, eps)
		if err != nil {
			return n, err
		}
		now := time.Now()
		for i := range n {
			if sizes[i] > 0 && !b.gate.pass(bufs[i][:sizes[i]], eps[i], now) {
				sizes[i] = 0 // WireGuard passes over it
			}
		}
		b.inflight.begin(contents(bufs, sizes[:n]))
		ways := b.ways.Load().at
		if len(ways) == 0 {
			return n, nil
		}
		var last netip.AddrPort
		for i, ep := range eps[:n] {
			udp, ok := ep.(*conn.StdNetEndpoint)
			if sizes[i] == 0 || !ok || udp.AddrPort == last {
				continue
			}
			last = udp.AddrPort
			if w := ways[unmap(last)]; w != nil {
				w.mu.Lock()
				w.choice.heardUDP(now)
				w.mu.Unlock()
			}
		}
		return n, nil
	}
}

// contents counts packets with something in them: the device is given it, if they are good.
func contents(bufs [][]byte, sizes []int) (n int) {
	for i, size := range sizes {
		if size > device.MessageKeepaliveSize && bufs[i][0] == device.MessageTransportType {
			n++
		}
	}
	return n
}

// receiver gives WireGuard what comes by TLS, from peers that have shown who they are.
func (b *bind) receiver(closed <-chan struct{}) conn.ReceiveFunc {
	return func(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		b.inflight.wait()
		var p frame
		select {
		case <-closed:
			return 0, net.ErrClosed
		case p = <-b.in:
		}
		for n := 0; ; {
			sizes[n], eps[n] = copy(bufs[n], p.bytes()), p.from
			p.free()
			if n++; n < len(bufs) {
				select {
				case p = <-b.in:
					continue
				default:
				}
			}
			b.inflight.begin(contents(bufs, sizes[:n]))
			return n, nil
		}
	}
}

// nothing stands for what was sent.
var nothing [device.MaxMessageSize]byte

// Send sends packets the way that their endpoint names. WireGuard keeps the slice, see filtered.leave, of which it still
// counts the bytes.
func (b *bind) Send(bufs [][]byte, ep conn.Endpoint) error {
	err := b.send(bufs, ep)
	for i, p := range bufs {
		bufs[i] = nothing[:len(p)]
	}
	return err
}

func (b *bind) send(bufs [][]byte, ep conn.Endpoint) error {
	switch ep := ep.(type) {
	case *tlsEndpoint:
		if w := b.ways.Load().of[ep.node]; w != nil { // of a connector: the link may be another one by now
			return b.sendTLS(bufs, w)
		}
		b.m.tlsDropped.Add(float64(ep.link.send(bufs)))
		return nil
	case *conn.StdNetEndpoint:
		if w := b.ways.Load().at[unmap(ep.AddrPort)]; w != nil {
			return b.sendUDP(bufs, w, ep)
		}
	}
	return b.plain(bufs, ep)
}

// plain sends over UDP alone; from an address of the system's choice when the one that was used before is gone.
func (b *bind) plain(bufs [][]byte, ep conn.Endpoint) error {
	err := b.Bind.Send(bufs, ep)
	if err == nil || errors.As(err, new(conn.ErrUDPGSODisabled)) || errors.Is(err, net.ErrClosed) {
		return err
	}
	fresh, perr := b.Bind.ParseEndpoint(ep.DstToString())
	if perr != nil || !ep.SrcIP().IsValid() {
		return err
	}
	return b.Bind.Send(bufs, fresh)
}

// sendUDP sends to a node over UDP, and by TLS as well while UDP is silent.
func (b *bind) sendUDP(bufs [][]byte, w *way, ep conn.Endpoint) error {
	now := time.Now()
	w.mu.Lock()
	w.sent = now
	w.remember(bufs)
	for _, p := range bufs {
		if !expects(p) || w.choice.answers(p, now) {
			continue
		}
		if w.choice.sentUDP(now) { // while there is no session, the next packet may be long in coming
			time.AfterFunc(udpSilence, func() { b.check(w) })
		}
		break
	}
	l := b.wantLinkLocked(w, w.choice.silent(now), now)
	w.mu.Unlock()
	err := b.plain(bufs, ep)
	if l == nil {
		return err
	}
	b.m.tlsDropped.Add(float64(l.send(bufs)))
	return nil
}

// udpLocked is where a node is reached over UDP now, which may be elsewhere than when its link was made.
func (b *bind) udpLocked(w *way) conn.Endpoint {
	if w.plain == nil {
		w.plain, _ = b.Bind.ParseEndpoint(w.udp.String()) // an address that was parsed before
	}
	return w.plain
}

// check dials if UDP has become silent.
func (b *bind) check(w *way) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	b.wantLinkLocked(w, w.choice.silent(now), now)
}

// sendTLS sends to a node by TLS, and a small packet now and then over UDP as well, first.
func (b *bind) sendTLS(bufs [][]byte, w *way) error {
	now := time.Now()
	w.mu.Lock()
	w.remember(bufs)
	l := b.wantLinkLocked(w, true, now)
	var try [][]byte
	if small := smallest(bufs); l == nil || small != nil && w.choice.tryUDP(now) {
		if try = [][]byte{small}; l == nil {
			try = bufs
		}
		w.choice.sentUDP(now)
	}
	udp := b.udpLocked(w)
	w.mu.Unlock()
	if try != nil && udp != nil {
		_ = b.plain(try, udp) // that UDP does not work is no news
	}
	if l != nil {
		b.m.tlsDropped.Add(float64(l.send(bufs)))
	}
	return nil
}

// smallest gives a packet that is small enough to be sent twice; nil if there is none.
func smallest(bufs [][]byte) []byte {
	for _, p := range bufs {
		if len(p) <= tryUDPMost && expects(p) {
			return p
		}
	}
	return nil
}

// wantLinkLocked gives the link of a way when it is needed and there. When it is not there it is dialled.
func (b *bind) wantLinkLocked(w *way, need bool, now time.Time) *tlsLink {
	if !need {
		return nil
	}
	w.choice.used = now
	if l := w.live(); l != nil {
		return l
	}
	if w.choice.dial(now) {
		select {
		case b.wake <- w:
		default:
			w.choice.redial = now
		}
	}
	return nil
}

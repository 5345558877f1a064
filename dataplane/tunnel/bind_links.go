package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/shared/identity"
)

// handshakesMost bounds the TLS handshakes in progress at a node.
const handshakesMost = 256

// reminder is nothing to WireGuard, which drops it unread, and a packet to translators of addresses on the way: they
// remember whose answers they are to let in. WireGuard's own keepalives are packets of a session, for which there is a
// handshake every two minutes, and thousands of sites may be idle on one node.
var reminder = []byte{0}

const remindLook = 5 * time.Second

// remind sends the reminders that are due.
func (b *bind) remind(now time.Time) {
	for _, w := range b.ways.Load().of {
		var udp conn.Endpoint
		w.mu.Lock()
		if w.due(now) {
			w.sent, udp = now, b.udpLocked(w)
		}
		w.mu.Unlock()
		if udp != nil {
			_ = b.plain([][]byte{reminder}, udp) // that UDP does not work is found by what matters
		}
	}
}

// run dials the ways that need it and carries their packets, until ctx ends.
func (b *bind) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	if b.dial != nil {
		wg.Go(func() { b.reminds(ctx) })
	}
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-b.wake:
			wg.Go(func() { b.carry(ctx, w) })
		}
	}
}

// reminds sends reminders until ctx ends.
func (b *bind) reminds(ctx context.Context) {
	tick := time.NewTicker(remindLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			b.remind(now)
		}
	}
}

// carry dials a way and carries its packets until the link ends.
func (b *bind) carry(ctx context.Context, w *way) {
	err := b.connect(ctx, w)
	w.mu.Lock()
	w.choice.dialled(err == nil, time.Now())
	w.mu.Unlock()
	if ctx.Err() == nil {
		b.log.Debug("WireGuard in TLS ended", "peer", w.peer, "addr", w.tls, "err", err)
	}
}

// connect is carry; its error says that there was no link.
func (b *bind) connect(ctx context.Context, w *way) error {
	dctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := b.dial(dctx, w.peer, w.tls)
	if err != nil {
		b.m.tlsLinks.WithLabelValues("failed").Inc()
		return err
	}
	b.m.tlsLinks.WithLabelValues("ok").Inc()
	b.log.Info("UDP is silent, WireGuard goes by TLS as well", "peer", w.peer, "addr", w.tls)
	l := newTLSLink(conn)
	w.mu.Lock()
	w.link = l
	udp := w.udp
	if w.first != nil {
		l.send([][]byte{w.first}) // a second time it would be refused, so this harms nothing
	}
	w.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { w.leave(l) })
	_ = l.run(ctx, &tlsEndpoint{link: l, node: w.peer, addr: udp}, b.in)
	wg.Wait()
	return nil
}

// leave ends the link when it is needed no more.
func (w *way) leave(l *tlsLink) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return
		case now := <-tick.C:
			w.mu.Lock()
			unused := now.Sub(w.choice.used) >= linkUnused && !w.choice.silent(now)
			w.mu.Unlock()
			if unused {
				l.end()
				return
			}
		}
	}
}

// serve takes links of connectors from l until ctx ends; then it closes l and all links.
func (b *bind) serve(ctx context.Context, l net.Listener, c identity.Credentials) error {
	ctx, cancel := context.WithCancel(ctx) // before the next: the listener must not close while ctx seems to go on
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer l.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	shaking := inbound.NewHandshakes(handshakesMost)
	for {
		raw, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept: %w", err)
		}
		wg.Go(func() {
			shaken := shaking.Begin(raw)
			conn, peer, err := b.admit(ctx, raw, c)
			shaken()
			if err != nil {
				_ = raw.Close()
				b.m.tlsLinks.WithLabelValues("refused").Inc()
				b.log.Debug("WireGuard in TLS refused", "from", raw.RemoteAddr(), "err", err)
				return
			}
			b.m.tlsLinks.WithLabelValues("ok").Inc()
			b.accept(ctx, conn, peer)
		})
	}
}

// admit shakes hands and says which peer it is.
func (b *bind) admit(ctx context.Context, raw net.Conn, c identity.Credentials) (*tls.Conn, string, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn := tls.Server(raw, serverTLS(c))
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, "", err
	}
	id, err := identity.FromCertificate(conn.ConnectionState().PeerCertificates[0])
	if err != nil {
		return nil, "", err
	}
	b.mu.Lock()
	known := b.known[id.ID]
	b.mu.Unlock()
	if !known {
		return nil, "", fmt.Errorf("connector %s is no peer", id.ID)
	}
	if v, ok := raw.(interface{ Vouch() }); ok {
		v.Vouch()
	}
	return conn, id.ID, nil
}

// accept carries the packets of a peer until the link ends. A newer link of the same peer ends an older one.
func (b *bind) accept(ctx context.Context, conn net.Conn, peer string) {
	l := newTLSLink(conn)
	b.mu.Lock()
	if !b.known[peer] { // withdrawn meanwhile: apply did not see this link
		b.mu.Unlock()
		_ = conn.Close()
		return
	}
	if old := b.links[peer]; old != nil {
		old.end()
	}
	b.links[peer] = l
	b.mu.Unlock()
	b.log.Debug("WireGuard in TLS", "peer", peer, "from", conn.RemoteAddr())
	err := l.run(ctx, &tlsEndpoint{link: l, addr: addrPort(conn.RemoteAddr())}, b.in)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		b.log.Debug("WireGuard in TLS ended", "peer", peer, "err", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.links[peer] == l {
		delete(b.links, peer)
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		return unmap(t.AddrPort())
	}
	return netip.AddrPort{}
}

// ServeTLS takes packets of connectors in TLS connections from l, which gives connections that ask for
// Protocol, until ctx ends; then it closes l and the connections.
func (t *Tunnel) ServeTLS(ctx context.Context, l net.Listener) error {
	if t.opts.TLS == nil {
		return errors.New("tunnel: WireGuard in TLS: no credentials")
	}
	if err := t.bind.serve(ctx, l, *t.opts.TLS); err != nil {
		return fmt.Errorf("tunnel: WireGuard in TLS: %w", err)
	}
	return nil
}

package httpproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/warrenedge/warren/dataplane/strict"
	"github.com/warrenedge/warren/dataplane/terminate"
	"github.com/warrenedge/warren/shared/hostname"
)

// Deadlines of a connection (research/reliability-security.md §2.1).
const (
	headTime  = 5 * time.Second
	keepTime  = 60 * time.Second
	drainTime = 10 * time.Second // for all that was accepted before Serve's context ended
	firstTime = headTime         // of drainTime, for the first request of a connection that has had none
)

// session is what is known of a connection since its handshake.
type session struct {
	name          string // canonical server name
	client, local netip.AddrPort
	gate          *gate  // nil for HTTP/2
	first         func() // called with the first request; more calls do nothing
	papers
}

type sessionKey struct{}

// server is one Serve: a listener, the two protocols behind it and what they have open.
type server struct {
	proxy     *Proxy
	tls       *tls.Config
	one, two  *http.Server
	oneConns  *queue
	twoConns  *queue
	upgrades  *upgrades
	newcomers newcomers
	requests  sync.WaitGroup // handlers, those of upgraded connections included
}

// Serve ends TLS on what l accepts and serves HTTP/1.1 or HTTP/2 on it, until ctx ends. Then it
// accepts no more, and closes upgraded connections. Those that it has just accepted get an answer to one request,
// as those in flight do, and all of it has drainTime; then it closes the rest.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	live, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	s := &server{proxy: p, oneConns: newQueue(l.Addr()), twoConns: newQueue(l.Addr()), upgrades: &upgrades{open: make(map[*upgraded]struct{}), gauge: p.metrics.upgraded}}
	s.tls = tlsConfig(func() *table { return p.current.Load().table }, &p.tickets)
	s.one, s.two = s.newServer(live), s.newServer(live)
	s.one.Protocols.SetHTTP1(true)
	s.two.Protocols.SetHTTP2(true)
	s.two.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams:          100,
		MaxReceiveBufferPerStream:     256 << 10, // an upload needs more than 64 KiB to fill a long path
		MaxReceiveBufferPerConnection: 1 << 20,
		SendPingTimeout:               30 * time.Second,
		PingTimeout:                   15 * time.Second,
		WriteByteTimeout:              writeTime,
	}

	var wg sync.WaitGroup
	wg.Go(func() { _ = s.one.Serve(s.oneConns) }) // both end by Shutdown, and only by it
	wg.Go(func() { _ = s.two.Serve(s.twoConns) })
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	var shaking sync.WaitGroup
	err := s.accept(ctx, l, func(c net.Conn) { shaking.Go(func() { s.handshake(live, c) }) })
	stop()
	_ = l.Close()

	late := time.AfterFunc(drainTime, cut)
	defer late.Stop()
	s.upgrades.closeAll()
	shaking.Wait()
	s.newcomers.wait(live, firstTime)
	var drain sync.WaitGroup
	for _, srv := range []*http.Server{s.one, s.two} {
		drain.Go(func() {
			if srv.Shutdown(live) != nil {
				_ = srv.Close() // the grace is over; an error would be of the listener, which is ours
			}
		})
	}
	drain.Wait()
	cut()
	s.requests.Wait()
	wg.Wait()
	for _, pool := range p.current.Load().pools {
		pool.close()
	}
	return err
}

func (s *server) newServer(live context.Context) *http.Server {
	return &http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            headTime,
		IdleTimeout:                  keepTime,
		MaxHeaderBytes:               strict.MaxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		Protocols:                    new(http.Protocols),
		ErrorLog:                     slog.NewLogLogger(s.proxy.log.Handler(), slog.LevelDebug),
		BaseContext:                  func(net.Listener) context.Context { return live },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			session := sessionOf(c)
			session.first = sync.OnceFunc(func() { s.newcomers.leave(c) })
			return context.WithValue(ctx, sessionKey{}, session)
		},
		ConnState: func(c net.Conn, is http.ConnState) {
			if is == http.StateClosed || is == http.StateHijacked {
				s.newcomers.leave(c)
			}
		},
	}
}

// accept calls shake for every connection until the listener ends.
func (s *server) accept(ctx context.Context, l net.Listener, shake func(net.Conn)) error {
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			shake(c)
		case ctx.Err() != nil:
			return nil
		default:
			return fmt.Errorf("accept %s: %w", l.Addr(), err)
		}
	}
}

// handshake hands the connection to the server of the protocol that it ends up with.
func (s *server) handshake(ctx context.Context, raw net.Conn) {
	c, err := terminate.Handshake(ctx, raw, s.tls)
	if err != nil {
		result := "failed"
		if errors.Is(err, terminate.ErrNoCertificate) {
			result = "no_certificate"
		}
		s.proxy.metrics.handshakes.WithLabelValues(result).Inc()
		s.proxy.log.Debug("tls handshake", "err", err)
		return
	}
	s.proxy.metrics.handshakes.WithLabelValues("ok").Inc()
	if c.ConnectionState().NegotiatedProtocol == "h2" {
		s.newcomers.enter(c)
		s.twoConns.put(c)
		return
	}
	g := &gate{Conn: c}
	g.session = newSession(c)
	g.session.gate = g
	g.refused = func() { s.proxy.refusedOnWire(g.session) }
	s.newcomers.enter(g)
	s.oneConns.put(g)
}

// newSession describes a connection after its handshake. Without a canonical name there is no
// certificate, hence no handshake.
func newSession(c *tls.Conn) *session {
	state := c.ConnectionState()
	name, _ := hostname.Canonical(state.ServerName) // "": none
	return &session{
		name: name, client: addrPort(c.RemoteAddr()), local: addrPort(c.LocalAddr()), papers: papers{shown: state.PeerCertificates},
	}
}

// sessionOf finds the session of what net/http was given: HTTP/2 it serves only on a bare tls.Conn.
func sessionOf(c net.Conn) *session {
	if g, ok := c.(*gate); ok {
		return g.session
	}
	return newSession(c.(*tls.Conn))
}

// ServeHTTP serves one request of either protocol.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	defer s.requests.Done()
	session := r.Context().Value(sessionKey{}).(*session)
	session.first()
	s.proxy.serveHTTP(w, r, session, s.upgrades)
}

// queue is a listener for connections that were accepted elsewhere.
type queue struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (q *queue) put(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.done:
		_ = c.Close()
	}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

func (q *queue) Addr() net.Addr { return q.addr }

// addrPort is the address of one end of a connection; zero if it is no IP address.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

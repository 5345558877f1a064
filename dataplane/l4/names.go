package l4

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/requestlog"
	"github.com/warrenedge/warren/dataplane/terminate"
	"github.com/warrenedge/warren/shared/hostname"
)

// names are the services that are reached by a hostname.
type names struct {
	byPattern map[string]*name
}

type name struct {
	*forward
	certs   terminate.Choice
	clients *terminate.Clients
	admit   func(client netip.Addr, shown []*x509.Certificate) bool
}

// newNames indexes services by their pattern. Of two with one hostname, which the control plane never
// sends, the first is kept.
func newNames(in []Name, health *balance.Health) *names {
	t := &names{byPattern: make(map[string]*name, len(in))}
	for _, n := range in {
		if _, taken := t.byPattern[n.Hostname]; !taken {
			f := newForward(Forward{Service: n.Service, ProxyProtocol: n.ProxyProtocol, Targets: n.Targets}, health)
			t.byPattern[n.Hostname] = &name{f, terminate.NewChoice(n.Certificates...), n.Clients, n.Admit}
		}
	}
	return t
}

// match finds the service of a canonical name: the exact one, else the wildcard in place of the one
// leftmost label, else none.
func (t *names) match(canonical string) *name {
	if n, ok := t.byPattern[canonical]; ok {
		return n
	}
	if w, ok := hostname.Wildcard(canonical); ok {
		return t.byPattern[w]
	}
	return nil
}

// tlsConfig is the configuration of every handshake.
//
// A client that offers one application protocol gets it: some insist (PostgreSQL's direct TLS), and the
// target speaks nothing else. One that offers several gets none, since only the target could choose.
func (s *Server) tlsConfig() *tls.Config {
	cfg := terminate.Config(func(canonical string) (terminate.Choice, *terminate.Clients) {
		if n := s.names.Load().match(canonical); n != nil {
			return n.certs, n.clients
		}
		return nil, nil
	}, &s.tickets)
	asking := cfg.GetConfigForClient
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		own, err := asking(hello)
		if err != nil || len(hello.SupportedProtos) != 1 {
			return own, err
		}
		only := cmp.Or(own, cfg).Clone()
		only.NextProtos = hello.SupportedProtos
		return only, nil
	}
	return cfg
}

// ServeTLS ends TLS on what l accepts and carries what is in it to the service of its name, until ctx ends.
// Then it closes l, gives connections drainTime and cuts the rest. Who accepted them has counted them.
func (s *Server) ServeTLS(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer l.Close()
	live, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	cfg := s.tlsConfig()
	var work sync.WaitGroup
	err := inbound.Accept(ctx, l, func(c net.Conn) {
		s.m.accepted.WithLabelValues(kindName).Inc()
		work.Go(func() { s.serveName(live, c, cfg) })
	}, s.acceptFailed)
	timer := time.AfterFunc(drainTime, cut)
	defer timer.Stop()
	if err != nil {
		cut()
	}
	work.Wait()
	return err
}

// serveName is the life of one connection, its handshake included, until live ends.
func (s *Server) serveName(live context.Context, raw net.Conn, cfg *tls.Config) {
	open := s.m.open.WithLabelValues(kindName)
	open.Inc()
	defer open.Dec()
	client, local := inbound.AddrPort(raw.RemoteAddr()), inbound.AddrPort(raw.LocalAddr())
	c, err := terminate.Handshake(live, raw, cfg)
	if err != nil {
		why := reasonTLS
		if errors.Is(err, terminate.ErrNoCertificate) {
			why = reasonNoRoute
		}
		s.m.closed.WithLabelValues(string(why)).Inc()
		s.log.Debug("tls handshake", "err", err)
		return
	}
	canonical, err := hostname.Canonical(c.ConnectionState().ServerName)
	n := s.names.Load().match(canonical)
	if err != nil || n == nil { // gone since
		s.m.closed.WithLabelValues(string(reasonNoRoute)).Inc()
		_ = c.Close()
		return
	}
	if n.admit != nil && !n.admit(client.Addr(), c.ConnectionState().PeerCertificates) {
		s.m.closed.WithLabelValues(string(reasonNotAllowed)).Inc()
		s.refused(n.forward, requestlog.TLS, client, reasonNotAllowed)
		_ = c.Close()
		return
	}
	r := newRecord(n.forward, requestlog.TLS, client)
	r.Host = canonical
	s.carry(live, c, n.forward, n.request(key{}, client, local), r)
}

package httpproxy

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/terminate"
)

// handshake shakes hands with e and returns what came of it.
func handshake(t *testing.T, e *edge, cfg *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	raw, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
	c := tls.Client(raw, cfg)
	if err := c.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	// A ticket of TLS 1.3 comes behind the handshake: any answer is behind the ticket.
	if _, err := c.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		return tls.ConnectionState{}, err
	}
	_, _ = c.Read(make([]byte, 1))
	return c.ConnectionState(), nil
}

func TestT2_CertificateByName(t *testing.T) {
	e := newEdge(t, nil)
	exact, wild, other := e.certificate(t, "www.example"), e.certificate(t, "*.example"), e.certificate(t, "other.example")
	e.Apply(Config{Certificates: []Certificate{exact, wild, other}, Routes: []Route{
		{Hostname: "www.example", Certificate: exact.Name}, {Hostname: "*.example", Certificate: wild.Name},
		{Hostname: "shop.example", Certificate: wild.Name},
		{Hostname: "missing.example", Certificate: "certificate/none"}, {Hostname: "wrong.example", Certificate: other.Name}, {Hostname: "unset.example"},
	}})
	if n := len(e.current.Load().problems); n != 3 {
		t.Errorf("%d problems, want 3: %v", n, e.current.Load().problems)
	}
	const alert = "unrecognized name"
	for _, tt := range []struct{ sni, subject, alert string }{
		{"www.example", "www.example", ""},
		{"WWW.Example", "www.example", ""},
		{"x.example", "*.example", ""},
		{"shop.example", "*.example", ""},
		{"x.y.example", "", alert},
		{"example", "", alert},
		{"missing.example", "", alert}, // not the wildcard's
		{"wrong.example", "", alert},
		{"unset.example", "", alert},
		{"unknown.test", "", alert},
		{"", "", alert},
	} {
		t.Run(tt.sni, func(t *testing.T) {
			state, err := handshake(t, e, &tls.Config{ServerName: tt.sni, InsecureSkipVerify: true})
			switch {
			case tt.alert != "" && (err == nil || !strings.Contains(err.Error(), tt.alert)):
				t.Fatalf("got %v, want alert %q", err, tt.alert)
			case tt.alert == "" && err != nil:
				t.Fatal(err)
			case tt.alert == "" && state.PeerCertificates[0].Subject.CommonName != tt.subject:
				t.Errorf("got the certificate of %s, want %s", state.PeerCertificates[0].Subject.CommonName, tt.subject)
			}
		})
	}
	waitFor(t, func() bool { return value(t, e.metrics.handshakes.WithLabelValues("no_certificate")) == 7 })
}

// Of two certificates of a route a client is shown the one that it can check; that one is missing or for other names takes
// nothing from the other.
func TestCertificateByKey(t *testing.T) {
	e := newEdge(t, nil)
	ec, rs, other := e.certificate(t, "www.example"), e.signed(t, rsaKey(t), "www.example"), e.certificate(t, "other.example")
	rs.Name = "certificate/rsa"
	e.Apply(Config{Certificates: []Certificate{ec, rs, other}, Routes: []Route{
		{Hostname: "www.example", Certificate: rs.Name, Further: []string{ec.Name, other.Name, "certificate/none"}},
	}})
	if n := len(e.current.Load().problems); n != 2 {
		t.Errorf("%d problems, want 2: %v", n, e.current.Load().problems)
	}
	for suite, want := range map[uint16]Certificate{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: rs, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: ec, 0: ec} {
		cfg := &tls.Config{ServerName: "www.example", RootCAs: e.root}
		if suite != 0 {
			cfg.MaxVersion, cfg.CipherSuites = tls.VersionTLS12, []uint16{suite}
		}
		state, err := handshake(t, e, cfg)
		if err != nil {
			t.Errorf("suite %s: %v", tls.CipherSuiteName(suite), err)
		} else if !state.PeerCertificates[0].Equal(want.TLS.Leaf) {
			t.Errorf("suite %s: shown %v", tls.CipherSuiteName(suite), state.PeerCertificates[0].PublicKeyAlgorithm)
		}
	}
}

func rsaKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestB2_ProtocolVersionsAndSuites(t *testing.T) {
	e := newEdge(t, nil)
	e.serve(t, map[string]string{"a.example": "none"})
	for _, tt := range []struct {
		name string
		cfg  *tls.Config
		good bool
		alpn string
	}{
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false, ""},
		{"TLS 1.2, CBC", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, false, ""},
		{"TLS 1.2, GCM", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}, true, ""},
		{"TLS 1.3", &tls.Config{MinVersion: tls.VersionTLS13}, true, ""},
		{"h2 first", &tls.Config{NextProtos: []string{"http/1.1", "h2"}}, true, "h2"},
		{"http/1.1", &tls.Config{NextProtos: []string{"http/1.1"}}, true, "http/1.1"},
		{"another protocol", &tls.Config{NextProtos: []string{"smtp"}}, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.ServerName, tt.cfg.InsecureSkipVerify = "a.example", true
			state, err := handshake(t, e, tt.cfg)
			if (err == nil) != tt.good || state.NegotiatedProtocol != tt.alpn {
				t.Errorf("got %v, protocol %q", err, state.NegotiatedProtocol)
			}
		})
	}
}

// oneSession offers the same session whatever the server is called.
type oneSession struct{ s *tls.ClientSessionState }

func (o *oneSession) Get(string) (*tls.ClientSessionState, bool) { return o.s, o.s != nil }
func (o *oneSession) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		o.s = s
	}
}

func TestT3_TicketsAreBoundToTheirName(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			e := newEdge(t, nil)
			e.serve(t, map[string]string{"a.example": "one", "b.example": "two"})
			tickets := new(oneSession)
			ask := func(name string) (tls.ConnectionState, error) {
				return handshake(t, e, &tls.Config{ServerName: name, InsecureSkipVerify: true, ClientSessionCache: tickets, MinVersion: version, MaxVersion: version})
			}
			if s, err := ask("a.example"); err != nil || s.DidResume {
				t.Fatalf("first: %v, resumed %t", err, s.DidResume)
			}
			ticket := tickets.s
			if s, err := ask("A.example"); err != nil || !s.DidResume {
				t.Fatalf("same name: %v, resumed %t", err, s.DidResume)
			}
			tickets.s = ticket
			if s, err := ask("b.example"); err != nil || s.DidResume {
				t.Fatalf("another name: %v, resumed %t", err, s.DidResume)
			}
			tickets.s = ticket
			e.Apply(Config{})
			if _, err := ask("a.example"); err == nil || errors.Is(err, net.ErrClosed) {
				t.Fatalf("a name without a route any more: %v", err)
			}
		})
	}
}

// Nodes of a pool share the keys of tickets: a client resumes at another one, while keys change, and no longer than
// the key of its ticket is known.
func TestTicketsOfThePool(t *testing.T) {
	key := func(b byte) (k terminate.TicketKey) {
		for i := range k {
			k[i] = b
		}
		return k
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			edges := []*edge{newEdge(t, nil), newEdge(t, nil)}
			cert := edges[0].certificate(t, "a.example")
			tickets := new(oneSession)
			for _, e := range edges {
				e.Apply(Config{Certificates: []Certificate{cert}, Routes: []Route{{Hostname: "a.example", Certificate: cert.Name}}})
			}
			ask := func(at int, what string, resumed bool) {
				t.Helper()
				s, err := handshake(t, edges[at], &tls.Config{ServerName: "a.example", InsecureSkipVerify: true, ClientSessionCache: tickets, MinVersion: version, MaxVersion: version})
				if err != nil || s.DidResume != resumed {
					t.Errorf("%s: resumed %t, %v; want %t", what, s.DidResume, err, resumed)
				}
			}
			set := func(at int, keys ...terminate.TicketKey) { edges[at].SetTicketKeys(keys) }
			ask(0, "first", false)
			ask(1, "at another node, without shared keys", false)
			set(0, key(1))
			set(1, key(1))
			ask(0, "the keys are others now", false)
			ask(1, "at another node", true)
			set(1, key(1), key(2)) // one has learnt the new key
			ask(0, "back, while the other one learns", true)
			set(0, key(2), key(1)) // and the other one seals with it
			ask(0, "sealed anew", true)
			ask(1, "where the new key only opens", true)
			set(1, key(2))
			set(0, key(2))
			ask(1, "the old key is gone", false)
			set(1)
			ask(1, "told of none, it keeps what it has", true)
			set(0, key(3))
			ask(0, "keys that it does not know", false)
		})
	}
}

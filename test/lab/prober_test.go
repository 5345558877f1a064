package lab

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/shared/bubbletest"
)

// fakeNode is a machine with an HTTPS server that can die.
type fakeNode struct {
	srv   *http.Server
	conns chan net.Conn
	addr  netip.AddrPort // the last that was dialled

	mu   sync.Mutex
	dead bool
	open []*breakable
}

// breakable is a connection that can be reset, as the kernel does it.
type breakable struct {
	net.Conn
	broken atomic.Bool
}

func (b *breakable) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if err != nil && b.broken.Load() {
		err = syscall.ECONNRESET
	}
	return n, err
}

func newFakeNode(t *testing.T, h http.HandlerFunc) (*fakeNode, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"app.test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	n := &fakeNode{conns: make(chan net.Conn), srv: &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}}
	go func() {
		_ = n.srv.Serve(tls.NewListener(n, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}))
	}()
	t.Cleanup(func() {
		_ = n.srv.Close()
		time.Sleep(10 * time.Second) // of the bubble: to close TLS takes 5 s when the other end does not read
	})
	return n, &tls.Config{RootCAs: roots}
}

func (n *fakeNode) Accept() (net.Conn, error) {
	c, ok := <-n.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (n *fakeNode) Close() error   { close(n.conns); return nil }
func (n *fakeNode) Addr() net.Addr { return &net.TCPAddr{} }

func (n *fakeNode) Dial(_ context.Context, _ string, addr netip.AddrPort) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addr = addr
	if n.dead {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	near, far := net.Pipe()
	b := &breakable{Conn: near}
	n.open = append(n.open, b)
	n.conns <- far
	return b, nil
}

func (n *fakeNode) die() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = true
	for _, b := range n.open {
		b.broken.Store(true)
		_ = b.Conn.Close()
	}
	n.open = nil
}

func (n *fakeNode) revive() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = false
}

func resolved(addr string) func(context.Context, string) (netip.Addr, error) {
	return func(_ context.Context, host string) (netip.Addr, error) {
		if host != "app.test" {
			return netip.Addr{}, errors.New("unknown name")
		}
		return netip.ParseAddr(addr)
	}
}

// probeFor runs a prober for a time while something happens.
func probeFor(t *testing.T, p Probe, d time.Duration, meanwhile func(*Prober)) Report {
	t.Helper()
	pr, err := NewProber(p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- pr.Run(ctx) }()
	meanwhile(pr)
	if err := <-done; err != nil {
		t.Error(err)
	}
	return pr.Report()
}

func TestProberMeasuresAnOutage(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		n, conf := newFakeNode(t, func(http.ResponseWriter, *http.Request) {})
		r := probeFor(t, Probe{From: n, URL: "https://app.test/", Rate: 100, TLS: conf, Resolve: resolved("192.0.2.1")}, 9995*time.Millisecond, func(p *Prober) {
			time.Sleep(2995 * time.Millisecond)
			p.Mark("kill")
			n.die()
			time.Sleep(2 * time.Second)
			n.revive()
		})
		if r.Sent != 1000 || r.Failed != 200 || r.Failures["refused"] != 200 || r.LongestGap != 2010*time.Millisecond || r.Lost != 1 {
			t.Errorf("%v", r)
		}
		if want := (Heal{"kill", 200, 0, true, 2005 * time.Millisecond}); len(r.Heals) != 1 || r.Heals[0] != want {
			t.Errorf("%+v", r.Heals)
		}
		if n.addr != netip.MustParseAddrPort("192.0.2.1:443") {
			t.Errorf("dialled %v", n.addr)
		}
	})
}

// Requests are sent when they are due, whatever becomes of those before.
func TestProberIsOpenLoop(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		n, conf := newFakeNode(t, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
				panic(http.ErrAbortHandler) // or the client may read an answer in the moment in which it gives up
			case <-time.After(time.Minute):
			}
		})
		r := probeFor(t, Probe{From: n, URL: "https://app.test/", Rate: 10, Timeout: 3 * time.Second, TLS: conf, Resolve: resolved("192.0.2.1")}, 1950*time.Millisecond, func(*Prober) {})
		if r.Sent != 20 || r.Failures["timeout"] != 20 || r.Lost != 20 || r.LongestGap != 4900*time.Millisecond {
			t.Errorf("%v", r)
		}
	})
}

// Who waits for a connection has all of its time once it has it; who waits for too long is not sent.
func TestProberWaitsForConnections(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		asked := 0
		n, conf := newFakeNode(t, func(http.ResponseWriter, *http.Request) {
			asked++
			time.Sleep(800 * time.Millisecond)
		})
		p := Probe{From: n, URL: "https://app.test/", Rate: 20, Timeout: time.Second, TLS: conf, Resolve: resolved("192.0.2.1"), Conns: 1}
		r := probeFor(t, p, 145*time.Millisecond, func(*Prober) {})
		if r.Sent != 3 || r.Failed != 1 || r.Failures["not sent: 1 under way"] != 1 || asked != 2 {
			t.Errorf("%v; asked %d times", r, asked)
		}
	})
}

// A request on a connection that breaks under it has failed: net/http's second try would hide it.
func TestProberTriesNothingTwice(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		var n *fakeNode
		requests := 0
		n, conf := newFakeNode(t, func(w http.ResponseWriter, _ *http.Request) {
			if requests++; requests == 3 {
				n.die()
				n.revive()
			}
		})
		r := probeFor(t, Probe{From: n, URL: "https://app.test/", Rate: 10, TLS: conf, Resolve: resolved("192.0.2.1")}, 950*time.Millisecond, func(*Prober) {})
		if r.Sent != 10 || r.Failed != 1 || r.Lost != 1 || requests != 10 {
			t.Errorf("%v; %d requests came", r, requests)
		}
	})
}

func TestProberSaysWhy(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		n, conf := newFakeNode(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/502":
				w.WriteHeader(http.StatusBadGateway)
			case "/short":
				w.Header().Set("Content-Length", "10")
				_, _ = io.WriteString(w, "short")
			}
		})
		for url, want := range map[string]string{
			"https://app.test/502":   "status 502",
			"https://app.test/short": "ended",
			"https://elsewhere.test": "no address",
			"https://192.0.2.1":      "no address",
		} {
			r := probeFor(t, Probe{From: n, URL: url, Rate: 10, TLS: conf, Resolve: resolved("192.0.2.1"), Fresh: true}, 50*time.Millisecond, func(*Prober) {})
			if r.Failures[want] != 1 || r.Failed != 1 {
				t.Errorf("%s: %v, want %s", url, r, want)
			}
		}
		r := probeFor(t, Probe{From: n, URL: "https://app.test", Rate: 10, TLS: &tls.Config{RootCAs: x509.NewCertPool()}, Resolve: resolved("192.0.2.1")}, 50*time.Millisecond, func(*Prober) {})
		if r.Failures["tls"] != 1 {
			t.Errorf("unknown authority: %v", r)
		}
		r = probeFor(t, Probe{From: n, URL: "https://192.0.2.1", Rate: 10, TLS: conf}, 50*time.Millisecond, func(*Prober) {})
		if r.Failures["tls"] != 1 {
			t.Errorf("another name: %v", r)
		}
	})
}

func TestProberRefusesWhatItCannotAsk(t *testing.T) {
	for _, p := range []Probe{{URL: "https://app.test"}, {From: &fakeNode{}, URL: "https://app.test"}, {From: &fakeNode{}, URL: "://", Rate: 1}} {
		if _, err := NewProber(p); err == nil {
			t.Errorf("%+v was taken", p)
		}
	}
}

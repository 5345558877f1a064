package httpproxy

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/reach"
	"github.com/warrenedge/warren/dataplane/sni"
)

// fragmenting cuts what is written, the first time into records of one byte, in writes of seven.
type fragmenting struct {
	net.Conn
	first bool
}

func (f *fragmenting) Write(p []byte) (int, error) {
	out := p
	if f.first {
		f.first = false
		out = nil
		for _, b := range p[5:] {
			out = append(out, p[0], p[1], p[2], 0, 1, b)
		}
	}
	for rest := out; len(rest) > 0; {
		n := min(7, len(rest))
		if _, err := f.Conn.Write(rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// TestT1_FragmentedHelloEndsAtTheSameRoute goes through the whole port: sni reads the hello, gives it
// back, and the certificate and the route are those of the name in it.
func TestT1_FragmentedHelloEndsAtTheSameRoute(t *testing.T) {
	e := newEdge(t, map[string]string{"strict": named(t, "strict"), "wild": named(t, "wild")})
	e.serve(t, map[string]string{"strict.example": "strict", "*.example": "wild"})
	handoff := sni.NewHandoff()
	log := slog.New(slog.DiscardHandler)
	f := sni.New(sni.Options{Reach: reach.Dialer{Health: newHealth(), Log: log}, Limit: inbound.NewLimiter(10, 100), HTTP: handoff, Log: log, Registerer: prometheus.NewRegistry()})
	f.Apply(sni.Config{Routes: []sni.Route{{Hostname: "strict.example"}, {Hostname: "*.example"}}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- f.Serve(ctx, l) }()
	go func() { done <- e.Serve(ctx, handoff) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	for _, h2 := range []bool{false, true} {
		client := e.client(t, h2, "")
		tr := client.Transport.(*http.Transport)
		tr.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			raw, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
			if err != nil {
				return nil, err
			}
			cfg := &tls.Config{ServerName: "strict.example", RootCAs: e.root, NextProtos: []string{"http/1.1"}}
			if h2 {
				cfg.NextProtos = []string{"h2"}
			}
			c := tls.Client(&fragmenting{raw, true}, cfg)
			return c, c.HandshakeContext(ctx)
		}
		resp, err := client.Get("https://strict.example/")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(b) != "strict /" || resp.TLS != nil && resp.TLS.PeerCertificates[0].Subject.CommonName != "strict.example" {
			t.Errorf("h2=%t: %q", h2, b)
		}
	}
}

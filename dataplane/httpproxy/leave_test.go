package httpproxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

// A client that is answered by a node which is about to end connects anew, in HTTP/1.1 and HTTP/2; no request is lost by it.
func TestLeavingNodeEndsConnectionsWithAnswers(t *testing.T) {
	for _, two := range []bool{false, true} {
		p := newPort(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") })
		client, dials := p.client(t, two, ""), atomic.Int32{}
		client.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			dials.Add(1)
			return new(net.Dialer).DialContext(ctx, "tcp", p.addr)
		}
		get := func() {
			t.Helper()
			resp, err := client.Get("https://a.example/")
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || string(b) != "answer" || (resp.ProtoMajor == 2) != two {
				t.Fatalf("HTTP/%d: %q, %v", resp.ProtoMajor, b, err)
			}
		}
		for _, step := range []struct {
			leaving bool
			dials   int32 // of three requests
		}{{false, 1}, {true, 2}, {false, 1}} {
			p.Leave(step.leaving)
			for range 3 {
				get()
			}
			if got := dials.Swap(0); got != step.dials {
				t.Errorf("HTTP/2 %t, leaving %t: %d connections for three requests, want %d", two, step.leaving, got, step.dials)
			}
		}
		p.end()
		for range cap(p.done) {
			if err := <-p.done; err != nil {
				t.Error(err)
			}
		}
	}
}

// A connection that is upgraded is not answered so.
func TestLeavingNodeStillUpgrades(t *testing.T) {
	e := newEdge(t, map[string]string{"b": backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			t.Errorf("%v", r.Header)
		}
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
	})})
	e.serve(t, map[string]string{"a.example": "b"})
	e.Leave(true)
	req, err := http.NewRequest(http.MethodGet, "https://a.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	resp, err := e.client(t, false, "").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Connection") != "Upgrade" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}

package httpproxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/warrenedge/warren/dataplane/balance"
)

func TestRouting(t *testing.T) {
	e := newEdge(t, map[string]string{"root": named(t, "root"), "a": named(t, "a"), "ab": named(t, "ab"), "gone": "127.0.0.1:1"})
	c := e.certificate(t, "www.example", "only.example", "empty.example")
	to := func(id string) []balance.Target { return []balance.Target{{ID: id, Site: "site", Weight: 1}} }
	e.Apply(Config{Certificates: []Certificate{c}, Routes: []Route{
		{Hostname: "www.example", Certificate: c.Name, Rules: []Rule{{"/", to("root")}, {"/a", to("a")}, {"/a/b/", to("ab")}, {"/gone", to("gone")}, {"/far", to("unknown")}, {"/none", nil}}},
		{Hostname: "only.example", Certificate: c.Name, Rules: []Rule{{"/a", to("a")}}},
		{Hostname: "empty.example", Certificate: c.Name},
	}})
	for _, h2 := range []bool{false, true} {
		client := e.client(t, h2, "")
		for _, tt := range []struct {
			url    string
			status int
			body   string
		}{
			{"https://www.example/", 200, "root /"},
			{"https://www.example/ab", 200, "root /ab"},
			{"https://www.example/a", 200, "a /a"},
			{"https://www.example/a/", 200, "a /a/"},
			{"https://www.example/%61/x", 200, "a /a/x"},
			{"https://www.example/a/bc", 200, "a /a/bc"},
			{"https://www.example/a/b", 200, "ab /a/b"},
			{"https://www.example/a/b/c?d=/e", 200, "ab /a/b/c"},
			{"https://only.example/b", 404, "Not Found"},
			{"https://empty.example/", 503, "Service Unavailable"},
			{"https://www.example/none", 503, "Service Unavailable"},
			{"https://www.example/far", 503, "Service Unavailable"},
			{"https://www.example/gone", 502, "Bad Gateway"},
		} {
			status, body := get(t, client, tt.url)
			if tt.status != 200 { // a page of ours: the status, a request id and nothing else
				first, rest, _ := strings.Cut(body, "\n")
				if !strings.HasPrefix(rest, "Request ") || len(rest) != len("Request ")+36+1 {
					t.Errorf("%s: page %q", tt.url, body)
				}
				body = first
			}
			if status != tt.status || body != tt.body {
				t.Errorf("h2=%t %s: %d %q, want %d %q", h2, tt.url, status, body, tt.status, tt.body)
			}
		}
	}
}

// TestForwardedForIsTheRequestsClient sends requests of two clients over one kept connection to the
// target, whose announced client can only be the first.
func TestForwardedForIsTheRequestsClient(t *testing.T) {
	e := newEdge(t, map[string]string{"b": backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-For"))
	})})
	e.serve(t, map[string]string{"a.example": "b"})
	for _, from := range []string{"127.0.0.2", "127.0.0.3"} {
		client := e.client(t, true, "")
		client.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext(ctx, "tcp", e.addr)
		}
		if _, body := get(t, client, "https://a.example/"); body != from {
			t.Errorf("the target was told %q, want %q", body, from)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.dialled) != 1 || e.dialled[0].Client.Addr().String() != "127.0.0.2" || e.dialled[0].Local.String() != e.addr || e.dialled[0].Service != "service-b" {
		t.Errorf("dialled %+v", e.dialled)
	}
}

// TestT8_TargetsNeverShareConnections gives two targets one address: each has its own connections.
func TestT8_TargetsNeverShareConnections(t *testing.T) {
	addr := backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })
	e := newEdge(t, map[string]string{"one": addr, "two": addr})
	e.serve(t, map[string]string{"a.example": "one", "b.example": "two"})
	client := e.client(t, false, "")
	seen := map[string]string{}
	for range 5 {
		for _, host := range []string{"a.example", "b.example"} {
			_, from := get(t, client, "https://"+host+"/")
			if was, ok := seen[from]; ok && was != host {
				t.Fatalf("%s and %s shared a connection", was, host)
			}
			seen[from] = host
		}
	}
	if len(seen) != 2 {
		t.Errorf("%d connections for 2 targets: kept ones were not used", len(seen))
	}
}

func TestT13_CredentialsAreNotLogged(t *testing.T) {
	e := newEdge(t, map[string]string{"b": named(t, "b")})
	e.serve(t, map[string]string{"a.example": "b"})
	req, err := http.NewRequest(http.MethodPost, "https://a.example/x?token=canary", strings.NewReader("canary"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer canary")
	req.Header.Set("Cookie", "session=canary")
	req.Header.Set("Referer", "https://a.example/?canary")
	resp, err := e.client(t, true, "").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	waitFor(t, func() bool { return len(e.logs.lines(t)) == 1 })
	line := e.logs.lines(t)[0]
	if s := fmt.Sprint(line); strings.Contains(s, "canary") {
		t.Errorf("logged %s", s)
	}
	for key, want := range map[string]any{"host": "a.example", "path": "/x", "status": 200.0, "method": "POST", "service": "service-b", "target": "b", "site": "site",
		"client": "127.0.0.1", "sni": "a.example", "in": 6.0, "out": 4.0, "id": resp.Header.Get("X-Request-Id"), "proto": "HTTP/2.0"} {
		if line[key] != want {
			t.Errorf("logged %s=%v, want %v", key, line[key], want)
		}
	}
}

// TestStreamingIsFlushed lets the target go on only after the client has its first piece.
func TestStreamingIsFlushed(t *testing.T) {
	next := make(chan struct{})
	e := newEdge(t, map[string]string{"b": backend(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			_, _ = io.WriteString(w, "piece")
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	})})
	e.serve(t, map[string]string{"a.example": "b"})
	for _, h2 := range []bool{false, true} {
		resp, err := e.client(t, h2, "").Get("https://a.example/")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := io.ReadFull(resp.Body, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			next <- struct{}{}
		}
		_ = resp.Body.Close()
	}
}

// TestGRPC speaks as gRPC does: HTTP/2 on both sides, both directions open at once, and the status
// in a trailer.
func TestGRPC(t *testing.T) {
	e := newEdge(t, map[string]string{"b": backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" {
			w.WriteHeader(http.StatusHTTPVersionNotSupported)
			return
		}
		w.Header().Set("Trailer", "Grpc-Status")
		_ = http.NewResponseController(w).Flush()
		for buf := make([]byte, 64); ; {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(buf[:n])
			_ = http.NewResponseController(w).Flush()
			if err != nil {
				break
			}
		}
		w.Header().Set("Grpc-Status", "0")
	})})
	e.serve(t, map[string]string{"a.example": "b"})
	in, out := io.Pipe()
	req, err := http.NewRequest(http.MethodPost, "https://a.example/pkg.Service/Method", in)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc+proto")
	req.Header.Set("Te", "trailers")
	resp, err := e.client(t, true, "").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, m := range []string{"one", "two"} {
		if _, err := io.WriteString(out, m); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(m))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != m {
			t.Fatalf("got %q, %v (status %d)", got, err, resp.StatusCode)
		}
	}
	_ = out.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("trailer %v, %v", resp.Trailer, err)
	}
}

// TestT8_ApplyIsAtomic changes everything while requests are under way: each sees one table, none fails.
func TestT8_ApplyIsAtomic(t *testing.T) {
	e := newEdge(t, map[string]string{"one": named(t, "one"), "two": named(t, "two")})
	c := e.certificate(t, "a.example")
	cfg := func(id string) Config {
		to := []balance.Target{{ID: id, Site: "site"}}
		return Config{Certificates: []Certificate{c}, Routes: []Route{{Service: id, Hostname: "a.example", Certificate: c.Name, Rules: []Rule{{"/", to}, {"/" + id, to}}}}}
	}
	e.Apply(cfg("one"))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ids := []string{"two", "one"}; ctx.Err() == nil; slices.Reverse(ids) {
			e.Apply(cfg(ids[0]))
		}
	})
	client := e.client(t, true, "")
	for range 200 {
		if status, body := get(t, client, "https://a.example/x"); status != 200 || body != "one /x" && body != "two /x" {
			t.Errorf("%d %q", status, body)
		}
	}
	cancel()
	wg.Wait()
}

// upgradeEcho switches protocols, then echoes.
func upgradeEcho(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "websocket" {
		w.WriteHeader(http.StatusUpgradeRequired)
		return
	}
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", "websocket")
	w.WriteHeader(http.StatusSwitchingProtocols)
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = io.Copy(c, rw)
}

// upgrade makes an upgraded connection to a.example.
func upgrade(t *testing.T, e *edge) (net.Conn, *bufio.Reader) {
	t.Helper()
	c := e.dial(t, "a.example")
	if _, err := io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "websocket" {
		t.Fatalf("upgrade: %v, %v", resp, err)
	}
	return c, r
}

func TestB6_Upgrade(t *testing.T) {
	e := newEdge(t, map[string]string{"b": backend(t, upgradeEcho)})
	e.serve(t, map[string]string{"a.example": "b"})
	c, r := upgrade(t, e)
	for _, frame := range []string{"\x81\x05hello", "\x00\r\n not HTTP \n\n", strings.Repeat("x", 100<<10)} {
		go func() { _, _ = io.WriteString(c, frame) }()
		got := make([]byte, len(frame))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != frame {
			t.Fatalf("echoed %d bytes of %d, %v", len(got), len(frame), err)
		}
	}
	if n := value(t, e.metrics.upgraded); n != 1 {
		t.Errorf("%v upgraded, want 1", n)
	}
	_ = c.Close()
	waitFor(t, func() bool { return value(t, e.metrics.upgraded) == 0 })

	// Bytes behind an upgrade that has not been agreed to are a request, or nothing.
	p := e.dial(t, "a.example")
	if _, err := io.WriteString(p, "GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: nonsense\r\n\r\n\x81\x05hello"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(p) // net/http closes without a word if the first four bytes are no request
	if err != nil || strings.Count(string(answer), "HTTP/1.1 ") != 1 || !strings.HasPrefix(string(answer), "HTTP/1.1 426 ") {
		t.Errorf("answered %q, %v", answer, err)
	}
}

// TestDrain ends Serve with a request in flight on each protocol and an upgraded connection.
func TestDrain(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	e := newEdge(t, map[string]string{"b": backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			upgradeEcho(w, r)
			return
		}
		arrived <- struct{}{}
		<-release
		_, _ = io.WriteString(w, "whole")
	})})
	e.serve(t, map[string]string{"a.example": "b"})
	_, ws := upgrade(t, e)
	answers := make(chan string, 2)
	for _, h2 := range []bool{false, true} {
		client := e.client(t, h2, "")
		go func() {
			resp, err := client.Get("https://a.example/")
			if err != nil {
				answers <- err.Error()
				return
			}
			b, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			answers <- string(b)
		}()
	}
	<-arrived
	<-arrived
	done := make(chan error, 1)
	go func() { done <- e.stop() }()
	if _, err := ws.ReadByte(); err == nil {
		t.Error("the upgraded connection is still open")
	}
	if _, err := net.Dial("tcp", e.addr); err == nil {
		t.Error("the listener is still open")
	}
	close(release)
	for range 2 {
		if got := <-answers; got != "whole" {
			t.Errorf("a request in flight ended with %q", got)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if n := value(t, e.metrics.inFlight); n != 0 {
		t.Errorf("%v requests in flight after Serve", n)
	}
}

package httpproxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/balance"
)

// raw is a target that does with each connection, counted from 1, what f says.
func raw(t *testing.T, f func(n int, c net.Conn)) (addr string, conns *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	conns = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(conns.Add(1))
			go func() { defer c.Close(); f(n, c) }()
		}
	}()
	return l.Addr().String(), conns
}

// request reads one request, body included.
func request(c net.Conn) (*http.Request, string) {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return nil, ""
	}
	b, _ := io.ReadAll(r.Body)
	return r, string(b)
}

func answer(c net.Conn, body string) {
	_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}

// between applies one route over several targets.
func (e *edge) between(t *testing.T, ids ...string) {
	t.Helper()
	c := e.certificate(t, "a.example")
	var to []balance.Target
	for _, id := range ids {
		to = append(to, balance.Target{ID: id, Site: "site", Weight: 1})
	}
	e.Apply(Config{Certificates: []Certificate{c}, Routes: []Route{{Service: "s", Hostname: "a.example", Certificate: c.Name, Rules: []Rule{{"/", to}}}}})
}

func TestUnsentRequestsGoToOtherTargets(t *testing.T) {
	alive, _ := raw(t, func(_ int, c net.Conn) {
		if r, body := request(c); r != nil {
			answer(c, r.Method+" "+body)
		}
	})
	e := newEdge(t, map[string]string{"dead": "127.0.0.1:1", "alive": alive}) // "far" has no way to it
	e.between(t, "dead", "far", "alive")
	for _, h2 := range []bool{false, true} {
		client := e.client(t, h2, "")
		for i := range 20 {
			body := strings.Repeat("x", 1+i*5000)
			resp, err := client.Post("https://a.example/", "text/plain", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK || string(got) != "POST "+body {
				t.Errorf("HTTP/%d, status %d, %d bytes, %v; want 200 and the %d bytes that were sent", resp.ProtoMajor, resp.StatusCode, len(got), err, len(body)+5)
			}
		}
	}
	e.between(t, "dead", "far")
	resp, err := e.client(t, false, "").Get("https://a.example/")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode < 502 || resp.StatusCode > 503 {
		t.Errorf("status %d although no target can be reached", resp.StatusCode)
	}
}

func TestUnansweredRequestsAreSentOnceMore(t *testing.T) {
	for _, tt := range []struct {
		method, body string
		breaks       int // connections that end without an answer
		begun        bool
		status       int
		attempts     int
	}{
		{method: "GET", breaks: 1, status: 200, attempts: 2},
		{method: "DELETE", breaks: 1, status: 200, attempts: 2},
		{method: "GET", breaks: 9, status: 502, attempts: 2},
		{method: "POST", breaks: 9, status: 502, attempts: 1},
		{method: "PATCH", breaks: 9, status: 502, attempts: 1},
		{method: "PUT", body: "is gone", breaks: 9, status: 502, attempts: 1},
		{method: "GET", breaks: 9, begun: true, status: 502, attempts: 2}, // of an answer without its head nothing has been seen
	} {
		t.Run(fmt.Sprint(tt.method, tt.breaks, tt.begun), func(t *testing.T) {
			addr, conns := raw(t, func(n int, c net.Conn) {
				r, body := request(c)
				switch {
				case r == nil:
				case n > tt.breaks:
					answer(c, body)
				case tt.begun:
					_, _ = io.WriteString(c, "HTTP/1.1 200 O")
				}
			})
			e := newEdge(t, map[string]string{"one": addr})
			e.between(t, "one")
			var body io.Reader
			if tt.body != "" {
				body = strings.NewReader(tt.body)
			}
			req, err := http.NewRequestWithContext(t.Context(), tt.method, "https://a.example/", body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := e.client(t, false, "").Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != tt.status || int(conns.Load()) != tt.attempts {
				t.Errorf("status %d after %d attempts, want %d after %d", resp.StatusCode, conns.Load(), tt.status, tt.attempts)
			}
		})
	}
}

// What a target says before its answer is told once, whichever attempt it belongs to.
func TestInterimAnswersAreToldOnce(t *testing.T) {
	addr, conns := raw(t, func(n int, c net.Conn) {
		if r, body := request(c); r != nil && n > 1 {
			_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
			answer(c, body)
		}
	})
	e := newEdge(t, map[string]string{"one": addr})
	e.between(t, "one")
	hints := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { hints++; return nil }})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://a.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := e.client(t, false, "").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || conns.Load() != 2 || hints != 1 {
		t.Errorf("status %d after %d attempts, early hints %d times; want 200 after 2, once", resp.StatusCode, conns.Load(), hints)
	}
}

// lastWords is a body that is closed by the time it is asked again after its end.
type lastWords struct{ left []byte }

func (l *lastWords) Read(p []byte) (int, error) {
	if l.left == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	n := copy(p, l.left)
	if l.left = l.left[n:]; len(l.left) > 0 {
		return n, nil
	}
	l.left = nil
	return n, io.EOF
}
func (l *lastWords) Close() error { return nil }

func TestTheEndOfABodyStaysTheEnd(t *testing.T) {
	watch := newWatchdog(time.Hour, http.NewResponseController(httptest.NewRecorder()), func() {})
	defer watch.stop()
	b := &requestBody{ReadCloser: &lastWords{[]byte("abcde")}, watch: watch}
	got, err := io.ReadAll(io.LimitReader(b, 5))
	if err != nil || string(got) != "abcde" {
		t.Fatalf("%q, %v", got, err)
	}
	for range 2 {
		if n, err := b.Read(make([]byte, 8)); n != 0 || err != io.EOF {
			t.Errorf("%d bytes, %v after the end", n, err)
		}
	}
}

// An answer that has begun is the client's already.
func TestBrokenAnswersAreNotSentAgain(t *testing.T) {
	addr, conns := raw(t, func(_ int, c net.Conn) {
		if r, _ := request(c); r != nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
		}
	})
	e := newEdge(t, map[string]string{"one": addr, "two": addr})
	e.between(t, "one", "two")
	resp, err := e.client(t, false, "").Get("https://a.example/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err == nil || string(got) != "half" || conns.Load() != 1 {
		t.Errorf("%q, %v after %d attempts; want a broken answer of one", got, err, conns.Load())
	}
}

func TestAnUnhealthyTargetGetsNothing(t *testing.T) {
	e := newEdge(t, map[string]string{"one": named(t, "one"), "two": named(t, "two")})
	e.between(t, "one", "two")
	e.health.Apply(map[string]bool{"one": true})
	client := e.client(t, true, "")
	for range 20 {
		resp, err := client.Get("https://a.example/")
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if !strings.HasPrefix(string(got), "two") {
			t.Fatalf("answer %q is of the unhealthy target", got)
		}
	}
}

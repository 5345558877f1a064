package httpproxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/reach"
	"github.com/warrenedge/warren/dataplane/sni"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// port is a whole TLS port: sni, and a Proxy that ends when sni says that nothing more will come.
type port struct {
	*edge
	addr     string
	accepted func() float64
	end      func()     // begins the end
	done     chan error // of sni and of the proxy
}

func newPort(t *testing.T, answer http.HandlerFunc) *port {
	t.Helper()
	reg, log, handoff := prometheus.NewRegistry(), slog.New(slog.DiscardHandler), sni.NewHandoff()
	f := sni.New(sni.Options{Reach: reach.Dialer{Health: newHealth(), Log: log}, Limit: inbound.NewLimiter(100, 100), HTTP: handoff, Log: log, Registerer: reg})
	f.Apply(sni.Config{Routes: []sni.Route{{Hostname: "a.example"}}})
	p := &port{edge: newEdge(t, map[string]string{"b": backend(t, answer)}), done: make(chan error, 2)}
	_ = p.stop() // its own listener: this port has another
	p.serve(t, map[string]string{"a.example": "b"})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	ctx, end := context.WithCancel(context.Background())
	late, endLate := context.WithCancel(context.Background())
	p.end = end
	go func() { p.done <- f.Serve(ctx, l) }()
	go func() { p.done <- p.Serve(late, handoff) }()
	go func() { <-f.Handed(); endLate() }()
	p.accepted = func() float64 {
		all, err := reg.Gather()
		if err != nil {
			t.Error(err)
		}
		for _, m := range all {
			if m.GetName() == "node_sni_accepted_total" {
				return m.GetMetric()[0].GetCounter().GetValue()
			}
		}
		t.Fatal("no metric of accepted connections")
		return 0
	}
	return p
}

// halting sends the beginning of what is written, and the rest when it may.
type halting struct {
	net.Conn
	once sync.Once
	goOn <-chan struct{}
}

func (h *halting) Write(p []byte) (n int, err error) {
	h.once.Do(func() {
		if n, err = h.Conn.Write(p[:len(p)/2]); err == nil {
			<-h.goOn
			p = p[n:]
		}
	})
	if err != nil {
		return n, err
	}
	m, err := h.Conn.Write(p)
	return n + m, err
}

// Connections that were accepted, and have sent half a hello when the end begins, get their answers.
func TestEndAnswersWhomItHasAccepted(t *testing.T) {
	p := newPort(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") })
	const each = 20
	goOn, answers := make(chan struct{}), make(chan string, 2*each)
	for i := range 2 * each {
		client := p.client(t, i%2 == 0, "")
		client.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			raw, err := new(net.Dialer).DialContext(ctx, "tcp", p.addr)
			return &halting{Conn: raw, goOn: goOn}, err
		}
		go func() {
			resp, err := client.Get("https://a.example/")
			if err != nil {
				answers <- err.Error()
				return
			}
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil {
				b = []byte(err.Error())
			}
			answers <- string(b)
		}()
	}
	waitFor(t, func() bool { return p.accepted() == 2*each })
	p.end()
	waitFor(t, func() bool {
		c, err := net.Dial("tcp", p.addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	close(goOn)
	for range 2 * each {
		if got := <-answers; got != "answer" {
			t.Errorf("answered %q", got)
		}
	}
	for range cap(p.done) {
		if err := <-p.done; err != nil {
			t.Error(err)
		}
	}
}

// A connection that has had no request when the end begins has a while for it, and no more.
func TestEndWaitsForAFirstRequest(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
	for name, c := range map[string]struct{ after, ends time.Duration }{
		"in time": {firstTime - time.Second, firstTime - time.Second}, "never": {0, firstTime},
	} {
		bubbletest.Run(t, func(t *testing.T) {
			b, end := newBubble(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") })
			conn := b.secure(t)
			synctest.Wait()
			start := time.Now()
			var wg sync.WaitGroup
			wg.Go(end)
			if c.after > 0 {
				time.Sleep(c.after)
				go func() { _, _ = io.WriteString(conn, request) }()
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "answer" {
					t.Errorf("%s: %q, %v", name, body, err)
				}
				_ = resp.Body.Close()
			}
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			wg.Wait()
			if took := time.Since(start); took < c.ends || took > c.ends+time.Second {
				t.Errorf("%s: ended after %v, want %v", name, took, c.ends)
			}
			_ = conn.Close()
		})
	}
}

// A handshake that never goes on ends with the drain, though its own time is not over.
func TestEndIsBoundedDuringAHandshake(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		b, end := newBubble(t, nil)
		conn := b.connect()
		var hello bytes.Buffer
		_ = tls.Client(onlyWrites{conn, &hello}, &tls.Config{ServerName: "a.example", InsecureSkipVerify: true}).Handshake()
		if _, err := conn.Write(hello.Bytes()[:hello.Len()/2]); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		start := time.Now()
		end()
		if took := time.Since(start); took > drainTime {
			t.Errorf("ended after %v, want %v at most", took, drainTime)
		}
		_ = conn.Close()
	})
}

// onlyWrites is a connection whose writes go elsewhere and that has nothing to read.
type onlyWrites struct {
	net.Conn
	to io.Writer
}

func (o onlyWrites) Write(p []byte) (int, error) { return o.to.Write(p) }
func (o onlyWrites) Read([]byte) (int, error)    { return 0, io.EOF }
func (o onlyWrites) Close() error                { return nil }

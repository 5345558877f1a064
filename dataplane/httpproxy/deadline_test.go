package httpproxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/terminate"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// bubble is a Proxy for a.example without a network, for the fake time of synctest.
type bubble struct {
	*edge
	front, back *queue
}

// newBubble starts a Proxy in front of h. Its end must be called in the bubble.
func newBubble(t *testing.T, h http.HandlerFunc) (b *bubble, end func()) {
	b = &bubble{edge: &edge{root: x509.NewCertPool(), logs: new(accessLog)}, front: newQueue(&net.UnixAddr{}), back: newQueue(&net.UnixAddr{})}
	b.Proxy = New(func(context.Context, fabric.Request) (net.Conn, fabric.Way, error) {
		near, far := net.Pipe()
		go b.back.put(far)
		return near, fabric.Way{}, nil
	}, newHealth(), slog.New(slog.DiscardHandler), prometheus.NewRegistry(), nil)
	b.serve(t, map[string]string{"a.example": "target"})
	srv := &http.Server{Handler: h}
	ctx, cancel := context.WithCancel(context.Background())
	var wg, target sync.WaitGroup
	target.Go(func() { _ = srv.Serve(b.back) })
	wg.Go(func() {
		if err := b.Serve(ctx, b.front); err != nil {
			t.Error(err)
		}
	})
	return b, func() {
		cancel()
		wg.Wait()
		_ = srv.Close()
		target.Wait()
	}
}

// connect gives a connection on which no byte has been sent.
func (b *bubble) connect() net.Conn {
	near, far := net.Pipe()
	go b.front.put(far)
	return near
}

func (b *bubble) secure(t *testing.T) *tls.Conn {
	c := tls.Client(b.connect(), &tls.Config{ServerName: "a.example", InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestT10_EveryStateHasADeadline stalls in each state of a connection.
func TestT10_EveryStateHasADeadline(t *testing.T) {
	const head = "Host: a.example\r\n"
	ok := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "ok")
	}
	for _, tt := range []struct {
		name    string
		target  http.HandlerFunc
		raw     bool // without a handshake
		send    string
		after   time.Duration // the connection is closed, or at most a second later
		answers string        // statuses
	}{
		{"no hello", ok, true, "", terminate.HandshakeTime, ""},
		{"no request", ok, false, "", headTime, ""},
		{"half a head", ok, false, "GET / HTTP/1.1\r\n" + head, headTime, ""},
		{"kept, then nothing", ok, false, "GET / HTTP/1.1\r\n" + head + "\r\n", keepTime, "200"},
		{"no body", ok, false, "POST / HTTP/1.1\r\n" + head + "Content-Length: 5\r\n\r\n", bodyGrace, "408"},
		{"half a chunk", ok, false, "POST / HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n5\r\nab", bodyGrace, "408"},
		{"target never answers", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, false, "GET / HTTP/1.1\r\n" + head + "Connection: close\r\n\r\n", idleTime, "504"},
		{"target stops in the middle", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, false, "GET / HTTP/1.1\r\n" + head + "\r\n", idleTime, "200"},
		{"idle after an upgrade", upgradeEcho, false, "GET / HTTP/1.1\r\n" + head + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", idleTime, "101"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				b, end := newBubble(t, tt.target)
				var c net.Conn
				if tt.raw {
					c = b.connect()
				} else {
					c = b.secure(t)
				}
				start := time.Now()
				if _, err := io.WriteString(c, tt.send); err != nil {
					t.Error(err)
				}
				var statuses []string
				r := bufio.NewReader(c)
				for {
					line, err := r.ReadString('\n')
					if strings.HasPrefix(line, "HTTP/1.1 ") {
						statuses = append(statuses, line[9:12])
					}
					if err != nil {
						break
					}
				}
				if took := time.Since(start); took < tt.after || took > tt.after+time.Second {
					t.Errorf("closed after %v, want %v", took, tt.after)
				}
				if got := strings.Join(statuses, " "); got != tt.answers {
					t.Errorf("answered %q, want %q", got, tt.answers)
				}
				_ = c.Close()
				end()
			})
		})
	}
}

// TestT10_SlowBodies sends bodies above and below the least rate.
func TestT10_SlowBodies(t *testing.T) {
	for _, tt := range []struct {
		name   string
		piece  int // bytes each second
		target time.Duration
		status string
	}{
		{"2 KiB/s for a minute", 2 << 10, 0, "200"},
		{"10 bytes/s", 10, 0, "408"},
		{"a slow target is not the client's fault", 1 << 20, 2 * time.Second, "200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				b, end := newBubble(t, func(_ http.ResponseWriter, r *http.Request) {
					for buf := make([]byte, 1<<20); ; time.Sleep(tt.target) {
						if _, err := io.ReadFull(r.Body, buf); err != nil {
							return
						}
					}
				})
				c := b.secure(t)
				var wg sync.WaitGroup
				wg.Go(func() {
					_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: "+strconv.Itoa(60*tt.piece)+"\r\n\r\n")
					for piece := make([]byte, tt.piece); ; time.Sleep(time.Second) {
						if _, err := c.Write(piece); err != nil {
							return
						}
					}
				})
				line, err := bufio.NewReader(c).ReadString('\n')
				if err != nil || !strings.HasPrefix(line, "HTTP/1.1 "+tt.status) {
					t.Errorf("answered %q, %v", line, err)
				}
				_ = c.Close()
				wg.Wait()
				end()
			})
		})
	}
}

// TestDrainIsBounded ends Serve while a request never does.
func TestDrainIsBounded(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		b, end := newBubble(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		c := b.secure(t)
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(io.Discard, c) })
		end()
		if took := time.Since(start); took < drainTime || took > drainTime+time.Second {
			t.Errorf("Serve ended after %v, want %v", took, drainTime)
		}
		_ = c.Close()
		wg.Wait()
	})
}

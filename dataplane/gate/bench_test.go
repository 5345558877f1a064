package gate_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/shared/policy"
)

const openHost = "open.example"

// side is a route whose requests are measured, with the connections that they go by.
type side struct {
	b       *testing.B
	host    string
	request []byte
	idle    chan *tls.Conn

	mu   sync.Mutex
	took []time.Duration // guarded by mu
}

// dial opens kept connections to a node.
func (s *side) dial(addr string, conns int, fields string) {
	s.request, s.idle = fmt.Appendf(nil, "GET /wiki/page HTTP/1.1\r\nHost: %s\r\n%s\r\n", s.host, fields), make(chan *tls.Conn, conns)
	for range conns {
		c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, ServerName: s.host, NextProtos: []string{"http/1.1"}})
		if err != nil {
			s.b.Fatal(err)
		}
		s.b.Cleanup(func() { _ = c.Close() })
		s.idle <- c
	}
}

// send waits for a connection, then for the answer of a request. It reads no more of it than whether it is the target's whole
// page, so that client and target leave the processors to the node.
func (s *side) send(buf []byte) (time.Duration, error) {
	c := <-s.idle
	defer func() { s.idle <- c }()
	start := time.Now()
	if _, err := c.Write(s.request); err != nil {
		return 0, err
	}
	got := 0
	for !bytes.HasSuffix(buf[:got], []byte(ending)) {
		n, err := c.Read(buf[got:])
		if err != nil {
			return 0, fmt.Errorf("%s: %w after %q", s.host, err, buf[:got])
		}
		got += n
	}
	if took := time.Since(start); bytes.HasPrefix(buf, []byte("HTTP/1.1 200 ")) {
		return took, nil
	}
	return 0, fmt.Errorf("%s answers %q", s.host, buf[:got])
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 4096); return &b }}

const ending = "\r\n\r\na page"

// plain is a target that answers each request, of which it reads no more than where it ends.
func plain(b *testing.B) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6" + ending)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.Cleanup(func() { _ = c.Close() })
			go func() {
				buf, got := make([]byte, 16<<10), 0
				for {
					n, err := c.Read(buf[got:])
					if err != nil {
						return
					}
					if got += n; bytes.HasSuffix(buf[:got], []byte("\r\n\r\n")) {
						got = 0
						if _, err := c.Write(answer); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// flat sends requests as fast as they are answered, and returns the processor time that they took.
func (s *side) flat(requests, workers int) time.Duration {
	before := processor(s.b)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			buf := make([]byte, 4096)
			for range requests / workers {
				if _, err := s.send(buf); err != nil {
					s.b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return processor(s.b) - before
}

// BenchmarkAccessGuard prints what a policy of a hundred rules adds to a request of somebody who has signed in, against the same
// target without a policy: in processor time, of turns as fast as they go, and at the 99th percentile, of requests of both
// that are sent by turns when they are due, at 10,000 a second, or at seven tenths of what the machine carries with the load's own work. Client,
// target and node are this process. The control plane's calls are counted.
func BenchmarkAccessGuard(b *testing.B) {
	const turns, each, conns, want, seconds = 20, 1000, 32, 10_000, 20
	n := newNode(b, members(), hello)
	n.to = plain(b)
	p := members()
	p.ID, p.Org = "policy_1", org
	for i := range 99 {
		p.Rules = append(p.Rules, policy.Rule{Action: policy.Deny, Conditions: policy.Conditions{Networks: []string{fmt.Sprintf("10.%d.0.0/16", i)}, Paths: []string{"/admin/**"}}})
	}
	c, err := policy.Compile(p)
	if err != nil {
		b.Fatal(err)
	}
	to := []httpproxy.Rule{{PathPrefix: "/", Targets: []balance.Target{{ID: "t", Site: "s", Weight: 1}}}}
	other := certificate(b, openHost)
	n.proxy.Apply(httpproxy.Config{Certificates: []httpproxy.Certificate{n.cert, other}, Routes: []httpproxy.Route{
		{Service: "service_1", Hostname: host, Certificate: n.cert.Name, Policy: "policy/1", Decides: c, Rules: to},
		{Service: "service_2", Hostname: openHost, Certificate: other.Name, Rules: to},
	}})
	browser := n.browser(false)
	if resp, _ := n.visit(browser, http.MethodGet, "/", ""); resp.StatusCode != http.StatusOK {
		b.Fatal(resp.Status)
	}
	var cookies []string
	for _, k := range browser.Jar.Cookies(&url.URL{Scheme: "https", Host: host, Path: "/"}) {
		cookies = append(cookies, k.Name+"="+k.Value)
	}
	fields := "Accept: text/html\r\nCookie: " + strings.Join(cookies, "; ") + "\r\n" // without a policy, too: it is as long there
	sides := []*side{{b: b, host: openHost}, {b: b, host: host}}
	for _, s := range sides {
		s.dial(n.addr, conns, fields)
	}
	before := n.plane.calls.Load()
	for b.Loop() {
		var cpu [2]time.Duration
		start := time.Now()
		for range turns {
			for i, s := range sides {
				cpu[i] += s.flat(each, 4)
			}
		}
		rate := min(want, int(turns*each*2/time.Since(start).Seconds())*7/10)
		late := steadily(sides, rate, seconds)
		var p50, p99 [2]float64
		for i, s := range sides {
			slices.Sort(s.took)
			p50[i], p99[i] = ms(s.took[len(s.took)/2]), ms(s.took[len(s.took)*99/100])
		}
		added := us(cpu[1]-cpu[0]) / (turns * each)
		_, _ = fmt.Fprintf(os.Stdout, "{\"bench\":\"access-guard\",\"rate\":%d,\"requests_each\":%d,\"sent_late\":%d,\"open_p50_ms\":%.3f,\"added_p50_ms\":%.3f,\"open_p99_ms\":%.3f,\"added_p99_ms\":%.3f,\"want_added_p99_ms_at_most\":0.5,"+
			"\"open_cpu_us\":%.1f,\"added_cpu_us\":%.1f,\"processors_added_at_10000_a_second\":%.2f,\"control_plane_calls\":%d,\"want_control_plane_calls\":0}\n",
			rate, len(sides[0].took), late, p50[0], p50[1]-p50[0], p99[0], p99[1]-p99[0], us(cpu[0])/(turns*each), added, added*want/1e6, n.plane.calls.Load()-before)
	}
}

// steadily sends requests of the sides by turns when they are due, whatever became of those before, and returns how many were
// a millisecond late or more: what the machine did not carry.
func steadily(sides []*side, rate, seconds int) (late int) {
	var all sync.WaitGroup
	start := time.Now()
	for i := range rate * seconds {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if d := time.Until(due); d > 0 {
			time.Sleep(d)
		} else if d < -time.Millisecond {
			late++
		}
		s := sides[i%len(sides)]
		all.Go(func() {
			buf := buffers.Get().(*[]byte)
			defer buffers.Put(buf)
			took, err := s.send(*buf)
			if err != nil {
				s.b.Error(err)
				return
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.took = append(s.took, took)
		})
	}
	all.Wait()
	return late
}

func ms(d time.Duration) float64 { return us(d) / 1000 }
func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

func processor(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

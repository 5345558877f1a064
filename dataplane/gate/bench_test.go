package gate_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
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
	addr    string // of the node
	host    string
	request []byte
	took    []time.Duration
}

// dial opens connections to the node, which leaves one of which no request comes within some seconds.
func (s *side) dial(conns int) (all []*tls.Conn) {
	for range conns {
		c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, ServerName: s.host, NextProtos: []string{"http/1.1"}})
		if err != nil {
			s.b.Fatal(err)
		}
		s.b.Cleanup(func() { _ = c.Close() })
		all = append(all, c)
	}
	return all
}

// send waits for the answer of a request. It reads no more of it than whether it is the target's whole page, so that client and
// target leave the processors to the node.
func (s *side) send(c *tls.Conn, buf []byte) error {
	if _, err := c.Write(s.request); err != nil {
		return err
	}
	got := 0
	for !bytes.HasSuffix(buf[:got], []byte(ending)) {
		n, err := c.Read(buf[got:])
		if err != nil {
			return fmt.Errorf("%s: %w after %q", s.host, err, buf[:got])
		}
		got += n
	}
	if bytes.HasPrefix(buf, []byte("HTTP/1.1 200 ")) {
		return nil
	}
	return fmt.Errorf("%s answers %q", s.host, buf[:got])
}

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
func (s *side) flat(conns []*tls.Conn, requests int) time.Duration {
	before := processor(s.b)
	var all sync.WaitGroup
	for _, c := range conns {
		all.Go(func() {
			buf := make([]byte, 4096)
			for range requests / len(conns) {
				if err := s.send(c, buf); err != nil {
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
// that are sent by turns when they are due, at 10,000 a second, or at eight tenths of what the machine carries with the load's
// own work. Client, target and node are this process; the node keeps no access log, as one that is not told to. The control
// plane's calls are counted.
func BenchmarkAccessGuard(b *testing.B) {
	const turns, each, conns, want, seconds = 20, 1000, 32, 10_000, 20
	n := newNode(b, members(), hello)
	n.to = plain(b)
	n.level.Set(slog.LevelWarn)
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
	sides := []*side{{b: b, addr: n.addr, host: openHost}, {b: b, addr: n.addr, host: host}}
	var few [2][]*tls.Conn
	for i, s := range sides {
		s.request, few[i] = fmt.Appendf(nil, "GET /wiki/page HTTP/1.1\r\nHost: %s\r\n%s\r\n", s.host, fields), s.dial(4)
	}
	before := n.plane.calls.Load()
	for b.Loop() {
		var cpu [2]time.Duration
		start := time.Now()
		for range turns {
			for i, s := range sides {
				cpu[i] += s.flat(few[i], each)
			}
		}
		rate := min(want, 1+int(turns*each*2/time.Since(start).Seconds())*8/10)
		late := steadily(sides, conns, rate, seconds)
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
// a millisecond late or more: what the machine did not carry. What a request took counts from when it was due, whoever it had to
// wait for. Several are due at once, so that the clock of the load costs little.
func steadily(sides []*side, conns, rate, seconds int) (late int) {
	const each = 500 * time.Microsecond
	var all sync.WaitGroup
	queues := make([]chan time.Time, len(sides))
	var mu sync.Mutex // guards what the sides have got
	for i, s := range sides {
		queues[i] = make(chan time.Time, rate*seconds) // nobody who sends ever waits
		for _, c := range s.dial(conns) {
			all.Go(func() {
				buf, took := make([]byte, 4096), make([]time.Duration, 0, rate*seconds/conns)
				for due := range queues[i] {
					if err := s.send(c, buf); err != nil {
						s.b.Error(err)
						return
					}
					took = append(took, time.Since(due))
				}
				mu.Lock()
				defer mu.Unlock()
				s.took = append(s.took, took...)
			})
		}
	}
	start, sent := time.Now(), 0
	for due := start; sent < rate*seconds; due = due.Add(each) {
		d := time.Until(due)
		time.Sleep(d)
		n := min(int(due.Add(each).Sub(start).Seconds()*float64(rate)), rate*seconds) - sent
		for range n {
			queues[sent%len(sides)] <- due
			sent++
		}
		if d < -time.Millisecond {
			late += n
		}
	}
	for _, q := range queues {
		close(q)
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

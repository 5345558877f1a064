package gate_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/dataplane/inbound"
)

// BenchmarkAccessNeighbour prints what one organization notices of another one of which ten times its quota is asked, on the same
// node: the 99th percentile of its requests alone, beside that, and beside the same without a quota, by turns (T38). Clients,
// targets and node are this process, so what the flood costs those who make it is in it, too.
func BenchmarkAccessNeighbour(b *testing.B) {
	const turns, each, rate, quota, times = 8, 2 * time.Second, 200, 500, 10
	n := newNode(b, members(), hello)
	n.to = plain(b)
	n.level.Set(slog.LevelWarn)
	tenants := inbound.NewTenants(inbound.NewLimiter(inbound.PerIP, 10_000))
	bounded, unbounded := map[string]inbound.Quota{"quiet": {}, "noisy": {PerSecond: quota}}, map[string]inbound.Quota{"quiet": {}, "noisy": {}}
	tenants.Apply(bounded)
	to := []httpproxy.Rule{{PathPrefix: "/", Targets: []balance.Target{{ID: "t", Site: "s", Weight: 1}}}}
	other := certificate(b, openHost)
	n.proxy.Apply(httpproxy.Config{Certificates: []httpproxy.Certificate{n.cert, other}, Routes: []httpproxy.Route{
		{Service: "service_1", Tenant: tenants.Of("quiet"), Hostname: host, Certificate: n.cert.Name, Rules: to},
		{Service: "service_2", Tenant: tenants.Of("noisy"), Hostname: openHost, Certificate: other.Name, Rules: to},
	}})
	quiet, noisy := &side{b: b, addr: n.addr, host: host}, &side{b: b, addr: n.addr, host: openHost}
	for _, s := range []*side{quiet, noisy} {
		s.request = fmt.Appendf(nil, "GET /wiki/page HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n\r\n", s.host)
	}
	few, many := quiet.dial(8), noisy.dial(32)
	var served, refused, failed atomic.Int64
	calm := func() []time.Duration {
		return paced(rate, each, few, func(c *tls.Conn, buf []byte) {
			if err := quiet.send(c, buf); err != nil {
				failed.Add(1)
				b.Log(err)
			}
		})
	}
	beside := func(q map[string]inbound.Quota) (took []time.Duration) {
		tenants.Apply(q)
		var both sync.WaitGroup
		both.Go(func() {
			paced(quota*times, each, many, func(c *tls.Conn, buf []byte) {
				status, err := noisy.either(c, buf)
				if err != nil {
					b.Error(err)
				}
				if status == http.StatusOK {
					served.Add(1)
				} else {
					refused.Add(1)
				}
			})
		})
		took = calm()
		both.Wait()
		return took
	}
	p99 := func(took []time.Duration) float64 {
		slices.Sort(took)
		return ms(took[len(took)*99/100])
	}
	for b.Loop() {
		var alone, held, free []time.Duration
		let, not := int64(0), int64(0)
		for range turns {
			alone = append(alone, calm()...)
			served.Store(0)
			refused.Store(0)
			held = append(held, beside(bounded)...)
			let, not = let+served.Load(), not+refused.Load()
			free = append(free, beside(unbounded)...)
		}
		a, h, f := p99(alone), p99(held), p99(free)
		_, _ = fmt.Fprintf(os.Stdout, "{\"bench\":\"access-neighbour\",\"quiet_rate\":%d,\"quota\":%d,\"asked_rate\":%d,\"served_per_second\":%d,\"refused_per_second\":%d,\"quiet_failed\":%d,\"want_quiet_failed\":0,"+
			"\"alone_p99_ms\":%.3f,\"beside_p99_ms\":%.3f,\"ratio\":%.2f,\"want_ratio_at_most\":1.2,\"without_quota_p99_ms\":%.3f,\"without_quota_ratio\":%.2f}\n",
			rate, quota, quota*times, let/int64(turns*each/time.Second), not/int64(turns*each/time.Second), failed.Load(), a, h, h/a, f, f/a)
	}
}

// paced sends so many requests a second, each when it is due, and returns how long after that each was answered.
func paced(rate int, long time.Duration, conns []*tls.Conn, send func(*tls.Conn, []byte)) (took []time.Duration) {
	queue := make(chan time.Time, rate*int(long/time.Second)) // nobody who sends ever waits
	var all sync.WaitGroup
	var mu sync.Mutex // guards took
	for _, c := range conns {
		all.Go(func() {
			buf, mine := make([]byte, 4096), []time.Duration(nil)
			for due := range queue {
				send(c, buf)
				mine = append(mine, time.Since(due))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	const beat = time.Millisecond
	start, sent := time.Now(), 0
	for due := start; sent < cap(queue); due = due.Add(beat) {
		time.Sleep(time.Until(due))
		for sent < min(int(due.Add(beat).Sub(start).Seconds()*float64(rate)), cap(queue)) {
			queue <- due
			sent++
		}
	}
	close(queue)
	all.Wait()
	return took
}

// either waits for an answer that is the target's page or the node's refusal.
func (s *side) either(c *tls.Conn, buf []byte) (status int, err error) {
	if _, err := c.Write(s.request); err != nil {
		return 0, err
	}
	for got := 0; ; {
		n, err := c.Read(buf[got:])
		if err != nil {
			return 0, fmt.Errorf("%s: %w after %q", s.host, err, buf[:got])
		}
		switch got += n; {
		case bytes.HasSuffix(buf[:got], []byte(ending)):
			return http.StatusOK, nil
		case bytes.HasPrefix(buf, []byte("HTTP/1.1 429 ")):
			if _, body, ok := bytes.Cut(buf[:got], []byte("\r\n\r\n")); ok && bytes.Count(body, []byte("\n")) == 2 {
				return http.StatusTooManyRequests, nil
			}
		}
	}
}

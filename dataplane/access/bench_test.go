package access_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/access"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/shared/policy"
)

// BenchmarkAccessGuard prints what a policy adds to a request, against the same route without one, in the same run by turns:
// at the 99th percentile, and in processor time of this process, client and target included.
func BenchmarkAccessGuard(b *testing.B) {
	const turns, each, workers = 20, 1000, 4
	e := newEdge(b, newAccess(access.Options{}))
	p := &policy.Policy{Otherwise: policy.Authenticate, Auth: policy.Auth{ServiceTokens: []policy.Secret{{ID: "token_1", SHA256: policy.HashSecret("s3cret")}}}}
	for i := range 99 {
		p.Rules = append(p.Rules, policy.Rule{Action: policy.Deny, Conditions: policy.Conditions{Networks: []string{fmt.Sprintf("10.%d.0.0/16", i)}, Paths: []string{"/admin/**"}}})
	}
	cfg := httpproxy.Config{}
	for _, host := range []string{"open.example", "guarded.example"} {
		cfg.Certificates = append(cfg.Certificates, httpproxy.Certificate{Name: host, Names: []string{host}, TLS: e.web.issue(b, host)})
		r := httpproxy.Route{Service: host, Hostname: host, Certificate: host, Rules: toTarget}
		if host == "guarded.example" {
			r.Policy, r.Decides = "policy/1", compiled(b, p)
		}
		cfg.Routes = append(cfg.Routes, r)
	}
	e.Apply(cfg)
	type side struct {
		url  string
		c    *http.Client
		took []time.Duration
		cpu  time.Duration
	}
	sides := []*side{{url: "https://open.example/wiki/page"}, {url: "https://guarded.example/wiki/page"}}
	for _, s := range sides {
		s.c = e.client(b, true, "")
	}
	for b.Loop() {
		for range turns {
			for _, s := range sides {
				before := processor()
				var wg sync.WaitGroup
				var mu sync.Mutex
				for range workers {
					wg.Go(func() {
						took := make([]time.Duration, 0, each/workers)
						for range each / workers {
							start := time.Now()
							r, err := http.NewRequest(http.MethodGet, s.url, nil)
							if err != nil {
								panic(err)
							}
							r.Header.Set(access.TokenID, "token_1")
							r.Header.Set(access.TokenSecret, "s3cret")
							resp, err := s.c.Do(r)
							if err != nil || resp.StatusCode != http.StatusOK {
								panic(fmt.Sprint(resp, err))
							}
							_, _ = io.Copy(io.Discard, resp.Body)
							_ = resp.Body.Close()
							took = append(took, time.Since(start))
						}
						mu.Lock()
						defer mu.Unlock()
						s.took = append(s.took, took...)
					})
				}
				wg.Wait()
				s.cpu += processor() - before
				e.mu.Lock()
				e.seen = nil
				e.mu.Unlock()
			}
		}
	}
	var p99 [2]time.Duration
	var cpu [2]float64
	for i, s := range sides {
		slices.Sort(s.took)
		p99[i], cpu[i] = s.took[len(s.took)*99/100], float64(s.cpu.Microseconds())/float64(len(s.took))
	}
	_, _ = fmt.Fprintf(os.Stdout, "{\"bench\":\"access-guard\",\"requests\":%d,\"open_p99_ms\":%.3f,\"guarded_p99_ms\":%.3f,\"added_p99_ms\":%.3f,\"want_added_p99_ms_at_most\":0.5,\"open_cpu_us\":%.1f,\"guarded_cpu_us\":%.1f,\"added_cpu_us\":%.1f}\n",
		len(sides[0].took), ms(p99[0]), ms(p99[1]), ms(p99[1]-p99[0]), cpu[0], cpu[1], cpu[1]-cpu[0])
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func processor() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

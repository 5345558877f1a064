package httpproxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/inbound"
)

// T38: of one organization's services ten times and more is asked than its quota. It gets the quota, on whichever connection
// and protocol; each request of another one is answered by its target.
func TestT38_AFloodTakesItsOwnQuota(t *testing.T) {
	const quota, clients, each = 3, 16, 2
	var reached atomic.Int64
	e := newEdge(t, map[string]string{"quiet": named(t, "quiet"), "noisy": backend(t, func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		_, _ = io.WriteString(w, "noisy")
	})})
	tenants := inbound.NewTenants(inbound.NewLimiter(inbound.PerIP, 1000))
	tenants.Apply(map[string]inbound.Quota{"noisy": {PerSecond: quota}, "quiet": {}})
	var cfg Config
	for host, org := range map[string]string{"a.noisy.example": "noisy", "b.noisy.example": "noisy", "quiet.example": "quiet"} {
		c := e.certificate(t, host)
		cfg.Certificates = append(cfg.Certificates, c)
		cfg.Routes = append(cfg.Routes, Route{Service: "service-" + host, Tenant: tenants.Of(org), Hostname: host, Certificate: c.Name,
			Rules: []Rule{{PathPrefix: "/", Targets: []balance.Target{{ID: org, Site: "site", Weight: 1}}}}})
	}
	start := time.Now()
	e.Apply(cfg)

	// On a busy machine the node ends connections on which nothing has come in its time, or can't dial the target in its time: what was
	// on its way is asked again.
	ask := func(c *http.Client, url string) (r *http.Response, body string) {
		for range 100 {
			var err error
			if r, err = c.Get(url); err == nil {
				text, err := io.ReadAll(r.Body)
				_ = r.Body.Close()
				if err == nil && r.StatusCode < 500 {
					return r, string(text)
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Errorf("%s is not answered", url)
		return &http.Response{}, ""
	}
	var served, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range clients {
		c, host := e.client(t, i%2 == 0, ""), []string{"a", "b"}[i/2%2]
		wg.Go(func() {
			for range each {
				switch r, body := ask(c, "https://"+host+".noisy.example/"); {
				case r.StatusCode == http.StatusOK:
					served.Add(1)
				case r.StatusCode == http.StatusTooManyRequests && r.Header.Get("Retry-After") == "1" && !r.Close && strings.HasPrefix(body, "Too Many Requests"):
					refused.Add(1)
				default:
					t.Errorf("%s %v: %s", r.Status, r.Header, body)
				}
			}
		})
	}
	c := e.client(t, true, "")
	for i := range 100 {
		if r, body := ask(c, fmt.Sprintf("https://quiet.example/%d", i)); r.StatusCode != http.StatusOK || body != fmt.Sprintf("quiet /%d", i) {
			t.Errorf("beside the flood: %s %s", r.Status, body)
		}
	}
	wg.Wait()
	most := quota + int64(time.Since(start).Seconds()*quota) + 1         // a second's worth at once, and what came since
	if n := reached.Load(); n < quota || n > most || served.Load() > n { // an answer may be lost
		t.Errorf("%d came as far as to the target, %d were served; want %d to %d", n, served.Load(), quota, most)
	}
	if n := int64(value(t, e.metrics.refused.WithLabelValues("quota"))); n < refused.Load() || served.Load()+refused.Load() != clients*each {
		t.Errorf("%d are counted as refused, %d were, %d served", n, refused.Load(), served.Load())
	}
}

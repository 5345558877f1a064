//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// A patient is a web server that says of itself whether it is well, and notes what else it is asked, by whom.
type patient struct {
	ill      atomic.Bool
	requests atomic.Int64

	mu    sync.Mutex
	peers map[string]bool // guarded by mu
}

// listen serves on a host.
func (p *patient) listen(c *suite, h *lab.Host, name string, port int) {
	c.t.Helper()
	var ln net.Listener
	c.must(c.Lab.Try(func() error {
		ln = h.Listen(port) // the lab closes it, which ends the server
		return nil
	}))
	p.serve(ln, name)
}

// serve serves until ln closes.
func (p *patient) serve(ln net.Listener, name string) {
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/healthz":
			p.note(r)
			_ = json.NewEncoder(w).Encode(cluster.Reply{Name: name})
		case p.ill.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	go func() { _ = srv.Serve(ln); _ = srv.Close() }()
}

func (p *patient) note(r *http.Request) {
	p.requests.Add(1)
	peer, _, _ := net.SplitHostPort(r.RemoteAddr)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.peers == nil {
		p.peers = map[string]bool{}
	}
	p.peers[peer] = true
}

// seen are the addresses that requests came from.
func (p *patient) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.peers))
}

// checkedTarget is YAML for a target of the app with a health check. One that is well fails it only if it is late three times in a row: when
// none is well all get requests.
func checkedTarget(name, site, addr string) string {
	return fmt.Sprintf(`---
apiVersion: warren/v1
kind: Target
metadata: {name: %s}
spec:
  service: app
  site: %s
  address: %s
  port: 8080
  health_check: {kind: http, path: /healthz, interval: 1s, timeout: 900ms, healthy_threshold: 2, unhealthy_threshold: 3, expected_statuses: ["200"]}
`, name, site, addr)
}

// A target whose own health check fails is shown with the reason and gets no request, from any node, until it
// has recovered.
func TestFailingTargetGetsNoRequestUntilItRecovers(t *testing.T) {
	c := newCluster(t)
	var a, b patient
	a.listen(c, c.Sites[0].Net.Host("a", "10.77.1.10"), "a", 8080)
	b.listen(c, c.Sites[1].Net.Host("b", "10.77.2.10"), "b", 8080)
	c.apply(fmt.Sprintf("apiVersion: warren/v1\nkind: Service\nmetadata: {name: app}\nspec: {kind: http, hostname: %s, pool: default}\n", app)+
		checkedTarget("app-a", "s1", "10.77.1.10")+checkedTarget("app-b", "s2", "10.77.2.10"), "--wait")
	shown := func(want ...string) {
		t.Helper()
		c.until("get targets shows "+strings.Join(want, ", "), func() error {
			out, err := c.Warren("get", "targets")
			for _, w := range want {
				if !strings.Contains(out, w) {
					return fmt.Errorf("%w\n%s", err, out)
				}
			}
			return err
		})
	}
	// ask sends some requests to each node, and says how many of them came to a target.
	ask := func(p *patient) int64 {
		t.Helper()
		before := p.requests.Load()
		for _, n := range c.Nodes {
			for range 8 {
				c.answered("https://"+app+"/", cluster.At(n, app)...)
			}
		}
		return p.requests.Load() - before
	}
	both := func(when string) {
		t.Helper()
		c.until(when+", requests go to both", func() error {
			if x, y := ask(&a), ask(&b); x == 0 || y == 0 {
				return fmt.Errorf("%d to a, %d to b", x, y)
			}
			return nil
		})
	}
	c.shownHealth("healthy", "app-a", "app-b")
	both("at first")

	b.ill.Store(true)
	shown("unhealthy", "status 503, expected 200")
	c.until("the nodes have heard of it", func() error {
		if n := ask(&b); n != 0 {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
	for range 3 {
		if n := ask(&b); n != 0 {
			t.Errorf("%d requests to a target that is not well", n)
		}
	}

	b.ill.Store(false)
	c.shownHealth("healthy", "app-a", "app-b")
	both("after it has recovered")
}

// shownHealth waits until the targets of these names are shown in a state.
func (c *suite) shownHealth(state string, names ...string) {
	c.t.Helper()
	c.until(strings.Join(names, ", ")+" are shown "+state, func() error {
		var list []struct {
			Name   string `json:"name"`
			Health struct {
				State  string `json:"state"`
				Reason string `json:"reason"`
			} `json:"health"`
		}
		if err := c.JSON(&list, "get", "targets"); err != nil {
			return err
		}
		left := len(names)
		for _, n := range names {
			for _, t := range list {
				if t.Name == n && t.Health.State == state {
					left--
				}
			}
		}
		if left > 0 {
			return fmt.Errorf("%+v", list)
		}
		return nil
	})
}

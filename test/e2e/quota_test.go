//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab/cluster"
)

// T38: what the cluster says an organization may ask of a node is in force at every one of them. More of the same is refused, with
// the word to come again; each request of its neighbour is answered meanwhile.
func TestT38AFloodIsRefusedAtEveryNode(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	var web patient
	beside := c.Lab.Host("beside", "198.18.6.1")
	web.listen(c, beside, "beside", 8080)
	const noisy, at = "app.noisy.test", "/api/v1/organizations/noisy"
	c.warren("create", "organization", "noisy", "--trusted")
	c.warren("--org", "noisy", "create", "site", "shed", "--pool", "default", "--kind", "local", "--nodes", "n1,n2,n3")
	c.apply("{apiVersion: warren/v1, kind: Domain, metadata: {name: noisy.test}, spec: {pool: default}}\n---\n"+
		cluster.Service("noisy", "http", noisy, "shed", beside.Addr.String(), 8080), "--org", "noisy", "--wait")
	quota := func(perSecond int) {
		c.api(http.MethodPut, at, strings.NewReader(fmt.Sprintf(`{"requests_per_second":%d}`, perSecond)), nil)
	}
	var floods []*http.Client
	for _, n := range c.Nodes { // their connections count as well, so they are open before
		f := c.plexed(n)
		if status, _, err := fetched(f, noisy); err != nil || status != http.StatusOK {
			t.Fatalf("%s, without a quota: %d, %v", n.Name, status, err)
		}
		floods = append(floods, f)
	}
	quota(1)
	for i, n := range c.Nodes {
		neighbour := c.plexed(n)
		c.until(n.Name+" refuses, and has its neighbour answered", func() error {
			if status, again, err := fetched(floods[i], noisy); err != nil || status != http.StatusTooManyRequests || again != "1" {
				return fmt.Errorf("%d, Retry-After %q, %v", status, again, err)
			}
			return c.flooded(n, floods[i], neighbour, noisy)
		})
	}
	quota(0)
	for i, n := range c.Nodes {
		c.until(n.Name+" serves all", func() error {
			for range 20 {
				if status, _, err := fetched(floods[i], noisy); err != nil || status != http.StatusOK {
					return fmt.Errorf("%d, %v", status, err)
				}
			}
			return nil
		})
	}
}

// flooded asks a node for more than the one request a second that there may be of an organization, and for what is another's. Its
// error is one that a busy machine makes as well: time is up, or no tunnel to the site.
func (c *suite) flooded(n *cluster.Node, flood, neighbour *http.Client, noisy string) error {
	const asked, beside = 48, 40
	var served, refused atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range asked {
		all.Go(func() {
			switch status, again, err := fetched(flood, noisy); {
			case err == nil && status == http.StatusOK:
				served.Add(1)
			case err == nil && status == http.StatusTooManyRequests && again == "1":
				refused.Add(1)
			}
		})
	}
	var failed error
	for range beside {
		if status, _, err := fetched(neighbour, app); status == http.StatusTooManyRequests {
			c.t.Errorf("%s refuses the neighbour", n.Name)
		} else if err != nil || status != http.StatusOK {
			failed = fmt.Errorf("the neighbour: %d, %v", status, err)
		}
	}
	all.Wait()
	if most := 2 + int64(time.Since(start)/time.Second); served.Load() > most {
		c.t.Errorf("%s serves %d, want %d at most", n.Name, served.Load(), most)
	}
	if failed == nil && served.Load()+refused.Load() != asked {
		failed = fmt.Errorf("of %d requests %d were served, %d refused", asked, served.Load(), refused.Load())
	}
	return failed
}

// plexed is a client whose requests share one connection to a node.
func (c *suite) plexed(n *cluster.Node) *http.Client {
	tr := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // a name of no domain has the cluster's own certificate
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return c.Client.Dial(ctx, network, netip.AddrPortFrom(n.Host.Addr, 443))
		},
	}
	c.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func fetched(by *http.Client, host string) (status int, retryAfter string, err error) {
	r, err := by.Get("https://" + host + "/")
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	_, err = io.Copy(io.Discard, r.Body)
	return r.StatusCode, r.Header.Get("Retry-After"), err
}

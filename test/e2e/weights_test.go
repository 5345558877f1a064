//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// Targets at different sites get requests as their weights say, whichever node clients come to, whether or not it has
// tunnels to the sites itself, and over connections that are kept as over new ones.
func TestSharesFollowWeightsAcrossSitesAndNodes(t *testing.T) {
	c := newCluster(t)
	weights := map[string]float64{"a": 5, "b": 3, "c": 2}
	yaml := fmt.Sprintf("apiVersion: warren/v1\nkind: Service\nmetadata: {name: app}\nspec: {kind: http, hostname: %s, pool: default}\n", app)
	for name, at := range map[string]struct {
		site int
		addr string
	}{"a": {0, "10.77.1.10"}, "b": {1, "10.77.2.10"}, "c": {1, "10.77.2.11"}} {
		s := c.Sites[at.site]
		c.web(s, name, at.addr, 8080)
		yaml += fmt.Sprintf("---\napiVersion: warren/v1\nkind: Target\nmetadata: {name: %s}\nspec: {service: app, site: %s, address: %s, port: 8080, weight: %v}\n", name, s.Name, at.addr, weights[name])
	}
	c.apply(yaml, "--wait")
	roots, err := c.Roots()
	c.must(err)
	// ask sends requests to one node and counts who answered.
	ask := func(n *cluster.Node, fresh bool, requests int) (map[string]float64, error) {
		tr := &http.Transport{DisableKeepAlives: fresh, TLSClientConfig: &tls.Config{RootCAs: roots}, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return c.Client.Dial(ctx, "tcp", netip.AddrPortFrom(n.Host.Addr, 443))
		}}
		defer tr.CloseIdleConnections()
		client, got := &http.Client{Transport: tr, Timeout: 15 * time.Second}, map[string]float64{}
		for range requests {
			resp, err := client.Get("https://" + app + "/")
			if err != nil {
				return nil, err
			}
			var r cluster.Reply
			err = json.NewDecoder(resp.Body).Decode(&r)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK {
				return nil, fmt.Errorf("status %d, %w", resp.StatusCode, err)
			}
			got[r.Name]++
		}
		return got, nil
	}
	for _, n := range c.Nodes {
		c.until(n.Name+" reaches all targets", func() error {
			got, err := ask(n, true, 30)
			if err == nil && len(got) != len(weights) {
				err = fmt.Errorf("%v", got)
			}
			return err
		})
	}
	const requests = 400
	for _, fresh := range []bool{true, false} {
		lab.Eventually(t, 5*patience, fmt.Sprintf("shares are as the weights, fresh connections: %v", fresh), func() error { // a target that could not be dialled is spared for a while
			all := map[string]float64{}
			for _, n := range c.Nodes {
				got, err := ask(n, fresh, requests)
				if err == nil {
					err = within(got, weights, requests)
				}
				if err != nil {
					return fmt.Errorf("%s: %w", n.Name, err)
				}
				for name := range weights {
					all[name] += got[name]
				}
			}
			return within(all, weights, requests*len(c.Nodes))
		})
	}
}

// within returns nil if each share is within 5 % of what its weight says, or, of few requests, off by no more than four.
func within(got, weights map[string]float64, requests int) error {
	total := 0.0
	for _, w := range weights {
		total += w
	}
	var errs []error
	for name, w := range weights {
		want := float64(requests) * w / total
		if off := math.Abs(got[name] - want); off > max(want/20, 4) {
			errs = append(errs, fmt.Errorf("%s got %v of %d requests, want %v", name, got[name], requests, want))
		}
	}
	return errors.Join(errs...)
}

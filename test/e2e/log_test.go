//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/warrenedge/warren/test/lab/cluster"
)

// logged is a request as "warren logs" shows it.
type logged struct {
	Kind, Service, Node, Site, Client, Method, Path, Decision, Reason, Error string
	Status                                                                   int
	In                                                                       int64   `json:"bytes_in"`
	Out                                                                      int64   `json:"bytes_out"`
	Total                                                                    float64 `json:"total_ms"`
}

// What becomes of requests is in the log with its decision, whichever node and replica it came by, also of the time in which
// no replica listened; and it is counted.
func TestRequestsAreLogged(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	c.apply(`{apiVersion: warren/v1, kind: Policy, metadata: {name: closed}, spec: {rules: [{action: deny, paths: ["/secret/**"]}], otherwise: allow}}
---
`+cluster.Service("app", "http", app, "s1", "10.77.1.10", 8080)+"---\n"+raw("raw", "tcp", "5432", "s1", "10.77.1.10", 8080), "--wait")
	c.apply(strings.Replace(cluster.Service("app", "http", app, "s1", "10.77.1.10", 8080), "pool: default}", "pool: default, policy: closed}", 1), "--wait")
	ask := func(n *cluster.Node, path string) {
		t.Helper()
		c.answered("https://"+app+path, cluster.At(n, app)...)
		if _, err := c.Curl("https://"+app+"/secret"+path, cluster.At(n, app)...); err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("/secret%s: %v", path, err)
		}
	}
	find := func(what string, args []string, ok func(logged) bool) {
		t.Helper()
		c.until(what, func() error {
			var list []logged
			if err := c.JSON(&list, append([]string{"logs", "--limit", "0"}, args...)...); err != nil {
				return err
			}
			for _, r := range list {
				if ok(r) {
					return nil
				}
			}
			return fmt.Errorf("not among %d requests: %+v", len(list), list[max(0, len(list)-3):])
		})
	}
	for _, n := range c.Nodes {
		ask(n, "/"+n.Name)
		find("an allowed request of "+n.Name, []string{"--service", "app", "--node", n.Name, "--status", "2xx"}, func(r logged) bool {
			return r.Kind == "http" && r.Path == "/"+n.Name && r.Method == "GET" && r.Decision == "allowed" && r.Site == "s1" && r.Client != "" && r.Out > 0 && r.Total > 0
		})
		find("a denied request of "+n.Name, []string{"--decision", "denied", "--path", "/secret"}, func(r logged) bool {
			return r.Node == n.Name && r.Path == "/secret/"+n.Name && r.Status == 403 && r.Reason == "rule 1, the rule says so" && r.Site == ""
		})
	}
	n := c.Nodes[0]
	c.answered("http://"+app+":5432/", "--resolve", app+":5432:"+n.Host.Addr.String())
	find("a connection", []string{"--service", "raw"}, func(r logged) bool {
		return r.Kind == "tcp" && r.Node == n.Name && r.Site == "s1" && r.Decision == "allowed" && r.In > 0 && r.Out > 0
	})

	// The control plane is away: nodes keep what they have to tell.
	for _, r := range c.Control {
		r.Kill()
	}
	ask(n, "/meanwhile")
	for _, r := range c.Control {
		c.restart(r)
	}
	find("a request of the time without a control plane", []string{"--path", "/meanwhile"}, func(r logged) bool { return r.Status == 200 })
	for by, name := range map[string]string{"services": "app", "sites": "s1", "nodes": n.Name} {
		c.until("rates of "+by, func() error {
			var list []struct {
				Name             string
				Requests, Denied int64
			}
			if err := c.JSON(&list, "top", by, "--once", "--for", "30m"); err != nil {
				return err
			}
			for _, v := range list {
				if v.Name == name && v.Requests > 0 && (v.Denied > 0 || by == "sites") {
					return nil
				}
			}
			return fmt.Errorf("%+v", list)
		})
	}
}

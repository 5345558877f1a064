//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab/cluster"
)

// wayTo is what the control plane says of the way to a service.
type wayTo struct{ State, Broken, Code, Reason string }

// Whatever breaks on the way to a service, the API names the hop: a target that nothing checks, a node, a connector, and a
// network without UDP. How long that takes is printed.
func TestTheBrokenHopIsNamed(t *testing.T) {
	c := newCluster(t)
	host := c.Sites[0].Net.Host("shop", "10.77.1.20")
	serve := func() net.Listener {
		var ln net.Listener
		c.must(c.Lab.Try(func() error { ln = host.Listen(8080); return nil }))
		srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			_ = json.NewEncoder(w).Encode(cluster.Reply{Name: "shop"})
		})}
		go func() { _ = srv.Serve(ln); _ = srv.Close() }()
		return ln
	}
	target := serve()
	c.apply(cluster.Service("app", "http", app, c.Sites[0].Name, "10.77.1.20", 8080), "--wait")

	way := func() (w wayTo) {
		c.api(http.MethodGet, "/api/v1/orgs/default/services/app/health", nil, &w)
		return w
	}
	ask := func() { _, _ = c.Curl("https://"+app+"/", "--max-time", "5") }
	well := func(after string) {
		t.Helper()
		c.until("all is well "+after, func() error {
			ask()
			if w := way(); w.State != "healthy" {
				return fmt.Errorf("%+v", w)
			}
			return nil
		})
	}
	named := func(fault, state, hop, code string) {
		t.Helper()
		begun := time.Now()
		c.until(fault+" is named", func() error {
			ask()
			if w := way(); w.State != state || w.Broken != hop || w.Code != code {
				return fmt.Errorf("%+v", w)
			}
			return nil
		})
		t.Logf("%s: %s, %s, after %.1f s", fault, hop, way().Reason, time.Since(begun).Seconds())
	}

	well("at first")
	c.must(target.Close())
	named("a target that is gone", "down", "target", "requests_fail")
	_ = serve()
	well("with the target back")

	outside, _ := c.without(c.Sites[0])
	outside.Proc.Kill()
	named("a node that is killed", "degraded", "node", "node_away")
	c.restart(outside.Proc)
	well("with the node back")

	c.Sites[0].Proc.Kill()
	named("a connector that is killed", "down", "tunnel", "connector_away")
	c.restart(c.Sites[0].Proc)
	well("with the connector back")

	c.must(c.Sites[0].Net.Router.BlockUDP())
	named("a network without UDP", "degraded", "tunnel", "udp_blocked")
}

// A replica to which nobody is connected hears of all through the other one, some seconds later. It finds nobody silent for
// that: what it shows, and tells alerts, is what the other one does.
func TestReplicasAgreeThatAllIsWell(t *testing.T) {
	c := newCluster(t)
	const idle = "control2"
	proc, err := c.Process(idle)
	c.must(err)
	proc.Kill() // all connect to the other one, and stay there
	c.until("all are connected to the other replica", func() error {
		var st struct {
			status
			Replicas []struct{ ID string } // the one that answers comes first
		}
		if err := c.JSON(&st, "status"); err != nil {
			return err
		}
		for _, m := range slices.Concat(st.Nodes, st.Connectors) { // who was with the one that is gone is shown for a while as it was
			if m.State != "up" || m.Replica != st.Replicas[0].ID {
				return fmt.Errorf("%+v", m)
			}
		}
		return errors.Join(c.tunnelsUp(c.Sites[0]), c.tunnelsUp(c.Sites[1]))
	})
	c.restart(proc)
	ask := func(replica string) (bad error) {
		host := c.Lab.Find(replica)
		for _, s := range c.Sites {
			out, err := host.Command("curl", "-sSf", "-H", "Authorization: Bearer "+c.Key, fmt.Sprintf("http://%s:8080/api/v1/orgs/default/sites/%s/health", host.Addr, s.Name)).Output()
			var way wayTo
			if err == nil {
				err = json.Unmarshal(out, &way)
			}
			if err == nil && way.State != "healthy" {
				err = fmt.Errorf("%s finds site %s %+v", replica, s.Name, way)
			}
			bad = errors.Join(bad, err)
		}
		return bad
	}
	for _, replica := range []string{"control1", idle} {
		c.until(replica+" finds all well", func() error { return ask(replica) })
	}
	for range 30 { // tables are read every five seconds: some rounds of that
		for _, replica := range []string{"control1", idle} {
			if err := ask(replica); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(400 * time.Millisecond)
	}
}

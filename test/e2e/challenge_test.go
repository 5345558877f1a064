//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/gate"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// allReady is a fleet that has acknowledged everything: what is asked here are the nodes themselves.
type allReady struct{}

func (allReady) Standing(_ time.Time, nodes []model.NodeID, _ model.Revision) map[model.NodeID]presence.Standing {
	out := map[model.NodeID]presence.Standing{}
	for _, n := range nodes {
		out[n] = presence.Ready
	}
	return out
}

// challenge writes a row as a worker would, and returns it as the gate wants it.
func (c *suite) challenge(kind model.ChallengeType, name, token, value, life string) *model.Challenge {
	c.t.Helper()
	c.sql(fmt.Sprintf(`INSERT INTO challenges (id, org_id, order_id, type, name, token, value, expires_at)
		SELECT gen_random_uuid(), id, gen_random_uuid(), '%s', '%s', '%s', '%s', now() + interval '%s' FROM organizations WHERE name = 'default'`, kind, name, token, value, life))
	return &model.Challenge{Org: model.OrgID{UUID: modeltest.UUID("organization", "default")}, Type: kind, Name: name, Token: token, Value: model.Authorization(value)}
}

// gateOutside asks the nodes as they are reached from the client.
func (c *suite) gateOutside() *gate.Gate {
	c.t.Helper()
	rows := "pool default\ndomain " + domain + " organization=default pool=default\n"
	for _, n := range c.Nodes {
		rows += fmt.Sprintf("node %s pool=default addresses=%s enrolled\n", n.Name, n.Host.Addr)
	}
	b, err := modeltest.Parse(0, rows)
	c.must(err)
	world := model.NewCurrent()
	world.Set(model.Empty().Apply(b))
	return gate.New(gate.Options{World: world, Fleet: allReady{}, Policy: gate.Wait, Log: slog.New(slog.DiscardHandler),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return nil, err
			}
			return c.Client.Dial(ctx, network, to)
		}})
}

// Every node answers every kind of challenge, to the gate and to a strict resolver; it does so after a restart
// without a control plane, and forgets by itself.
func TestNodesAnswerChallenges(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	c.apply(cluster.Service("all", "http", `"*.`+domain+`"`, "s1", "10.77.1.10", 8080), "--wait")
	sum := sha256.Sum256([]byte("x"))
	digest := base64.RawURLEncoding.EncodeToString(sum[:])
	other := strings.Repeat("o", 43)
	all := []*model.Challenge{
		c.challenge(model.DNS01, domain, "t", digest, "10 minutes"), c.challenge(model.DNS01, domain, "t", other, "10 minutes"),
		c.challenge(model.DNS01, "deep.new."+domain, "t", digest, "10 minutes"), c.challenge(model.DNS01, "new."+domain, "t", digest, "10 minutes"),
		c.challenge(model.HTTP01, app, "tok", "tok."+digest, "10 minutes"), c.challenge(model.TLSALPN01, app, "t", digest, "10 minutes"),
	}
	ready := func(when string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := c.gateOutside().Ready(ctx, 1, all); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	ready("written")
	txt := func(name string) []string {
		out := c.Dig(c.Client.Addr.String(), name, "TXT")
		slices.Sort(out)
		return out
	}
	// Through the resolver: both values, and wildcards go on at every name around them.
	for name, want := range map[string][]string{
		"_acme-challenge." + domain:          {`"` + digest + `"`, `"` + other + `"`},
		"_acme-challenge.deep.new." + domain: {`"` + digest + `"`},
	} {
		slices.Sort(want)
		c.until("the resolver finds TXT of "+name, func() error { // it asks from the root down, and a question may be lost
			got := txt(name)
			if len(got) > 0 && !slices.Equal(got, want) {
				t.Errorf("TXT of %s through the resolver: %v, want %v", name, got, want)
			}
			if len(got) == 0 {
				return errors.New("no answer")
			}
			return nil
		})
	}
	for _, name := range []string{"new." + domain, "beside." + domain} {
		for _, server := range []netip.Addr{c.Nodes[0].Host.Addr, c.Nodes[1].Host.Addr, c.Nodes[2].Host.Addr, c.Client.Addr} {
			c.until("the wildcard answers at "+name, func() error { // a question may be lost
				out, err := c.Client.Command("dig", "+tries=1", "+time=2", "@"+server.String(), name, "A").Output()
				if strings.Contains(string(out), "status: NXDOMAIN") {
					t.Errorf("%s denies %s", server, name)
				}
				if n := strings.Count(string(out), "\tIN\tA\t"); n < len(c.Nodes) {
					return fmt.Errorf("%s: %d addresses, %v: %s", server, n, err, out)
				}
				return nil
			})
		}
	}
	// Port 80 sends people on, knows no strangers, and handshakes of others go their way.
	n := c.Nodes[0].Host.Addr.String()
	head := func(host string) string {
		out, _ := c.Client.Command("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", "-H", "Host: "+host, "http://"+n+"/a?b").Output()
		return string(out)
	}
	if got := head(app); got != "308 https://"+app+"/a?b" {
		t.Errorf("plain request: %s", got)
	}
	if got := head("evil.example"); !strings.HasPrefix(got, "404") {
		t.Errorf("plain request of a stranger's name: %s", got)
	}
	if r := c.answered("https://"+app+"/", cluster.At(c.Nodes[0], app)...); r.Name != "web" {
		t.Errorf("%+v", r)
	}
	// The check from the root down is content.
	c.until("the check finds nothing", func() error { // within ten seconds: it gives up on a server that is late
		out, err := c.Warren("domain", "check", domain)
		if err == nil && !strings.Contains(out, "by dns-01") {
			err = errors.New(out)
		}
		return err
	})
	// One that is over soon, then the control plane goes away.
	c.challenge(model.DNS01, "short."+domain, "t", digest, "20 seconds")
	short := time.Now().Add(20 * time.Second)
	for _, n := range c.Nodes {
		c.until(n.Name+" answers the short one", func() error {
			if time.Now().Before(short) && len(c.Dig(n.Host.Addr.String(), "_acme-challenge.short."+domain, "TXT")) != 1 {
				return fmt.Errorf("no answer")
			}
			return nil
		})
	}
	c.DB.Kill()
	for _, p := range c.Control {
		p.Kill()
	}
	for _, n := range c.Nodes {
		n.Proc.Kill()
		c.restart(n.Proc)
	}
	ready("restarted without a control plane")
	for _, n := range c.Nodes {
		c.until(n.Name+" forgets the short one", func() error {
			if got := c.Dig(n.Host.Addr.String(), "_acme-challenge.short."+domain, "TXT"); len(got) != 0 {
				return fmt.Errorf("%v", got)
			}
			return nil
		})
	}
}

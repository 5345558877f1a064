//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/warrenedge/warren/test/lab/cluster"
)

// branded are a service that nobody reaches, one that rests, one that asks for a PIN, and one where people sign in.
const branded = `{apiVersion: warren/v1, kind: Policy, metadata: {name: pin}, spec: {otherwise: authenticate, auth: {pin: {code: "482913"}}}}
---
{apiVersion: warren/v1, kind: Policy, metadata: {name: staff}, spec: {otherwise: authenticate, auth: {sign_in: {members: true}}}}
---
{apiVersion: warren/v1, kind: Service, metadata: {name: fails}, spec: {kind: http, hostname: fails.%[1]s, pool: default}}
---
{apiVersion: warren/v1, kind: Service, metadata: {name: rests}, spec: {kind: http, hostname: rests.%[1]s, pool: default, maintenance: {show: always, title: Back soon, message: We are moving}}}
---
{apiVersion: warren/v1, kind: Service, metadata: {name: asks}, spec: {kind: http, hostname: asks.%[1]s, pool: default, policy: pin}}
---
{apiVersion: warren/v1, kind: Service, metadata: {name: signs-in}, spec: {kind: http, hostname: signs-in.%[1]s, pool: default, policy: staff}}
`

// Where visitors are asked who they are, where something failed or rests, nodes answer with the organization's own look: with the
// control plane, without it, and when they start again without it. Whoever would have to sign in there is told so, in that look.
func TestPagesOfNodesNeedNoControlPlane(t *testing.T) {
	c := newCluster(t)
	logo := c.write("logo.svg", `<svg xmlns="http://www.w3.org/2000/svg"><circle r="4"/></svg>`)
	c.warren("org", "brand", "--name", "Acme Farms", "--accent", "#0a8f3c", "--logo", logo)
	c.apply(fmt.Sprintf(branded, domain), "--wait")
	page := func(n *cluster.Node, name string) string {
		t.Helper()
		host := name + "." + domain
		args := append(cluster.At(n, host), "-sS", "-o", "-", "-w", "\nstatus %{http_code}", "--max-time", "15", "--cacert", c.WebCA(), "-H", "Accept: text/html", "-H", "Sec-Fetch-Mode: navigate", "https://"+host+"/")
		out, err := c.Client.Command("curl", args...).CombinedOutput()
		if err != nil {
			return fmt.Sprintf("%v: %s", err, out)
		}
		return string(out)
	}
	look := func(when, signIn string) {
		t.Helper()
		for _, n := range c.Nodes {
			for name, want := range map[string][]string{
				"fails":    {"status 503", "Service Unavailable", "Request "},
				"rests":    {"status 503", "Back soon", "We are moving"},
				"asks":     {"status 401", "Who are you?", `inputmode="numeric"`},
				"signs-in": {signIn},
			} {
				if name != "signs-in" || signIn != "status 302" {
					want = append(want, "Acme Farms", "#0a8f3c", "data:image/svg", "<h1>")
				}
				c.until(fmt.Sprintf("%s, the page of %s at %s", when, name, n.Name), func() error {
					got := page(n, name)
					for _, w := range want {
						if !strings.Contains(got, w) {
							return fmt.Errorf("no %q in %s", w, got)
						}
					}
					return nil
				})
			}
		}
	}
	look("with the control plane", "status 302")
	c.DB.Kill()
	c.Cache.Kill()
	for _, p := range c.Control {
		p.Kill()
	}
	look("without it", "Nobody can sign in at this moment")
	for _, n := range c.Nodes {
		c.restart(n.Proc)
	}
	look("started again without it", "Nobody can sign in at this moment")
}

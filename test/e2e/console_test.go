//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/warrenedge/warren/test/lab"
)

// pictures names the folder that TestBrowserConsole leaves pictures of the pages in; "": nowhere. "make screenshots" sets it.
var pictures = os.Getenv("WARREN_PICTURES")

// more is what an operator has beside the sample service.
const more = `{apiVersion: warren/v1, kind: Site, metadata: {name: office}, spec: {pool: default}}
---
{apiVersion: warren/v1, kind: Service, metadata: {name: wiki}, spec: {kind: http, hostname: wiki.%[1]s, pool: default, policy: staff}}
---
{apiVersion: warren/v1, kind: Target, metadata: {name: wiki}, spec: {service: wiki, site: home, address: 127.0.0.1, port: %[2]d, health_check: {kind: http, path: /}}}
---
{apiVersion: warren/v1, kind: Service, metadata: {name: shop}, spec: {kind: http, hostname: shop.%[1]s, pool: default}}
---
{apiVersion: warren/v1, kind: Target, metadata: {name: shop}, spec: {service: shop, site: office, address: 10.20.0.8, port: 8080}}
---
{apiVersion: warren/v1, kind: Service, metadata: {name: db}, spec: {kind: tcp, ports: "15432", pool: default, allow: [192.0.2.0/24]}}
---
{apiVersion: warren/v1, kind: Target, metadata: {name: db}, spec: {service: db, site: home, address: 127.0.0.1, port: %[2]d}}
---
{apiVersion: warren/v1, kind: AlertRule, metadata: {name: sites}, spec: {kind: site_down}}
`

// Every page of the console shows what there is in a real cluster, in Debian's Chromium, without a complaint of the browser: to
// the administrator who has signed in there.
func TestBrowserConsole(t *testing.T) {
	v := newVisited(t)
	host := v.host()
	_, domain, _ := strings.Cut(host, ".")
	v.apply(fmt.Sprintf(more, domain, upgrading(t)))
	visitor := v.visitor()
	lab.Eventually(t, patience, "the visitor is in", func() error {
		if status, _, _ := visitor.get(v.service+"/", nil); status == http.StatusOK {
			return nil
		}
		v.signIn(visitor)
		return fmt.Errorf("not yet")
	})
	for i := range 120 {
		visitor.get(fmt.Sprintf("%s/page/%d", v.service, i%7), nil)
	}
	for range 8 {
		v.visitor().get(v.service+"/", nil) // strangers
	}

	least, tries := 1, 0 // requests that are drawn
	if pictures != "" {
		least = 1000
	}
	c := newChromium(t, host)
	home, org := strings.Split(v.setup, "/setup")[0], "/console/orgs/default"
	c.do("a larger window", chromedp.EmulateViewport(1280, 800, chromedp.EmulateScale(1)))
	c.do("sign in", chromedp.Navigate(home+"/console"), titled("Sign in"), chromedp.SendKeys("#email", "ann@example.org"),
		chromedp.SendKeys("#password", "correct horse battery staple 9"), chromedp.Click("form.card button"), chromedp.WaitVisible("#find", chromedp.ByQuery))
	for _, p := range []struct {
		name, path, text string
		keep             bool // a picture of it, for README
	}{
		{"overview", org + "/", "2 of 2", true},
		{"sites", org + "/sites", "office", false},
		{"site", org + "/sites/home", "home", false},
		{"services", org + "/services", "wiki", false},
		{"service", org + "/services/hello", host, true},
		{"requests", org + "/requests?service=hello", "/page/", true},
		{"requests watched", org + "/requests/live", "/page/", false},
		{"events", org + "/events", "", false},
		{"alerts", org + "/alerts", "sites", false},
		{"audit log", org + "/audit", "service.create", false},
		{"whole audit log", "/console/cluster/audit/verify", "Nobody has changed it", false},
		{"policies", org + "/policies", "staff", false},
		{"policy", org + "/policies/staff/edit", "Otherwise", false},
		{"test of a request", org + "/test?url=https%3A%2F%2F" + host + "%2F", "hello", false},
		{"members", org + "/members", "ann@example.org", false},
		{"roles", org + "/roles", "owner", false},
		{"webhooks", org + "/webhooks", "", false},
		{"settings", org + "/settings", "second factor", false},
		{"topology", org + "/topology", "office", true},
		{"policies", org + "/policies", "staff", false},
		{"policy", org + "/policies/staff", "hello", true},
		{"alerts", org + "/alerts", "sites", false},
		{"events", org + "/events", "", false},
		{"audit", org + "/audit", "service.create", false},
		{"members", org + "/members", "", false},
		{"settings", org + "/settings", "", false},
		{"palette", org + "/find?q=wik", "wiki", false},
		{"domains", org + "/domains", domain, false},
		{"domain", org + "/domains/" + domain, domain, false},
		{"certificates", org + "/certificates", host, true},
		{"connect", org + "/connect", "", false},
		{"nodes", "/console/cluster/nodes", "node-2", false},
		{"node", "/console/cluster/nodes/node-1", "node-1", true},
		{"snapshot", "/console/cluster/nodes/node-1/snapshot", "Route", false},
		{"diagnostics", "/console/cluster/diagnostics", "", true},
	} {
		// What nodes report arrives within seconds: the page is loaded again until it has it, as a person would.
		lab.Eventually(t, patience, p.name, func() error {
			var body string
			var wide int
			var requests int
			if err := chromedp.Run(c.ctx, chromedp.Navigate(home+p.path), chromedp.WaitVisible("h1", chromedp.ByQuery), chromedp.Evaluate("document.body.innerText", &body),
				chromedp.Evaluate("document.documentElement.scrollWidth - innerWidth", &wide), chromedp.Evaluate(traffic, &requests, awaited)); err != nil {
				return err
			}
			if p.path == org+"/" && requests < least || requests == 0 {
				tries++
				for i := range 10 + tries%4*15 {
					visitor.get(fmt.Sprintf("%s/page/%d", v.service, i%7), nil)
				}
				visitor.get("https://shop."+strings.SplitN(strings.TrimPrefix(v.service, "https://"), ".", 2)[1]+"/", nil) // which nobody answers
				return fmt.Errorf("%d requests are drawn, want %d: %s", requests, least, body)
			}
			if !strings.Contains(body, p.text) || strings.Contains(body, "There is no such") || wide > 0 {
				return fmt.Errorf("%d pixels too wide, or not there: %s", wide, body)
			}
			return nil
		})
		if p.keep {
			c.picture(p.name)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.said) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(c.said, "\n"))
	}
	v.interrupt(t)
}

// traffic is how many requests the charts of a page are of, once they are drawn; 1 if it has no chart, 0 while the figure of the
// overview beside them says none.
const traffic = `new Promise((done) => {
	const look = () => {
		const card = document.querySelector("[data-traffic]");
		if (card && !card.dataset.drawn) return setTimeout(look, 50);
		done(!card ? 1 : document.querySelector(".tile b")?.innerText === "0" ? 0 : +card.dataset.drawn);
	};
	look();
})`

func awaited(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// picture keeps what the browser shows, if pictures are wanted.
func (c *chromium) picture(name string) {
	c.t.Helper()
	if pictures == "" {
		return
	}
	var png []byte
	c.do("picture of "+name,
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "light"}, {Name: "prefers-reduced-motion", Value: "reduce"}}),
		chromedp.Sleep(300*time.Millisecond), // what is live has come
		chromedp.CaptureScreenshot(&png))
	if err := os.WriteFile(filepath.Join(pictures, name+".png"), png, 0o644); err != nil {
		c.t.Fatal(err)
	}
}

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// axeFile is axe-core, which finds what people with a screen reader or a keyboard stumble over.
const axeFile = "../../controlplane/console/testdata/axe.min.js"

// screenshots names the folder that TestBrowserEveryPageOfACluster leaves a picture of each page in; "": nowhere.
var screenshots = os.Getenv("WARREN_SCREENSHOTS")

// everything is a little of each kind that has a page, beside more.
const everything = `{apiVersion: warren/v1, kind: Group, metadata: {name: night-shift}}
---
{apiVersion: warren/v1, kind: Role, metadata: {name: reader}, spec: {permissions: ["sites:read"]}}
---
{apiVersion: warren/v1, kind: ServiceAccount, metadata: {name: deployer}, spec: {roles: [member]}}
---
{apiVersion: warren/v1, kind: Webhook, metadata: {name: pager}, spec: {url: "https://hooks.example.org/warren"}}
---
{apiVersion: warren/v1, kind: ClusterWebhook, metadata: {name: siren}, spec: {url: "https://siren.example.org/"}}
---
{apiVersion: warren/v1, kind: ClusterAlertRule, metadata: {name: nodes}, spec: {kind: node_down}}
---
{apiVersion: warren/v1, kind: ClusterRole, metadata: {name: desk}, spec: {permissions: ["users:read"]}}
---
{apiVersion: warren/v1, kind: User, metadata: {name: mia@example.org}}
---
{apiVersion: warren/v1, kind: Member, metadata: {name: mia@example.org}, spec: {roles: [viewer]}}
`

// Whoever signs in with a passkey reaches every page of the console by its links, on a phone in the dark: each is there, fits the
// screen, and neither the browser nor axe has a complaint.
func TestBrowserEveryPageOfACluster(t *testing.T) {
	axe, err := os.ReadFile(axeFile)
	if err != nil {
		t.Fatal(err)
	}
	v := newVisited(t)
	host := v.host()
	_, domain, _ := strings.Cut(host, ".")
	v.apply(fmt.Sprintf(more, domain, upgrading(t)))
	v.apply(everything)
	visitor := v.visitor()
	for i := range 20 {
		visitor.get(fmt.Sprintf("%s/page/%d", v.service, i), nil)
	}

	c := newChromium(t, host)
	home := strings.Split(v.setup, "/setup")[0]
	c.do("a phone in the dark", chromedp.EmulateViewport(360, 740), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: "dark"}, {Name: "prefers-reduced-motion", Value: "reduce"}, // axe may look while a colour changes into another
	}))
	c.passkey(home)
	see := func(path string) (links []string) {
		t.Helper()
		var title string
		var wide int
		var found []string
		c.do(path, chromedp.Navigate(home+path), chromedp.WaitVisible("h1", chromedp.ByQuery), chromedp.Text("h1", &title, chromedp.ByQuery),
			chromedp.Evaluate("document.documentElement.scrollWidth - innerWidth", &wide), chromedp.Evaluate(string(axe)+"; 0", nil),
			chromedp.Evaluate(`axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.filter(v => ["serious", "critical"].includes(v.impact)).map(v => v.id + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join("; ")))`,
				&found, awaited),
			chromedp.Evaluate(`[...document.querySelectorAll("a[href]:not([download])")].map(a => new URL(a.getAttribute("href"), location.href).href)`, &links))
		if slices.Contains([]string{"Not found", "Not allowed", "Not possible now", "That did not work"}, title) || wide > 0 || len(found) > 0 {
			t.Errorf("%s, %q: %d pixels too wide; %s", path, title, wide, strings.Join(found, "\n"))
		}
		c.keep(path)
		return links
	}
	seen := map[string]bool{}
	for next := []string{"/console/orgs/default/", "/account", "/services"}; len(next) > 0; next = next[1:] {
		if shape := shapeOf(next[0]); !seen[shape] {
			seen[shape] = true
			for _, link := range see(next[0]) {
				if u, err := url.Parse(link); err == nil && strings.HasPrefix(link, home+"/console/") && !strings.Contains(u.Path, "/export") {
					next = append(next, u.RequestURI())
				}
			}
		}
	}
	for _, must := range []string{
		"orgs/default/sites/*", "orgs/default/sites/*/edit", "orgs/default/services/*", "orgs/default/services/*/yaml", "orgs/default/services/*/targets/*/edit", "orgs/default/policies/*/edit", "orgs/default/connect",
		"orgs/default/publish", "orgs/default/topology", "orgs/default/domains/*", "orgs/default/certificates", "orgs/default/requests", "orgs/default/events", "orgs/default/alerts/*", "orgs/default/audit", "orgs/default/members",
		"orgs/default/settings", "orgs/default/webhooks/*", "orgs/default/gitops/*", "orgs/default/api/*", "orgs/default/test", "cluster/nodes/*", "cluster/nodes/*/snapshot", "cluster/diagnostics", "cluster/users/*/edit", "cluster/organizations/*/edit", "cluster/settings", "cluster/jobs",
	} {
		if !seen["/console/"+must] {
			t.Errorf("no link leads to %s", must)
		}
	}
	t.Logf("%d kinds of pages", len(seen))
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.said) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(c.said, "\n"))
	}
	v.interrupt(t)
}

// passkey signs in with a password, adds a passkey, signs out, and signs in with that.
func (c *chromium) passkey(home string) {
	c.t.Helper()
	const secret = "correct horse battery staple 9"
	authenticator := webauthn.AddVirtualAuthenticator(&webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	})
	c.do("an authenticator", webauthn.Enable(), chromedp.ActionFunc(func(ctx context.Context) error { _, err := authenticator.Do(ctx); return err }))
	c.do("sign in", chromedp.Navigate(home+"/account"), titled("Sign in"), chromedp.SendKeys("#email", "ann@example.org"), chromedp.SendKeys("#password", secret), chromedp.Click("form.card button"), titled("Your account"))
	c.do("add a passkey", chromedp.SendKeys("#passkey-name", "phone"), chromedp.SendKeys("#current-passkey", secret), chromedp.Click("[data-passkey-form] button"), chromedp.WaitVisible(`//strong[text()="phone"]`, chromedp.BySearch))
	c.do("sign out", chromedp.Click("header button"), titled("Signed out"))
	c.do("sign in with the passkey", chromedp.Navigate(home+"/console/orgs/default/"), titled("Sign in"), chromedp.WaitVisible("[data-passkey=sign-in]"), chromedp.Click("[data-passkey=sign-in] button"), chromedp.WaitVisible("#find", chromedp.ByQuery))
}

// shapeOf is what pages of the same kind have in common: their path without names.
func shapeOf(uri string) string {
	path, _, _ := strings.Cut(uri, "?")
	parts := strings.Split(path, "/") // "", "console", "orgs", its name, …
	from := 4
	if len(parts) > 2 && parts[2] == "cluster" {
		from = 3
	}
	for i := from + 1; i < len(parts); i += 2 {
		if parts[i] != "" {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}

// keep writes a picture of the whole page, if pictures are wanted.
func (c *chromium) keep(path string) {
	c.t.Helper()
	if screenshots == "" {
		return
	}
	var png []byte
	c.do("picture of "+path, chromedp.FullScreenshot(&png, 100))
	path, _, _ = strings.Cut(path, "?")
	if err := os.WriteFile(filepath.Join(screenshots, strings.ReplaceAll(strings.Trim(path, "/"), "/", "_")+".png"), png, 0o644); err != nil {
		c.t.Fatal(err)
	}
}

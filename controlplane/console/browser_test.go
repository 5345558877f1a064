//go:build e2e

package console

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/identity"
)

// axe is axe-core 4.14.1, which finds what people with a screen reader or a keyboard stumble over.
//
//go:embed testdata/axe.min.js
var axe string

// tab is a page in Debian's Chromium, to which the console is at its own address.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu   sync.Mutex
	said []string // what the browser complained about
}

func (r *rig) chromium(t *testing.T, token string) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed: apt-get install chromium")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WSURLReadTimeout(2*time.Minute),
		chromedp.Flag("host-resolver-rules", "MAP example.com:443 "+r.srv.Listener.Addr().String()), chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("no-proxy-server", true))
	alloc, stop := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	if err := chromedp.Run(ctx); err != nil { // the browser lives as long as this context does, not as those of do
		t.Fatal(err)
	}
	b := &tab{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, func(ev any) {
		if e, ok := ev.(*log.EventEntryAdded); ok && e.Entry.Level == log.LevelError && !strings.Contains(e.Entry.Text, "status of 4") {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.said = append(b.said, e.Entry.Text)
		}
	})
	b.do("begin", log.Enable(), chromedp.ActionFunc(func(ctx context.Context) error {
		return network.SetCookie(session, token).WithURL(home).WithSecure(true).WithHTTPOnly(true).WithPath("/").Do(ctx)
	}))
	return b
}

// patience is how long a browser may take for one thing, on a machine that does others: it is no more than a sign of life.
const patience = 2 * time.Minute

func (b *tab) do(what string, actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		var at, body string
		_ = chromedp.Run(b.ctx, chromedp.Location(&at), chromedp.Text("body", &body))
		b.t.Fatalf("%s: %v; at %s: %s", what, err, at, body)
	}
}

// quiet fails if the browser has complained, as it does of whatever the content security policy refuses.
func (b *tab) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.said) > 0 {
		b.t.Errorf("the browser complains: %s", strings.Join(b.said, "\n"))
	}
}

// see is a page as it is shown: nothing wider than the screen, nothing that axe finds serious.
func (b *tab) see(path string) {
	b.t.Helper()
	var wide int64
	var found []string
	b.do(path, chromedp.Navigate(home+path), chromedp.WaitVisible("h1", chromedp.ByQuery), chromedp.Evaluate("document.documentElement.scrollWidth - innerWidth", &wide),
		chromedp.Evaluate(axe+"; 0", nil),
		chromedp.Evaluate(`axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.filter(v => ["serious", "critical"].includes(v.impact)).map(v => v.id + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join("; ")))`,
			&found, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	if wide > 0 {
		b.t.Errorf("%s is wider than the screen by %d", path, wide)
	}
	for _, f := range found {
		b.t.Errorf("%s: %s", path, f)
	}
}

// keep writes a picture of the page into the directory that WARREN_SCREENSHOTS names, if it names one.
func (b *tab) keep(name string) {
	b.t.Helper()
	dir := os.Getenv("WARREN_SCREENSHOTS")
	if dir == "" {
		return
	}
	var png []byte
	b.do("picture", chromedp.FullScreenshot(&png, 100))
	if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(strings.Trim(name, "/"), "/", "_")+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func TestBrowserEveryPage(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.chromium(t, r.user("root@example.org", "cluster-admin", "", ""))
	dark := func(scheme string) chromedp.Action {
		return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}, // axe may look while a colour changes into another
		})
	}
	for _, as := range []struct {
		width  int64
		scheme string
	}{{1280, "light"}, {360, "dark"}} {
		b.do("screen", chromedp.EmulateViewport(as.width, 800), dark(as.scheme))
		seen := map[string]bool{}
		for _, p := range everyPage {
			if seen[p.path] { // it shows several things
				continue
			}
			seen[p.path] = true
			t.Run(fmt.Sprintf("%d-%s%s", as.width, as.scheme, p.path), func(t *testing.T) {
				b.t = t
				b.see(r.path(p.path))
				b.keep(t.Name()[strings.Index(t.Name(), "/")+1:])
			})
		}
	}
	b.t = t
	b.quiet()
}

// What somebody types stays while the page changes around it; a question is a dialog; the search answers while one types.
func TestBrowserLive(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.chromium(t, r.user("root@example.org", "cluster-admin", "", ""))
	edge, pi := r.nodeID("edge-1"), r.connectorID("pi")
	say := func(up bool) chromedp.Action {
		return chromedp.ActionFunc(func(context.Context) error {
			r.report(presence.Entry{Key: presence.Key{Kind: identity.Connector, ID: pi}, Applied: 1, Tunnels: []presence.Tunnel{tunnelTo(edge, up)}})
			return nil
		})
	}
	var typed, focused string
	b.do("type while it changes", chromedp.EmulateViewport(1280, 800), chromedp.Navigate(home+"/console/orgs/default/connect/pi"), chromedp.WaitVisible("#f-address", chromedp.ByQuery),
		chromedp.SendKeys("#f-address", "10.0.0"), say(false), chromedp.WaitVisible(`//span[contains(text(), "digs its tunnels")]`, chromedp.BySearch),
		chromedp.KeyEvent(".99"), say(true), chromedp.WaitVisible(`//span[contains(text(), "is connected by")]`, chromedp.BySearch),
		chromedp.Value("#f-address", &typed), chromedp.Evaluate("document.activeElement.id", &focused))
	if typed != "10.0.0.99" || focused != "f-address" {
		t.Errorf("%q was typed, %q has the focus", typed, focused)
	}
	b.do("search", chromedp.Navigate(home+"/console/orgs/default/services"), chromedp.WaitVisible(`//a[text()="wiki"]`, chromedp.BySearch),
		chromedp.SendKeys("main input[type=search]", "mail.exa"), chromedp.WaitNotPresent(`//a[text()="wiki"]`, chromedp.BySearch), chromedp.WaitVisible(`//a[text()="mail"]`, chromedp.BySearch),
		chromedp.ActionFunc(func(ctx context.Context) error { // what comes later is searched as well
			_, _, err := r.admin.Services.Create(ctx, r.key, "default", "more", admin.ServiceSpec{Kind: "tls", Hostname: "more.mail.example.org", Pool: "default"})
			if err != nil {
				return err
			}
			_, rev, err := r.admin.Services.Create(ctx, r.key, "default", "mail2", admin.ServiceSpec{Kind: "tls", Hostname: "mail.example.org.example.org", Pool: "default"})
			r.must(rev, err)
			return nil
		}), chromedp.WaitVisible(`//a[text()="mail2"]`, chromedp.BySearch), chromedp.WaitNotPresent(`//a[text()="wiki"]`, chromedp.BySearch))
	b.do("ask and delete", chromedp.Navigate(home+"/console/orgs/default/services/mail2"), chromedp.Click("a.danger[data-ask]", chromedp.ByQuery),
		chromedp.WaitVisible("dialog[open] button.danger", chromedp.ByQuery), chromedp.Click("dialog[open] button.danger", chromedp.ByQuery),
		chromedp.WaitVisible(`//p[contains(text(), "mail2 is deleted")]`, chromedp.BySearch), chromedp.WaitNotPresent(`//a[text()="mail2"]`, chromedp.BySearch))
	b.quiet()
}

// From an empty console to a published service: three clicks, and the page goes on by itself.
func TestBrowserConnect(t *testing.T) {
	r := newRig(t)
	b := r.chromium(t, r.user("root@example.org", "cluster-admin", "", ""))
	var command string
	begun := time.Now()
	b.do("to the command", chromedp.EmulateViewport(360, 800), chromedp.Navigate(home+"/"), chromedp.Click(`ol.steps a[href$="/connect"]`, chromedp.ByQuery),
		chromedp.WaitVisible("#f-site", chromedp.ByQuery), chromedp.Click("main form button", chromedp.ByQuery), chromedp.WaitVisible("#command", chromedp.ByQuery), chromedp.Text("#command", &command))
	if !strings.Contains(command, "WARREN_CONNECTOR_TOKEN=wjt1.") {
		t.Fatal(command)
	}
	r.join("", "home-1")
	id := r.connectorID("home-1")
	r.report(presence.Entry{Key: presence.Key{Kind: identity.Connector, ID: id}, Applied: 1, Tunnels: []presence.Tunnel{tunnelTo("somewhere", true)}})
	b.do("by itself to the service", chromedp.WaitVisible(`//span[contains(text(), "is connected by")]`, chromedp.BySearch), chromedp.WaitVisible("#f-address", chromedp.ByQuery))
	green := time.Since(begun)
	b.do("publish", chromedp.SendKeys("#f-address", "10.0.0.9"), chromedp.SendKeys("#f-port", "8080"), chromedp.SendKeys("#f-hostname", "home.apps.example.org"),
		chromedp.SendKeys("#f-domain", "apps.example.org"), chromedp.Click("#publish button", chromedp.ByQuery), chromedp.WaitVisible(`//h1[text()="home"]`, chromedp.BySearch),
		chromedp.WaitVisible(`a[href="https://home.apps.example.org/"]`, chromedp.ByQuery))
	b.quiet()
	fmt.Printf("{\"name\":\"wizard_to_green\",\"value\":%.2f,\"unit\":\"s\",\"want\":\"<= 30, with the connector's own start\"}\n", green.Seconds())
}

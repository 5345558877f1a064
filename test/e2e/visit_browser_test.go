//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"

	"github.com/warrenedge/warren/test/lab"
)

// chromium is Debian's browser, which finds the service at the node.
type chromium struct {
	t   *testing.T
	ctx context.Context

	mu   sync.Mutex
	said []string // guarded by mu; complaints of the browser
}

func newChromium(t *testing.T, host string) *chromium {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed: apt-get install chromium")
	}
	alloc, stop := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WSURLReadTimeout(2*time.Minute),
		chromedp.Flag("host-resolver-rules", "MAP "+host+" 127.0.0.1"), chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("no-proxy-server", true))...)
	t.Cleanup(stop)
	return newTab(t, alloc)
}

// newTab opens a tab of a browser, whose window is as small as a phone's.
func newTab(t *testing.T, browser context.Context) *chromium {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 10*time.Minute)
	t.Cleanup(cancel)
	c := &chromium{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, func(ev any) {
		if e, ok := ev.(*log.EventEntryAdded); ok && e.Entry.Level == log.LevelError && !strings.Contains(e.Entry.Text, "status of 4") {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.said = append(c.said, e.Entry.Text+" "+e.Entry.URL)
		}
	})
	// The first run starts the browser and ends it with its context: so not one of do's.
	if err := chromedp.Run(ctx, log.Enable(), chromedp.EmulateViewport(360, 740)); err != nil {
		t.Fatal(err)
	}
	return c
}

// do fails with where the browser is. It gives a browser as long as those of controlplane/console have for one thing.
func (c *chromium) do(what string, actions ...chromedp.Action) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, 2*patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		var at, body, link string
		_ = chromedp.Run(c.ctx, chromedp.Location(&at), chromedp.Evaluate("document.body.innerText", &body), chromedp.Evaluate(`document.body.dataset.link ?? "none"`, &link))
		c.t.Fatalf("%s: %v; at %s (link %q): %s", what, err, at, link, body)
	}
}

// at waits until the browser shows a page with a text.
func (c *chromium) at(what, url, text string) {
	c.t.Helper()
	lab.Eventually(c.t, patience, what, func() error {
		var at, body string
		if err := chromedp.Run(c.ctx, chromedp.Location(&at), chromedp.Evaluate("document.body.innerText", &body)); err != nil {
			return err
		}
		if at != url || !strings.Contains(body, text) {
			return fmt.Errorf("at %s: %s", at, body)
		}
		return nil
	})
}

func titled(title string) chromedp.Action {
	return chromedp.WaitVisible(`//h1[text()="`+title+`"]`, chromedp.BySearch)
}

// A person opens a deep link of a service in a real browser, signs in at the control plane with password and app, is where he
// wanted to be, and signs out everywhere.
func TestBrowserVisits(t *testing.T) {
	v := newVisited(t)
	c := newChromium(t, v.host())
	home, deep := strings.Split(v.setup, "/setup")[0], v.service+"/deep/link?x=1&y=a%20b"
	typed := func(button, title string) []chromedp.Action {
		return []chromedp.Action{titled("Sign in"), chromedp.SendKeys("#email", "ann@example.org"), chromedp.SendKeys("#password", "correct horse battery staple 9"),
			chromedp.Click(button), titled(title)}
	}
	code := func(key string, later time.Duration) string {
		t.Helper()
		s, err := totp.GenerateCode(key, time.Now().Add(later))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var key string
	c.do("sign in", append([]chromedp.Action{chromedp.Navigate(home + "/account")}, typed("form.card button", "Your account")...)...)
	c.do("add an app", chromedp.SendKeys("#current-app", "correct horse battery staple 9"), chromedp.Click(`form[action="/account/app"] button`), titled("Add an authenticator app"),
		chromedp.WaitVisible("img.qr"), chromedp.Text("code.secret", &key))
	c.do("confirm it", chromedp.SendKeys("#code", code(key, 0)), chromedp.Click("main button"), titled("Your backup codes"))
	c.do("sign out", chromedp.Click("header button"), titled("Signed out"))

	c.do("follow a deep link", append([]chromedp.Action{chromedp.Navigate(deep)}, typed("form.card button", "Your code")...)...)
	c.do("the second factor", chromedp.SendKeys("#code", code(key, 30*time.Second)), chromedp.Click("main button"))
	c.at("back at the deep link", deep, "/deep/link")
	c.do("go on without being asked", chromedp.Navigate(v.service+"/other"))
	c.at("another page", v.service+"/other", "/other")

	c.do("sign out everywhere", chromedp.Navigate(v.service+"/.warren/sign-out"), titled("Sign out"), chromedp.Click(`button[name="everywhere"]`),
		chromedp.WaitVisible(`//p[text()="You are signed out everywhere."]`, chromedp.BySearch))
	c.do("the deep link asks again", chromedp.Navigate(deep), titled("Sign in"), chromedp.WaitVisible("#password"))
	c.do("so does the control plane", chromedp.Navigate(home+"/account"), titled("Sign in"))
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.said) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(c.said, "\n"))
	}
	v.interrupt(t)
}

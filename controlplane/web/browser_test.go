//go:build e2e

package web

import (
	"context"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/warrenedge/warren/controlplane/signin"
)

// chromium is Debian's browser, to which the pages are at their own address, with a virtual authenticator.
func (r *rig) chromium(t *testing.T) (ctx context.Context, complaints func() []string) {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed: apt-get install chromium")
	}
	addr := r.srv.Listener.Addr().String()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WSURLReadTimeout(2*time.Minute),
		chromedp.Flag("host-resolver-rules", "MAP example.com:443 "+addr), chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("no-proxy-server", true))
	alloc, stop := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 10*time.Minute)
	t.Cleanup(cancel)
	var mu sync.Mutex
	var said []string
	chromedp.ListenTarget(ctx, func(ev any) {
		if e, ok := ev.(*log.EventEntryAdded); ok && e.Entry.Level == log.LevelError && !strings.Contains(e.Entry.Text, "status of 4") {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, e.Entry.Text)
		}
	})
	err = chromedp.Run(ctx, log.Enable(), chromedp.EmulateViewport(360, 740), webauthn.Enable(), chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := webauthn.AddVirtualAuthenticator(&webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}).Do(ctx)
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
	return ctx, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return said
	}
}

// A person sets the cluster up, adds an app and a passkey, and signs in with either, in a real browser of a phone's width.
func TestBrowser(t *testing.T) {
	r := newRig(t)
	token, err := signin.NewSetupToken(t.Context(), r.db)
	if err != nil {
		t.Fatal(err)
	}
	ctx, complaints := r.chromium(t)
	do := func(what string, actions ...chromedp.Action) {
		t.Helper()
		if err := chromedp.Run(ctx, actions...); err != nil {
			var at, body string
			_ = chromedp.Run(ctx, chromedp.Location(&at), chromedp.Text("body", &body))
			t.Fatalf("%s: %v; at %s: %s", what, err, at, body)
		}
	}
	on := func(title string) chromedp.Action {
		return chromedp.WaitVisible(`//h1[text()="`+title+`"]`, chromedp.BySearch)
	}
	var key string
	var width int64
	do("set up", chromedp.Navigate(home+"/setup?token="+token), on("Set up"), chromedp.SendKeys("#email", alice), chromedp.SendKeys("#new-password", secret),
		chromedp.Click("main button"), on("Your account"))
	do("add an app", chromedp.SendKeys("#current-app", secret), chromedp.Click(`form[action="/account/app"] button`), on("Add an authenticator app"),
		chromedp.WaitVisible("img.qr"), chromedp.Text("code.secret", &key))
	do("confirm it", chromedp.SendKeys("#code", code(t, key, 0)), chromedp.Click("main button"), on("Your backup codes"), chromedp.Navigate(home+"/account"), on("Your account"))
	do("add a passkey", chromedp.SendKeys("#passkey-name", "phone"), chromedp.SendKeys("#current-passkey", secret), chromedp.Click("[data-passkey-form] button"),
		chromedp.WaitVisible(`//strong[text()="phone"]`, chromedp.BySearch))
	do("nothing is wider than the screen", chromedp.Evaluate("document.documentElement.scrollWidth", &width))
	if width > 360 {
		t.Errorf("the page is %d wide", width)
	}
	do("sign out", chromedp.Click("header button"), on("Signed out"))
	do("with a password and the app", chromedp.Navigate(home+"/device"), on("Sign in"), chromedp.SendKeys("#email", alice), chromedp.SendKeys("#password", secret),
		chromedp.Click("form.card button"), on("Your code"), chromedp.SendKeys("#code", code(t, key, 30*time.Second)), chromedp.Click("main button"), on("Sign in a command line"))
	do("sign out again", chromedp.Click("header button"), on("Signed out"))
	do("with a passkey", chromedp.Navigate(home+"/device"), on("Sign in"), chromedp.WaitVisible("[data-passkey=sign-in]"), chromedp.Click("[data-passkey=sign-in] button"),
		on("Sign in a command line"))
	if said := complaints(); len(said) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(said, "\n"))
	}
}

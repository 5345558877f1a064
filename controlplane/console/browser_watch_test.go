//go:build e2e

package console

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/chromedp"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
)

// Requests appear while one watches; charts are drawn; rules of a policy are arranged by its buttons, which need no script.
func TestBrowserWatch(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.chromium(t, r.user("root@example.org", "cluster-admin", "", ""))
	b.do("watch", chromedp.EmulateViewport(1280, 800), chromedp.Navigate(home+"/console/orgs/default/requests/live?service=wiki"), chromedp.WaitVisible(`//span[contains(text(), "/api/list")]`, chromedp.BySearch),
		chromedp.WaitNotPresent("body[data-link=lost]", chromedp.ByQuery))
	r.log(&model.Request{Path: "/just-now", Status: 204, Decision: model.DecisionAllowed})
	b.do("it comes", chromedp.WaitVisible(`//span[contains(text(), "/just-now")]`, chromedp.BySearch))
	var plots int
	b.do("charts", chromedp.Navigate(home+"/console/orgs/default/services/wiki"), chromedp.WaitVisible(`[data-drawn="300"] .chart canvas`, chromedp.ByQuery),
		chromedp.Evaluate(`document.querySelectorAll(".chart canvas").length`, &plots))
	if plots != 4 {
		t.Errorf("%d charts", plots)
	}
	var first string
	b.do("arrange", chromedp.Navigate(home+"/console/orgs/default/policies/staff/edit"), chromedp.Click(`button[value="add"]`, chromedp.ByQuery), chromedp.WaitVisible(`button[value="up 1"]`, chromedp.ByQuery),
		chromedp.SendKeys(`textarea[name="rules[1].paths"]`, "/open/**"), chromedp.Click(`button[value="up 1"]`, chromedp.ByQuery),
		chromedp.WaitVisible(`//textarea[@name="rules[0].paths" and contains(text(), "/open/**")]`, chromedp.BySearch), chromedp.Value(`textarea[name="rules[1].paths"]`, &first))
	if first != "/admin/**" {
		t.Errorf("the second rule is about %q", first)
	}
	b.quiet()
}

// A page whose stream is refused keeps what it shows, says that it is not live, and is live once there is room.
func TestBrowserStreamThatIsRefused(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.chromium(t, r.user("root@example.org", "cluster-admin", "", ""))
	for i := range maxStreams {
		r.con.streams.take(strconv.Itoa(i))
	}
	b.do("refused", chromedp.EmulateViewport(1280, 800), chromedp.Navigate(home+"/console/orgs/default/services"), chromedp.WaitVisible("body[data-link=lost]", chromedp.ByQuery),
		chromedp.WaitVisible(`//a[text()="wiki"]`, chromedp.BySearch))
	for i := range maxStreams {
		r.con.streams.give(strconv.Itoa(i))
	}
	b.do("live", chromedp.WaitNotPresent("body[data-link=lost]", chromedp.ByQuery), chromedp.ActionFunc(func(ctx context.Context) error {
		_, rev, err := r.admin.Services.Create(ctx, r.key, "default", "later", admin.ServiceSpec{Kind: "tls", Hostname: "later.mail.example.org", Pool: "default"})
		r.must(rev, err)
		return nil
	}), chromedp.WaitVisible(`//a[text()="later"]`, chromedp.BySearch))
}

// A page is live although the script that opens its stream comes late, as on a slow network.
func TestBrowserScriptsThatComeLate(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.chromium(t, r.user("root@example.org", "cluster-admin", "", ""))
	chromedp.ListenTarget(b.ctx, func(ev any) {
		if e, ok := ev.(*fetch.EventRequestPaused); ok {
			time.AfterFunc(time.Second, func() { _ = chromedp.Run(b.ctx, fetch.ContinueRequest(e.RequestID)) })
		}
	})
	b.do("live", fetch.Enable().WithPatterns([]*fetch.RequestPattern{{URLPattern: "*hx-sse*"}, {URLPattern: "*console.js*"}}),
		chromedp.EmulateViewport(1280, 800), chromedp.Navigate(home+"/console/orgs/default/services"), chromedp.WaitVisible(`//a[text()="wiki"]`, chromedp.BySearch),
		chromedp.ActionFunc(func(ctx context.Context) error {
			_, rev, err := r.admin.Services.Create(ctx, r.key, "default", "later", admin.ServiceSpec{Kind: "tls", Hostname: "later.mail.example.org", Pool: "default"})
			r.must(rev, err)
			return nil
		}), chromedp.WaitVisible(`//a[text()="later"]`, chromedp.BySearch))
	b.quiet()
}

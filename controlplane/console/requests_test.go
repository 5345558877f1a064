package console

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
)

func paths(n int) (out []*model.Request) {
	for i := range n {
		out = append(out, &model.Request{Path: fmt.Sprintf("/n/%03d", i), Status: 200 + 300*(i%2), Decision: model.DecisionAllowed})
	}
	return out
}

// The log is read page by page, each request once, and filters stay on the way.
func TestRequestLog(t *testing.T) {
	r := newRig(t)
	r.furnish()
	r.log(paths(2*perPage + 10)...)
	b := r.browser(r.user("ann@example.org", "", "default", "member"))
	line, next := regexp.MustCompile(`GET wiki\.example\.org(/n/\d+)`), regexp.MustCompile(`href="([^"]*before=[^"]*)"`)
	var all []string
	pages := 0
	for at := "/console/orgs/default/requests?path=%2Fn%2F&status=5xx"; at != "" && pages < 5; pages++ {
		got := b.get(at)
		for _, m := range line.FindAllStringSubmatch(got.body, -1) {
			all = append(all, m[1])
		}
		at = ""
		if m := next.FindStringSubmatch(got.body); m != nil {
			at = strings.ReplaceAll(m[1], "&amp;", "&")
		}
	}
	if pages != 2 || len(all) != perPage+5 || all[0] != "/n/109" || all[len(all)-1] != "/n/001" {
		t.Errorf("%d pages with %d requests: %v", pages, len(all), all)
	}
	if got := b.get("/console/orgs/default/services/wiki"); !strings.Contains(got.body, `href="/console/orgs/default/requests?service=wiki"`) {
		t.Error("no way from a service to its requests")
	}
	if got := b.get("/console/orgs/default/requests?service=wiki&status=5xx"); !strings.Contains(got.body, `href="/api/v1/orgs/default/requests/export?format=csv&amp;service=wiki&amp;status=5xx"`) {
		t.Error("no export of what is shown")
	}
	for query, field := range map[string]string{"status=7xx": "status", "client=somewhere": "client", "since=yesterday": "since", "path=api": "path"} {
		for _, at := range []string{"requests", "requests/live"} {
			if got := b.get("/console/orgs/default/" + at + "?" + query); got.status != 422 || !strings.Contains(got.body, `id="w-`+field+`"`) {
				t.Errorf("%s?%s: %d %s", at, query, got.status, got.body)
			}
		}
	}
	for _, mark := range []string{"x", "2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z_x"} {
		if got := b.get("/console/orgs/default/requests?before=" + mark); got.status != 404 {
			t.Errorf("%s: %d", mark, got.status)
		}
	}
}

// Who watches sees requests of his filter as soon as they are over, for as long as he may.
func TestWatchRequests(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "member"))
	page := b.get("/console/orgs/default/requests/live?status=5xx")
	m := regexp.MustCompile(`hx-sse:connect="([^"]*)"`).FindStringSubmatch(page.body)
	if m == nil || m[1] != "/console/orgs/default/requests/tail?status=5xx" || !strings.Contains(page.body, "/api/list") {
		t.Fatalf("%v in %s", m, page.body)
	}
	messages, resp := b.stream(t.Context(), t, m[1])
	if resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	until(t, messages, "/api/list")
	r.log(&model.Request{Path: "/fine", Status: 200, Decision: model.DecisionAllowed}, &model.Request{Path: "/broken", Status: 500, Decision: model.DecisionAllowed, Error: "cut off"})
	for text := range messages {
		if strings.Contains(text, "/fine") {
			t.Errorf("what is filtered out is shown: %s", text)
		}
		if strings.Contains(text, "/broken") {
			if strings.Index(text, "/broken") > strings.Index(text, "/api/list") {
				t.Error("the newest is not the first")
			}
			break
		}
	}
	if _, err := r.admin.Members.Delete(t.Context(), r.key, "default", "ann@example.org"); err != nil {
		t.Fatal(err)
	}
	for range messages { // ends, as she may not see it any more
	}
	for token, status := range map[string]int{r.user("viewer@example.org", "", "default", "viewer"): 403, r.user("nobody@example.org", "", "", ""): 404, "": 401} {
		if got := r.browser(token).get(m[1]); got.status != status {
			t.Errorf("%d, want %d", got.status, status)
		}
	}
}

func TestWatched(t *testing.T) {
	var v watched
	for i := range mostWatched + 20 {
		r := admin.Request{ID: fmt.Sprint(i), At: time.Now()}
		v.add(admin.TailItem{Request: &r})
		v.add(admin.TailItem{Request: &r})
	}
	v.add(admin.TailItem{Dropped: 3})
	v.add(admin.TailItem{Gap: &admin.RequestGap{Requests: 4}})
	if len(v.items) != mostWatched || v.items[0].ID != fmt.Sprint(mostWatched+19) || v.items[mostWatched-1].ID != "20" || v.dropped != 3 || v.gaps != 4 {
		t.Errorf("%d, from %s, %d dropped, %d lacking", len(v.items), v.items[0].ID, v.dropped, v.gaps)
	}
}

package console

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"

	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/identity"
)

// stream is what a tab hears of its page: one text for each message.
func (b *browser) stream(ctx context.Context, t *testing.T, at string) (<-chan string, *http.Response) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, home+at, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan string)
	go func() {
		defer close(out)
		defer resp.Body.Close()
		text := ""
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			line := lines.Text()
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				text += data + "\n"
			}
			if line == "" && text != "" {
				select {
				case out <- text:
				case <-ctx.Done():
					return
				}
				text = ""
			}
		}
	}()
	return out, resp
}

// until waits for a message with a text.
func until(t *testing.T, messages <-chan string, text string) {
	t.Helper()
	for m := range messages {
		if strings.Contains(m, text) {
			return
		}
	}
	t.Fatalf("the stream ended without %q", text)
}

// A page that is looked at changes by itself: with the configuration, with what nodes and connectors say, and no longer
// than its reader may see it.
func TestStream(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "member"))
	messages, resp := b.stream(t.Context(), t, "/console/events?at=/console/orgs/default/sites/home")
	if resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	until(t, messages, ">up<")
	edge, pi := r.nodeID("edge-1"), r.connectorID("pi")
	r.report(presence.Entry{Key: presence.Key{Kind: identity.Connector, ID: pi}, Applied: 1, Tunnels: []presence.Tunnel{tunnelTo(edge, false)}})
	until(t, messages, "0 of 1")
	_, rev, err := r.admin.Targets.Create(t.Context(), r.key, "default", "late", admin.TargetSpec{Service: "mail", Site: "home", Address: "10.9.8.7", Port: 25})
	r.must(rev, err)
	until(t, messages, "10.9.8.7:25")
	if _, err := r.admin.Members.Delete(t.Context(), r.key, "default", "ann@example.org"); err != nil {
		t.Fatal(err)
	}
	for range messages { // ends, as he may not see it any more
	}
}

// Streams are of pages of the console, and there are no more than a replica bears.
func TestStreamLimits(t *testing.T) {
	r := newRig(t)
	b := r.browser(r.user("root@example.org", "cluster-admin", "", ""))
	for _, at := range []string{"", "/account", "https://example.com/console/", "//evil/console/", "/console/events?at=/console/events", "/console/../account", "/console/orgs/default/audit/export", "/console/orgs/default/requests/tail"} {
		if got := b.get("/console/events?at=" + url.QueryEscape(at)); got.status != 400 && got.body != "" {
			t.Errorf("%q: %d %q", at, got.status, got.body)
		}
	}
	taken := func() (n int) {
		for ; r.con.streams.take(fmt.Sprint(n / maxPerUser)); n++ {
		}
		return n
	}
	if n := taken(); n != maxStreams {
		t.Errorf("%d streams", n)
	}
	if got := b.get("/console/events?at=/console/orgs"); got.status != http.StatusServiceUnavailable {
		t.Errorf("one stream too many: %d", got.status)
	}
	for n := range maxStreams {
		r.con.streams.give(fmt.Sprint(n / maxPerUser))
	}
	if len(r.con.streams.user) != 0 || r.con.streams.all != 0 {
		t.Errorf("what was given back is still taken: %d, %v", r.con.streams.all, r.con.streams.user)
	}
	for n := range maxPerUser {
		if !r.con.streams.take("user:somebody") {
			t.Errorf("%d streams of a user", n)
		}
	}
	if r.con.streams.take("user:somebody") || !r.con.streams.take("user:another") {
		t.Error("one user's streams are not bounded, or bound others")
	}
}

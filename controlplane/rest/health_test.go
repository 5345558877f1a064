package rest

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/identity"
)

// shownHealth is what objects that are read show of what is true only now, at the end.
var shownHealth = regexp.MustCompile(`,"health":\{[^{}]*\}\}`)

// lasting is a body without that.
func lasting(body []byte) []byte { return shownHealth.ReplaceAll(body, []byte("}")) }

func TestHealthOfAService(t *testing.T) {
	w := newWorld(t)
	w.service()
	node, box, rev := w.enroll("n1", "box")
	link := func(peer string, up bool) []presence.Tunnel { return []presence.Tunnel{{Peer: peer, Up: up}} }
	report := func(up bool, attempts ...presence.Attempt) {
		since := time.Now()
		w.seen.Report(t.Context(), presence.Entry{Key: presence.Key{Kind: identity.Node, ID: node}, Since: since, Seen: since, Applied: rev, Tunnels: link(box, up), Attempts: attempts})
		w.seen.Report(t.Context(), presence.Entry{Key: presence.Key{Kind: identity.Connector, ID: box}, Since: since, Seen: since, Applied: rev, Tunnels: link(node, up)})
	}
	ask := func(key string) (r hops.Report, l inList) {
		t.Helper()
		w.as(key, "GET", org+"/services/wiki/health", "").into(t, &r)
		var all struct{ Items []inList }
		w.as(key, "GET", org+"/services", "").into(t, &all)
		return r, all.Items[0]
	}
	var target struct{ ID string }
	w.must(200, "GET", org+"/targets/wiki", "").into(t, &target)

	report(true)
	if r, l := ask(w.key); r.State != hops.Healthy || len(r.Hops) != 5 || l.Health.State != hops.Healthy {
		t.Errorf("all is well: %+v, in the list %+v", r, l)
	}
	report(true, presence.Attempt{Target: target.ID, Failures: 3, At: time.Now(), Reason: "connection refused"})
	r, l := ask(w.key)
	if r.State != hops.Down || r.Broken != hops.Target || l.Health.Hop != hops.Target || !strings.Contains(r.Reason, "node n1") || !strings.Contains(r.Reason, "connection refused") || r.Advice == "" {
		t.Errorf("requests fail: %+v, in the list %+v", r, l)
	}
	var member struct{ Secret string }
	w.must(201, "POST", "/api/v1/api-keys", `{"name":"member","organization":"default"}`).into(t, &member)
	// As a word: the id, which stands there instead of the name, may have these two letters in it.
	if r, _ := ask(member.Secret); r.Broken != hops.Target || regexp.MustCompile(`\bn1\b`).MatchString(r.Reason) || !strings.Contains(r.Reason, node) {
		t.Errorf("who may not see nodes reads %q", r.Reason)
	}
	report(false)
	if r, _ := ask(w.key); r.State != hops.Down || r.Broken != hops.Tunnel || r.Code != hops.TunnelDown {
		t.Errorf("no tunnel: %+v", r)
	}
	var site hops.Report
	w.must(200, "GET", org+"/sites/home/health", "").into(t, &site)
	if site.State != hops.Down || site.Broken != hops.Tunnel {
		t.Errorf("the site without a tunnel: %+v", site)
	}
	if s := w.as(w.orgKey("stranger"), "GET", org+"/services/wiki/health", "").status; s != 404 {
		t.Errorf("a stranger gets %d", s)
	}
}

type inList struct {
	Health struct {
		State hops.State
		Hop   hops.Name
	}
}

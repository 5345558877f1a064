package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/identity"
)

func TestEveryPage(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("root@example.org", "cluster-admin", "", ""))
	inline := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+=|javascript:`)
	for _, p := range everyPage {
		got := b.get(r.path(p.path))
		if got.status != 200 || !strings.Contains(got.body, p.shows) {
			t.Errorf("%s: %d without %q: %.2000s", p.path, got.status, p.shows, got.body)
		}
		if m := inline.FindString(got.body); m != "" {
			t.Errorf("%s: inline %q", p.path, m)
		}
		if csp := got.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", p.path, csp)
		}
		if strings.Count(got.body, "<h1>") != 1 {
			t.Errorf("%s: %d headings", p.path, strings.Count(got.body, "<h1>"))
		}
	}
}

// Who is signed in begins in the console, who is not is sent to sign in and comes back.
func TestWayIn(t *testing.T) {
	r := newRig(t)
	r.furnish()
	if got := r.browser(r.user("root@example.org", "cluster-admin", "", "")).get("/"); got.path != "/console/orgs/default/" {
		t.Errorf("an administrator begins at %s", got.path)
	}
	if got := r.browser(r.user("nobody@example.org", "", "", "")).get("/"); got.path != "/account" {
		t.Errorf("a user without an organization begins at %s", got.path)
	}
	if got := r.browser("").get("/console/cluster/nodes"); got.path != "/sign-in" || !strings.Contains(got.body, "/console/cluster/nodes") {
		t.Errorf("a stranger is at %s: %s", got.path, got.body)
	}
	if got := r.browser("").get("/console/events?at=/console/orgs/default/"); got.status != 401 {
		t.Errorf("a stranger hears %d", got.status)
	}
}

// What somebody may not do he is not shown, and can't do.
func TestPermissions(t *testing.T) {
	r := newRig(t)
	r.furnish()
	if _, _, err := r.admin.Organizations.Create(t.Context(), r.key, "", "acme", admin.OrganizationSpec{}); err != nil {
		t.Fatal(err)
	}
	viewer := r.browser(r.user("viewer@example.org", "", "default", "viewer"))
	for _, p := range []string{"/console/orgs/default/sites", "/console/orgs/default/sites/home", "/console/orgs/default/services", "/console/orgs/default/services/wiki"} {
		got := viewer.get(p)
		if got.status != 200 {
			t.Errorf("%s: %d", p, got.status)
		}
		for _, no := range []string{"/delete", "/edit", "/publish", "/connect", "add-target", "/revoke", "/console/cluster/"} {
			if strings.Contains(got.body, no) {
				t.Errorf("%s: a viewer is shown a way to %s", p, no)
			}
		}
	}
	other := r.browser(r.user("owner@example.org", "", "acme", "owner"))
	for _, p := range everyPage {
		switch got := other.get(r.path(p.path)); {
		case strings.HasPrefix(p.path, "/console/orgs/default/") && got.status != 404:
			t.Errorf("%s: %d for a member of another organization", p.path, got.status)
		case strings.HasPrefix(p.path, "/console/cluster/") && got.status != 403:
			t.Errorf("%s: %d for whom the cluster is not", p.path, got.status)
		}
	}
	root := r.browser(r.user("root@example.org", "cluster-admin", "", ""))
	for _, p := range everyForm {
		p := r.path(p)
		if got := viewer.post(p); got.status != 403 {
			t.Errorf("POST %s: %d for a viewer", p, got.status)
		}
		if got := other.post(p); got.status != 404 && got.status != 403 || strings.Contains(p, "/orgs/") && got.status != 404 {
			t.Errorf("POST %s: %d for a member of another organization", p, got.status)
		}
		root.extra["Sec-Fetch-Site"], root.extra["Origin"] = []string{"cross-site"}, []string{"https://evil.example"}
		if got := root.post(p); got.status != 403 {
			t.Errorf("POST %s: %d from another site", p, got.status)
		}
	}
	if r.world.Get().Revision() == 0 || strings.Contains(root.get("/console/orgs/default/sites").body, "Nothing") {
		t.Error("something is gone")
	}
}

// A form that is wrong is shown again, with what was typed, and what is wrong at the field.
func TestWrongInput(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "member"))
	for _, tc := range []struct {
		path   string
		typed  []string
		status int
		shows  []string
	}{
		{"/console/orgs/default/publish", []string{"name", "blog", "kind", "http", "hostname", "blog.example.com", "pool", "default"}, 422, []string{`value="blog.example.com"`, `id="w-hostname"`}},
		{"/console/orgs/default/publish", []string{"name", "wiki", "kind", "http", "hostname", "w2.example.org", "pool", "default"}, 409, []string{`value="w2.example.org"`}},
		{"/console/orgs/default/publish", []string{"name", "blog", "kind", "http", "hostname", "blog.example.org", "pool", "default", "site", "home", "address", "10.0.0.1", "port", "x"}, 422, []string{`id="w-port"`, `value="10.0.0.1"`}},
		{"/console/orgs/default/publish", []string{"name", "blog", "kind", "http", "hostname", "blog.example.org", "pool", "default", "site", "home", "address", "10.0.0.1", "port", "70000"}, 422, []string{`id="w-port"`}},
		{"/console/orgs/default/services/db/edit", []string{"kind", "tcp", "ports", "5432", "pool", "default", "allow", "198.51.100.7/24\n192.0.2.0/24"}, 422, []string{`id="w-allow"`, "198.51.100.7/24"}},
		{"/console/orgs/default/services/wiki/add-target", []string{"name", "second", "site", "home", "address", "10.0.0.2", "port", "80", "check", "http", "check_path", "no-slash"}, 422, []string{`id="w-check_path"`, `value="no-slash"`}},
		{"/console/orgs/default/services/wiki/targets/wiki/edit", []string{"site", "home", "address", "10.0.0.2", "port", "80", "weight", "5000"}, 422, []string{`id="w-weight"`, `value="5000"`}},
		{"/console/orgs/default/add-domain", []string{"name", "not a name", "pool", "default"}, 422, []string{`id="w-name"`, `value="not a name"`}},
		{"/console/orgs/default/add-domain", []string{"name", "sub.example.org", "pool", "nowhere"}, 422, []string{`id="w-pool"`, `value="sub.example.org"`}},
		{"/console/orgs/default/domains/example.org/edit", []string{"pool", "nowhere", "caa_account", "on"}, 422, []string{`id="w-pool"`, `checked`}},
		{"/console/orgs/default/connect", []string{"site", "No Name", "platform", "binary", "pool", "default"}, 422, []string{`id="w-site"`, `value="No Name"`}},
		{"/console/orgs/default/connect", []string{"site", "barn", "platform", "abacus", "pool", "default"}, 422, []string{`id="w-platform"`, `value="barn"`}},
		{"/console/orgs/default/connect/pi/publish", []string{"address", "10.0.0.9", "port", "80", "hostname", "x.example.com"}, 422, []string{`id="w-hostname"`, `value="10.0.0.9"`}},
	} {
		before := r.world.Get().Revision()
		got := b.post(tc.path, tc.typed...)
		if got.status != tc.status {
			t.Errorf("%s %v: %d, want %d: %s", tc.path, tc.typed, got.status, tc.status, got.body)
		}
		for _, s := range tc.shows {
			if !strings.Contains(got.body, s) {
				t.Errorf("%s %v: no %s", tc.path, tc.typed, s)
			}
		}
		if head, err := r.admin.Head(t.Context()); err != nil || head > before+2 { // a service that was taken back
			t.Errorf("%s: revision %d after %d, %v", tc.path, head, before, err)
		}
	}
	head, err := r.admin.Head(t.Context())
	r.must(head, err)
	if strings.Contains(b.get("/console/orgs/default/services").body, "blog") {
		t.Error("a service whose target is wrong was published")
	}
}

// From nothing to a published service: a network, its connector, a name.
func TestConnect(t *testing.T) {
	r := newRig(t)
	b := r.browser(r.user("root@example.org", "cluster-admin", "", ""))
	if got := b.get("/console/orgs/default/"); !strings.Contains(got.body, "From here to a working address") {
		t.Error("no checklist")
	}
	got := b.post("/console/orgs/default/connect", "site", "barn", "platform", "systemd", "pool", "default")
	if got.status != 200 || !regexp.MustCompile(`wjt1\.`).MatchString(got.body) || !strings.Contains(got.body, "control.example.com:8443") {
		t.Fatalf("%d: %s", got.status, got.body)
	}
	for _, p := range platforms {
		got := b.post("/console/orgs/default/connect", "site", "barn", "platform", p.ID, "pool", "default")
		if got.status != 200 || !strings.Contains(got.body, "barn-1") || !regexp.MustCompile(`wjt1\.`).MatchString(got.body) || !strings.Contains(got.body, p.Text) {
			t.Errorf("%s: %d: %s", p.ID, got.status, got.body)
		}
	}
	got = b.post("/console/orgs/default/connect", "site", "barn", "platform", "binary", "pool", "default")
	if got.status != 200 || !strings.Contains(got.body, "WARREN_CONNECTOR_NAME=barn-1 ") {
		t.Fatalf("a command asked for again is of another connector: %s", got.body)
	}
	r.catchUp()
	if got := b.get("/console/orgs/default/connect/barn-1"); !strings.Contains(got.body, "Waiting for barn-1") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	r.join("", "barn-1")
	r.catchUp()
	if got := b.get("/console/orgs/default/connect/barn-1"); strings.Contains(got.body, "Found beside") {
		t.Errorf("ports of nobody: %s", got.body)
	}
	r.report(presence.Entry{Key: presence.Key{Kind: identity.Connector, ID: r.connectorID("barn-1")}, Applied: 1, Listening: []uint16{22, 8080}, Tunnels: []presence.Tunnel{tunnelTo("somewhere", true)}})
	if got := b.get("/console/orgs/default/connect/barn-1"); !strings.Contains(got.body, `href="/console/orgs/default/connect/barn-1?port=8080"`) || strings.Contains(got.body, `value="127.0.0.1"`) {
		t.Errorf("ports that were found: %s", got.body)
	}
	if got := b.get("/console/orgs/default/connect/barn-1?port=8080"); !strings.Contains(got.body, `value="127.0.0.1"`) || !strings.Contains(got.body, `value="8080"`) {
		t.Errorf("a port that was chosen: %s", got.body)
	}
	if got := b.get("/console/orgs/default/connect/barn-1?port=81"); strings.Contains(got.body, `value="127.0.0.1"`) {
		t.Errorf("a port that was not found: %s", got.body)
	}
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the page is looked at when the world has it
	got = b.post("/console/orgs/default/connect/barn-1/publish", "address", "10.1.2.3", "port", "8080", "hostname", "barn.apps.example.org", "domain", "apps.example.org")
	at := got.header.Get("Location")
	if got.status != 303 || at != "/console/orgs/default/services/barn" {
		t.Fatalf("%d to %s: %s", got.status, at, got.body)
	}
	r.catchUp()
	if got := b.get(at); got.status != 200 || !strings.Contains(got.body, `href="https://barn.apps.example.org/"`) || !strings.Contains(got.body, "It is published.") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if got := b.get(at); strings.Contains(got.body, "It is published.") {
		t.Error("it is said again")
	}
}

// What is vendored is what was published, and no page loads more of it than it may.
func TestAssets(t *testing.T) {
	for name, sum := range map[string]string{
		"htmx.js":   "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
		"hx-sse.js": "18ef2761356ec1fe0bb6d92612315b37517a7c1e9856b661c5ae81fef239d103",
		"uplot.js":  "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
		"uplot.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
	} {
		b, err := assets.ReadFile("assets/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(b); hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s is not what was taken from the package: %x", name, got)
		}
	}
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("root@example.org", "cluster-admin", "", ""))
	script := regexp.MustCompile(`<script src="([^"]+)"`)
	size := map[string]int{}
	for _, p := range everyPage {
		total := 0
		for _, m := range script.FindAllStringSubmatch(b.get(r.path(p.path)).body, -1) {
			if size[m[1]] == 0 {
				got := b.get(m[1])
				if got.status != 200 || got.header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
					t.Fatalf("%s: %d %s", m[1], got.status, got.header)
				}
				size[m[1]] = zipped(t, got.body)
			}
			total += size[m[1]]
		}
		if total == 0 || total > 60_000 {
			t.Errorf("%s loads %d bytes of scripts", p.path, total)
		}
	}
	t.Log("scripts, zipped:", size)
}

func zipped(t *testing.T, text string) int {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Len()
}

// Whoever changes a part in a form leaves the rest as it was.
func TestFormsKeepTheRest(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "member"))
	check := &admin.HealthCheck{Kind: "http", Path: "/ready", BodyContains: "fine", Interval: "7s", Timeout: "3s"}
	_, _, rev, err := r.admin.Targets.Put(t.Context(), r.key, "default", "wiki", admin.TargetSpec{Service: "wiki", Site: "home", Address: "192.168.1.20", Port: 8080, PathPrefix: "/w", Weight: 7, HealthCheck: check})
	r.must(rev, err)
	before, err := r.admin.Targets.Get(t.Context(), r.key, "default", "wiki")
	if err != nil {
		t.Fatal(err)
	}
	if got := b.post("/console/orgs/default/services/wiki/targets/wiki/edit", "site", "home", "address", "192.168.1.21", "port", "8080", "path_prefix", "/w", "weight", "7", "check", "http", "check_path", "/ready", "check_interval", "7s"); got.status != 200 {
		t.Fatalf("%d: %s", got.status, got.body)
	}
	after, err := r.admin.Targets.Get(t.Context(), r.key, "default", "wiki")
	if err != nil || after.Address != "192.168.1.21" {
		t.Fatalf("%+v %v", after, err)
	}
	before.Address, before.OrgMeta, before.Health, after.Health = after.Address, after.OrgMeta, nil, nil
	if !reflect.DeepEqual(before, after) {
		t.Errorf("%+v became %+v", before, after)
	}
	page := &admin.Maintenance{Show: "unavailable", Title: "Soon"}
	_, _, rev, err = r.admin.Services.Put(t.Context(), r.key, "default", "wiki", admin.ServiceSpec{Kind: "http", Hostname: "wiki.example.org", Pool: "default", Maintenance: page})
	r.must(rev, err)
	if got := b.post("/console/orgs/default/services/wiki/edit", "kind", "http", "hostname", "wiki2.example.org", "pool", "default"); got.status != 200 {
		t.Fatalf("%d: %s", got.status, got.body)
	}
	if v, err := r.admin.Services.Get(t.Context(), r.key, "default", "wiki"); err != nil || v.Hostname != "wiki2.example.org" || v.Maintenance == nil || *v.Maintenance != *page {
		t.Errorf("%+v %v", v, err)
	}
	if got := b.get("/console/orgs/default/services/wiki/yaml"); !strings.Contains(got.body, "maintenance:") {
		t.Errorf("not all of it is in the YAML: %s", got.body)
	}
}

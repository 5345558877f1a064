package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
)

// everyPage is each page of a furnished cluster that can be looked at, with something that stands on it.
var everyPage = []struct{ path, shows string }{
	{"/console/orgs", "default"},
	{"/console/orgs/default/", "requests a second"},
	{"/console/orgs/default/?span=24h", "Happened last"},
	{"/console/orgs/default/find", "What are you looking for"},
	{"/console/orgs/default/find?q=wiki.ex", "/console/orgs/default/services/wiki"},
	{"/console/orgs/default/sites", "office"},
	{"/console/orgs/default/sites/home", "12 ms"},
	{"/console/orgs/default/sites/office", "No connector yet"},
	{"/console/orgs/default/sites/office/delete", "gone for good"},
	{"/console/orgs/default/sites/home/connectors/pi/revoke", "trusted no more"},
	{"/console/orgs/default/connect", "Show the command"},
	{"/console/orgs/default/connect/pi", "What shall be reached"},
	{"/console/orgs/default/services", "wiki.example.org"},
	{"/console/orgs/default/publish", "Hostname"},
	{"/console/orgs/default/services/wiki", "it answers 503"},
	{"/console/orgs/default/services/mail", "No target"},
	{"/console/orgs/default/services/db", "198.51.100.0/24"},
	{"/console/orgs/default/services/wiki/edit", "wiki.example.org"},
	{"/console/orgs/default/services/wiki/delete", "gone at once"},
	{"/console/orgs/default/services/db/yaml", "kind: Target"},
	{"/console/orgs/default/services/wiki/add-target", "wiki-2"},
	{"/console/orgs/default/services/wiki/targets/wiki/edit", "/ready"},
	{"/console/orgs/default/services/wiki/targets/wiki/delete", "Nothing is sent"},
	{"/console/orgs/default/topology", "192.168.1.20:8080"},
	{"/console/orgs/default/domains", "example.org"},
	{"/console/orgs/default/domains/example.org", "ns-edge-1.example.org"},
	{"/console/orgs/default/domains/example.org/delete", "no longer"},
	{"/console/orgs/default/add-domain", "Pool"},
	{"/console/orgs/default/certificates", "own authority"},
	{"/console/orgs/default/requests", "rule 2 of policy staff denies"},
	{"/console/orgs/default/requests?service=wiki&status=5xx&method=get&path=%2Fapi", "the target refused the connection"},
	{"/console/orgs/default/requests/live", "Requests, live"},
	{"/console/orgs/default/events", "wiki is slow"},
	{"/console/orgs/default/events?type=certificate.issued", "Nothing has happened"},
	{"/console/orgs/default/alerts", "wiki is slow"},
	{"/console/orgs/default/new-alert-rule?kind=service_down&object=wiki", "a service is down"},
	{"/console/orgs/default/alerts/slow", "the mail server is asleep"},
	{"/console/orgs/default/alerts/slow/edit", "ops@example.org"},
	{"/console/orgs/default/alerts/slow/delete", "Nobody is told"},
	{"/console/orgs/default/audit", "site.create"},
	{"/console/orgs/default/audit?who=nobody", "Nothing found"},
	{"/console/orgs/default/policies", "members who sign in"},
	{"/console/orgs/default/new-policy", "Ways in"},
	{"/console/orgs/default/policies/staff", "path /admin/**"},
	{"/console/orgs/default/policies/staff/edit", "/admin/**"},
	{"/console/orgs/default/policies/staff/yaml", "kind: Policy"},
	{"/console/orgs/default/policies/staff/delete", "open to everybody"},
	{"/console/orgs/default/policies/staff/new-link", "How often"},
	{"/console/orgs/default/policies/staff/new-token", "Of the program"},
	{"/console/orgs/default/test?url=https%3A%2F%2Fwiki.example.org%2Fadmin%2Fx", ", rule 1"},
	{"/console/orgs/default/members", "Members"},
	{"/console/orgs/default/invitations", "bea@example.org"},
	{"/console/orgs/default/invite", "Who has its link joins"},
	{"/console/orgs/default/groups", "night-shift"},
	{"/console/orgs/default/groups/night-shift/edit", "one on each line"},
	{"/console/orgs/default/groups/night-shift/delete", "gone for good"},
	{"/console/orgs/default/new-group", "Mail addresses"},
	{"/console/orgs/default/roles", "built in"},
	{"/console/orgs/default/roles/reader/edit", "sites:read"},
	{"/console/orgs/default/new-role", "services:write"},
	{"/console/orgs/default/service-accounts", "deployer"},
	{"/console/orgs/default/service-accounts/deployer", "laptop"},
	{"/console/orgs/default/service-accounts/deployer/edit", "One at least"},
	{"/console/orgs/default/service-accounts/deployer/new-key", "Make the key"},
	{"/console/orgs/default/new-service-account", "Of the program"},
	{"/console/orgs/default/identity-providers", "https://id.example.org"},
	{"/console/orgs/default/identity-providers/corp/edit", "groups = ops: admin"},
	{"/console/orgs/default/new-identity-provider", "Issuer"},
	{"/console/orgs/default/settings", "A second factor is required"},
	{"/console/orgs/default/webhooks", "alert.firing"},
	{"/console/orgs/default/webhooks/pager", "https://hooks.example.org/warren"},
	{"/console/orgs/default/webhooks/pager/edit", "https://hooks.example.org/warren"},
	{"/console/orgs/default/webhooks/pager/delete", "forgotten"},
	{"/console/orgs/default/new-webhook", "Hears of"},
	{"/console/cluster/webhooks", "No webhook yet"},
	{"/console/cluster/users", "root@example.org"},
	{"/console/cluster/users/root@example.org/edit", "cluster-admin"},
	{"/console/cluster/users/root@example.org/delete", "Memberships"},
	{"/console/cluster/audit", "node.create"},
	{"/console/cluster/audit/verify", "Nobody has changed it"},
	{"/console/cluster/alerts", "No rule yet"},
	{"/console/cluster/new-alert-rule", "a node is down"},
	{"/console/cluster/diagnostics", "it answers 503"},
	{"/console/cluster/nodes", "edge-2"},
	{"/console/cluster/nodes/edge-1", "2001:db8::1"},
	{"/console/cluster/nodes/edge-1/drain", "stops naming"},
	{"/console/cluster/nodes/edge-1/snapshot", "Acknowledged"},
}

func TestEveryPage(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("root@example.org", "cluster-admin", "", ""))
	inline := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+=|javascript:`)
	for _, p := range everyPage {
		got := b.get(p.path)
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
		switch got := other.get(p.path); {
		case strings.HasPrefix(p.path, "/console/orgs/default/") && got.status != 404:
			t.Errorf("%s: %d for a member of another organization", p.path, got.status)
		case strings.HasPrefix(p.path, "/console/cluster/") && got.status != 403:
			t.Errorf("%s: %d for whom the cluster is not", p.path, got.status)
		}
	}
	root := r.browser(r.user("root@example.org", "cluster-admin", "", ""))
	for _, p := range everyForm {
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

// everyForm is each form of a furnished cluster.
var everyForm = []string{
	"/console/orgs/default/sites/office/delete", "/console/orgs/default/sites/home/connectors/pi/revoke", "/console/orgs/default/connect",
	"/console/orgs/default/connect/pi/publish", "/console/orgs/default/publish", "/console/orgs/default/services/wiki/edit", "/console/orgs/default/services/wiki/delete",
	"/console/orgs/default/services/wiki/add-target", "/console/orgs/default/services/wiki/targets/wiki/edit", "/console/orgs/default/services/wiki/targets/wiki/delete",
	"/console/orgs/default/add-domain", "/console/orgs/default/domains/example.org/delete", "/console/orgs/default/certificates/wiki.example.org/renew",
	"/console/orgs/default/new-alert-rule", "/console/orgs/default/alerts/slow/edit", "/console/orgs/default/alerts/slow/silence", "/console/orgs/default/alerts/slow/delete",
	"/console/orgs/default/new-policy", "/console/orgs/default/policies/staff/edit", "/console/orgs/default/policies/staff/delete", "/console/orgs/default/policies/staff/new-link",
	"/console/orgs/default/policies/staff/new-token", "/console/orgs/default/policies/staff/links/x/revoke", "/console/orgs/default/policies/staff/tokens/x/revoke",
	"/console/orgs/default/members/ann@example.org/edit", "/console/orgs/default/members/ann@example.org/delete", "/console/orgs/default/invite", "/console/orgs/default/invitations/x/delete",
	"/console/orgs/default/new-group", "/console/orgs/default/groups/night-shift/edit", "/console/orgs/default/groups/night-shift/delete",
	"/console/orgs/default/new-role", "/console/orgs/default/roles/reader/edit", "/console/orgs/default/roles/reader/delete",
	"/console/orgs/default/new-service-account", "/console/orgs/default/service-accounts/deployer/edit", "/console/orgs/default/service-accounts/deployer/delete",
	"/console/orgs/default/service-accounts/deployer/new-key", "/console/orgs/default/keys/laptop/delete",
	"/console/orgs/default/new-identity-provider", "/console/orgs/default/identity-providers/corp/edit", "/console/orgs/default/identity-providers/corp/delete",
	"/console/orgs/default/settings/security", "/console/orgs/default/settings/request-log", "/console/orgs/default/new-webhook", "/console/orgs/default/webhooks/pager/edit",
	"/console/orgs/default/webhooks/pager/test", "/console/orgs/default/webhooks/pager/rotate", "/console/orgs/default/webhooks/pager/delete",
	"/console/orgs/default/settings/branding", "/console/cluster/users/root@example.org/edit", "/console/cluster/users/root@example.org/sign-out", "/console/cluster/users/root@example.org/delete",
	"/console/cluster/new-webhook", "/console/cluster/new-alert-rule",
	"/console/cluster/nodes/edge-1/drain", "/console/cluster/nodes/edge-1/activate",
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
	got = b.post("/console/orgs/default/connect", "site", "barn", "platform", "binary", "pool", "default")
	if got.status != 200 || !strings.Contains(got.body, "WARREN_CONNECTOR_NAME=barn-1 ") {
		t.Fatalf("a command asked for again is of another connector: %s", got.body)
	}
	if got := b.get("/console/orgs/default/connect/barn-1"); !strings.Contains(got.body, "Waiting for barn-1") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	r.join("", "barn-1")
	got = b.post("/console/orgs/default/connect/barn-1/publish", "address", "10.1.2.3", "port", "8080", "hostname", "barn.apps.example.org", "domain", "apps.example.org")
	if got.status != 200 || got.path != "/console/orgs/default/services/barn" || !strings.Contains(got.body, `href="https://barn.apps.example.org/"`) || !strings.Contains(got.body, "It is published.") {
		t.Errorf("%d %s: %s", got.status, got.path, got.body)
	}
	if got := b.get("/console/orgs/default/services/barn"); strings.Contains(got.body, "It is published.") {
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
		for _, m := range script.FindAllStringSubmatch(b.get(p.path).body, -1) {
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

package console

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
)

// Roles and identity providers of the whole cluster are made, changed and deleted by forms alone.
func TestClusterPeople(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("root@example.org", "cluster-admin", "", ""))
	const at = "/console/cluster/"
	if got := b.post(at+"new-role", "name", "porter", "permissions", "nodes:drain"); got.status != 200 || got.path != at+"roles" || !strings.Contains(got.body, "porter") {
		t.Errorf("%d %s: %s", got.status, got.path, got.body)
	}
	if v, err := r.admin.ClusterRoles.Get(t.Context(), r.key, "", "porter"); err != nil || len(v.Permissions) != 1 {
		t.Errorf("%+v %v", v, err)
	}
	if got := b.post(at + "roles/porter/delete"); got.status != 200 || strings.Contains(got.body, `href="/console/cluster/roles/porter/edit"`) {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if got := b.post(at+"new-identity-provider", "name", "else", "issuer", "http://plain.example.org", "client_id", "x"); got.status != 422 || !strings.Contains(got.body, `id="w-issuer"`) {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if got := b.post(at+"identity-providers/world/edit", "issuer", "https://world.example.org", "client_id", "warren", "rules", "groups = acme: admin in default\nteam = x: desk elsewhere"); got.status != 422 || !strings.Contains(got.body, `id="w-rules"`) {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if got := b.post(at+"identity-providers/world/edit", "issuer", "https://world.example.org", "client_id", "warren", "rules", "groups = acme: admin in default"); got.status != 200 {
		t.Errorf("%d: %s", got.status, got.body)
	}
	want := admin.ClaimRule{Claim: "groups", Value: "acme", Role: "admin", Organization: "default"}
	if v, err := r.admin.ClusterIdentityProviders.Get(t.Context(), r.key, "", "world"); err != nil || len(v.Rules) != 1 || v.Rules[0] != want {
		t.Errorf("%+v %v", v, err)
	}
	if got := b.post(at + "identity-providers/world/delete"); got.status != 200 || !strings.Contains(got.body, "None yet") {
		t.Errorf("%d: %s", got.status, got.body)
	}
}

// An organization is made, given its part of each node, and deleted by forms alone; one that has something stays.
func TestOrganizations(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("root@example.org", "cluster-admin", "", ""))
	const at = "/console/cluster/"
	for _, tc := range []struct{ most, wrong string }{{"many", "is no number"}, {"-1", "want 0"}, {"1000001", "to 1000000"}} {
		if got := b.post(at+"new-organization", "name", "acme", "requests_per_second", tc.most); got.status != 422 || !strings.Contains(got.body, `id="w-requests_per_second"`) || !strings.Contains(got.body, tc.wrong) || !strings.Contains(got.body, `value="`+tc.most+`"`) {
			t.Errorf("%s: %d: %s", tc.most, got.status, got.body)
		}
	}
	if got := b.post(at+"new-organization", "name", "acme", "requests_per_second", "500"); got.status != 200 || got.path != at+"organizations" || !strings.Contains(got.body, ">500<") {
		t.Errorf("%d %s: %s", got.status, got.path, got.body)
	}
	if got := b.post(at+"new-organization", "name", "acme", "requests_per_second", "0"); got.status != 409 {
		t.Errorf("a second one of the name: %d", got.status)
	}
	if got := b.post(at+"organizations/acme/edit", "requests_per_second", "750", "trusted", "on"); got.status != 200 {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if v, err := r.admin.Organizations.Get(t.Context(), r.key, "", "acme"); err != nil || v.RequestsPerSecond != 750 || !v.Trusted {
		t.Errorf("%+v %v", v, err)
	}
	if got := b.get("/console/orgs/acme/settings"); !strings.Contains(got.body, "750") {
		t.Errorf("its own settings do not say so: %s", got.body)
	}
	if got := b.post(at + "organizations/acme/delete"); got.status != 200 || strings.Contains(got.body, "organizations/acme/") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if got := b.post(at + "organizations/default/delete"); got.status != 409 {
		t.Errorf("one that has services: %d", got.status)
	}
}

// Join tokens are listed with who made them, never themselves, and revoked by a form; whose organization it is not sees none of them.
func TestJoinTokens(t *testing.T) {
	r := newRig(t)
	r.furnish()
	root, ann := r.browser(r.user("root@example.org", "cluster-admin", "", "")), r.browser(r.user("ann@example.org", "", "default", "member"))
	got := root.get("/console/cluster/join-tokens")
	if !strings.Contains(got.body, "edge-2") || !strings.Contains(got.body, "connector of home, default") || strings.Contains(got.body, "wjt1.") {
		t.Errorf("%s", got.body)
	}
	if got := ann.get("/console/orgs/default/join-tokens"); strings.Contains(got.body, "edge-2") || !strings.Contains(got.body, "connector of home") {
		t.Errorf("%s", got.body)
	}
	if got := ann.post(r.path("/console/orgs/default/join-tokens/{node-token}/revoke")); got.status != 404 {
		t.Errorf("a node's, by an organization: %d", got.status)
	}
	if got := ann.post("/console/orgs/default/connect", "site", "home", "platform", "binary", "pool", "default"); got.status != 200 {
		t.Fatalf("%d: %s", got.status, got.body)
	}
	if got := ann.get("/console/orgs/default/join-tokens"); !strings.Contains(got.body, "ann@example.org") || !strings.Contains(got.body, "home-1") {
		t.Errorf("%s", got.body)
	}
	at := r.path("/console/orgs/default/join-tokens/{connector-token}/revoke")
	if got := ann.post(at); got.status != 200 || got.path != "/console/orgs/default/join-tokens" || !strings.Contains(got.body, "The token for pi is revoked") || strings.Contains(got.body, r.made["connector-token"]) {
		t.Errorf("%d %s: %s", got.status, got.path, got.body)
	}
	if got := ann.get(at); got.status != 404 {
		t.Errorf("once more: %d", got.status)
	}
	if got := ann.get("/console/orgs/default/audit"); got.status == 200 {
		t.Error("a member reads the audit log")
	}
	if got := root.get("/console/orgs/default/audit"); !strings.Contains(got.body, "join-token.delete") {
		t.Errorf("not in the audit log: %s", got.body)
	}
}

// A visit ends when somebody ends it.
func TestVisitors(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "member"))
	if got := b.post(r.path("/console/orgs/default/visitors/{visitor}/delete")); got.status != 200 || !strings.Contains(got.body, "No visitor") {
		t.Errorf("%d: %s", got.status, got.body)
	}
}

// A job is cancelled and done again from its page.
func TestJobs(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("root@example.org", "cluster-admin", "", ""))
	at := r.path("/console/cluster/jobs/{job}")
	if got := b.post(at + "/cancel"); got.status != 200 || !strings.Contains(got.body, `title="cancelled"`) {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if got := b.post(at + "/cancel"); got.status != 409 || !strings.Contains(got.body, "is over") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if got := b.post(at + "/retry"); got.status != 200 || !strings.Contains(got.body, `title="available"`) {
		t.Errorf("%d: %s", got.status, got.body)
	}
	for _, query := range []string{"?state=lazy", "?before=x"} {
		if got := b.get("/console/cluster/jobs" + query); got.status != 404 {
			t.Errorf("%s: %d", query, got.status)
		}
	}
	if got := b.get("/console/cluster/jobs?kind=deliver"); strings.Contains(got.body, "alert_mail</span>") {
		t.Error("a job of another kind")
	}
}

// Events are to be had as a table and as lines of JSON, those that the page shows, by whoever may see them.
func TestExportEvents(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "member"))
	const at = "/console/orgs/default/events/export"
	if got := b.get("/console/orgs/default/events?type=alert.firing"); !strings.Contains(got.body, `href="`+at+`?format=csv&amp;type=alert.firing"`) {
		t.Errorf("no link: %s", got.body)
	}
	got := b.get(at + "?format=csv&type=alert.firing")
	rows, err := csv.NewReader(strings.NewReader(got.body)).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][2] != "alert.firing" || rows[1][5] != "wiki" || rows[1][6] != "wiki is slow" {
		t.Errorf("%v %v", rows, err)
	}
	if kind := got.header.Get("Content-Disposition"); kind != `attachment; filename="events.csv"` {
		t.Error(kind)
	}
	var e admin.Event
	if err := json.Unmarshal([]byte(b.get(at+"?format=ndjson").body), &e); err != nil || e.Type != "alert.firing" {
		t.Errorf("%+v %v", e, err)
	}
	if got := b.get(at + "?format=csv&type=certificate.issued"); strings.Count(got.body, "\n") != 1 {
		t.Errorf("%s", got.body)
	}
	if got := b.get(at + "?format=xml"); got.status != 404 {
		t.Errorf("%d", got.status)
	}
	if got := r.browser(r.user("none@example.org", "", "", "")).get(at + "?format=csv"); got.status != 404 {
		t.Errorf("a stranger: %d", got.status)
	}
}

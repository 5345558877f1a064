package console

import (
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/admin"
)

// A rule is made, changed, silenced and deleted, each by a form.
func TestAlertRule(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "admin"))
	get := func() (admin.AlertRule, error) {
		return r.admin.AlertRules.Get(t.Context(), r.key, "default", "down")
	}
	if got := b.post("/console/orgs/default/new-alert-rule", "name", "down", "kind", "service_down", "object", "nothing", "for", "1m", "enabled", "on"); got.status != 422 || !strings.Contains(got.body, `id="w-object"`) {
		t.Errorf("a rule about nothing: %d %s", got.status, got.body)
	}
	if got := b.post("/console/orgs/default/new-alert-rule", "name", "slow", "kind", "error_rate", "percent", "many", "enabled", "on"); got.status != 422 || !strings.Contains(got.body, `id="w-percent"`) {
		t.Errorf("no number: %d %s", got.status, got.body)
	}
	got := b.post("/console/orgs/default/new-alert-rule", "name", "down", "kind", "service_down", "object", "wiki", "for", "2m", "mail", "a@example.org\nb@example.org", "enabled", "on")
	if v, err := get(); err != nil || got.status != 200 || v.Object != "wiki" || v.For != "2m0s" || len(v.Mail) != 2 || !v.Enabled {
		t.Fatalf("%d %+v %v", got.status, v, err)
	}
	if got := b.get("/console/orgs/default/alerts/down/edit"); !strings.Contains(got.body, "b@example.org") || !strings.Contains(got.body, `value="2m"`) {
		t.Error(got.body)
	}
	b.post("/console/orgs/default/alerts/down/edit", "kind", "service_down", "object", "", "for", "0s", "mail", "a@example.org")
	if v, err := get(); err != nil || v.Object != "" || v.For != "0s" || len(v.Mail) != 1 || v.Enabled {
		t.Errorf("%+v %v", v, err)
	}
	if got := b.post("/console/orgs/default/alerts/down/silence", "for", "8h"); got.status != 200 || !strings.Contains(got.body, "Nobody is told by down until") || !strings.Contains(got.body, "Tell again") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if v, err := get(); err != nil || v.SilencedUntil == nil || time.Until(*v.SilencedUntil) < 7*time.Hour {
		t.Errorf("%+v %v", v, err)
	}
	if got := b.post("/console/orgs/default/alerts/down/silence", "for", "0s"); !strings.Contains(got.body, "tells people again") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.post("/console/orgs/default/alerts/down/delete"); got.status != 200 || got.path != "/console/orgs/default/alerts" {
		t.Errorf("%d %s", got.status, got.path)
	}
	if got := b.get("/console/orgs/default/alerts/down/delete"); got.status != 404 {
		t.Errorf("asks to delete what is gone: %d", got.status)
	}
}

// Whoever takes care of an alert says so by a button, and takes it back by another; who may only look sees who it is.
func TestAcknowledge(t *testing.T) {
	r := newRig(t)
	r.furnish()
	ann, eve := r.browser(r.user("ann@example.org", "", "default", "admin")), r.browser(r.user("eve@example.org", "", "default", "viewer"))
	list, err := r.admin.Alerts(t.Context(), r.key, "default")
	if err != nil || len(list) != 1 {
		t.Fatalf("%v %v", list, err)
	}
	const at = "/console/orgs/default/alerts/slow/acknowledge"
	if got := eve.get("/console/orgs/default/alerts"); strings.Contains(got.body, "Acknowledge") {
		t.Error("a viewer is shown the button")
	}
	if got := ann.post(at); got.status != 422 {
		t.Errorf("of no alert: %d", got.status)
	}
	if got := ann.post(at, "object", "service_01h455vb4pex5vsknk084sn02q"); got.status != 404 {
		t.Errorf("of one that is not there: %d", got.status)
	}
	for range 2 { // who was first stays
		if got := ann.post(at, "object", list[0].Object); got.status != 200 || got.path != "/console/orgs/default/alerts" || !strings.Contains(got.body, "You take care of wiki") {
			t.Errorf("%d %s %s", got.status, got.path, got.body)
		}
	}
	if got := eve.get("/console/orgs/default/alerts"); !strings.Contains(got.body, "ann@example.org") || strings.Contains(got.body, "Take back") {
		t.Errorf("%s", got.body)
	}
	if got := ann.post(at, "object", list[0].Object, "back", "on"); !strings.Contains(got.body, "Nobody takes care of wiki") || !strings.Contains(got.body, ">Acknowledge<") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// The log of an organization is read back page by page, and exported; the whole chain is the cluster's.
func TestAuditPages(t *testing.T) {
	r := newRig(t)
	r.furnish()
	ann := r.browser(r.user("ann@example.org", "", "default", "admin"))
	if got := ann.get("/console/orgs/default/audit?action=service&object=wiki"); !strings.Contains(got.body, "service.create") || strings.Contains(got.body, "target.create") {
		t.Errorf("%d %s", got.status, got.body)
	}
	for query, field := range map[string]string{"since=yesterday": "since", "result=perhaps": "result", "since=1h&until=2h": "until"} {
		if got := ann.get("/console/orgs/default/audit?" + query); got.status != 422 || !strings.Contains(got.body, `id="w-`+field+`"`) {
			t.Errorf("%s: %d %s", query, got.status, got.body)
		}
	}
	if got := ann.get("/console/orgs/default/audit?before=x"); got.status != 404 {
		t.Errorf("%d", got.status)
	}
	got := ann.get("/console/orgs/default/audit/export")
	lines := strings.Split(strings.TrimSpace(got.body), "\n")
	if got.header.Get("Content-Type") != "application/x-ndjson" || len(lines) < 10 || !strings.HasPrefix(lines[0], `{"entry":{"seq":`) || strings.Contains(got.body, "node.create") {
		t.Errorf("%v: %s", got.header, got.body)
	}
	for _, at := range []string{"audit", "audit/verify", "audit/export", "alerts"} {
		if got := ann.get("/console/cluster/" + at); got.status != 403 {
			t.Errorf("%s: %d for an administrator of an organization", at, got.status)
		}
	}
	if got := ann.get("/console/orgs/default/audit"); strings.Contains(got.body, "/console/cluster/") {
		t.Error("he is shown a way to the cluster")
	}
	if got := r.browser(r.user("viewer@example.org", "", "default", "viewer")).get("/console/orgs/default/audit/export"); got.status != 403 {
		t.Errorf("a viewer exports: %d", got.status)
	}
}

package console

import (
	"strings"
	"testing"
)

func TestFit(t *testing.T) {
	for _, tt := range []struct {
		typed, text, detail string
		want                int
	}{
		{"wi", "wiki", "", 0}, {"ki", "wiki", "", 2}, {"log", "Audit log", "", 1}, {"ops", "team-ops", "", 1}, {"example", "wiki", "wiki.example.org", 3}, {"x", "wiki", "", -1},
		{"wiki", "WIKI", "", 0},
	} {
		if got := fit(tt.typed, tt.text, tt.detail); got != tt.want {
			t.Errorf("%q in %q: %d, want %d", tt.typed, tt.text, got, tt.want)
		}
	}
}

// The palette leads to what somebody may see and do, and to nothing else.
func TestPalette(t *testing.T) {
	r := newRig(t)
	r.furnish()
	root, viewer := r.browser(r.user("root@example.org", "cluster-admin", "", "")), r.browser(r.user("viewer@example.org", "", "default", "viewer"))
	for _, tt := range []struct {
		typed, to string
		viewer    bool // finds it too
	}{
		{"wiki", "/console/orgs/default/services/wiki", true}, {"example.org", "/console/orgs/default/domains/example.org", true}, {"HOM", "/console/orgs/default/sites/home", true},
		{"edge", "/console/cluster/nodes/edge-1", false}, {"publish", "/console/orgs/default/publish", false}, {"audit", "/console/orgs/default/audit", false},
		{"staff", "/console/orgs/default/policies/staff", true},
	} {
		for name, b := range map[string]*browser{"root": root, "viewer": viewer} {
			got := b.get("/console/orgs/default/find/list?q=" + tt.typed)
			if found := strings.Contains(got.body, `href="`+tt.to+`"`); got.status != 200 || found != (name == "root" || tt.viewer) {
				t.Errorf("%s types %q: %d %s", name, tt.typed, got.status, got.body)
			}
		}
	}
	if got := root.get("/console/orgs/default/find/list?q=%3Cscript%3E"); strings.Contains(got.body, "<script") || !strings.Contains(got.body, "Nothing found") {
		t.Errorf("%s", got.body)
	}
	if got := viewer.get("/console/orgs/nowhere/find/list?q=a"); got.status != 404 {
		t.Errorf("of no organization: %d", got.status)
	}
}

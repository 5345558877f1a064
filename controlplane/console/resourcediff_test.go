package console

import (
	"net/url"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/shared/resource"
)

// A snapshot says what has changed in a resource, what a node has yet to apply, and why the node has it at all; secrets
// are told apart and not shown.
func TestResource(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("root@example.org", "cluster-admin", "", ""))
	at := func(kind, name string) string {
		return "/console/cluster/nodes/edge-1/resource?type=" + kind + "&name=" + url.QueryEscape(name)
	}
	list := b.get("/console/cluster/nodes/edge-1/snapshot?q=route+wiki")
	if strings.Count(list.body, "service wiki") != 1 || strings.Contains(list.body, "service mail") {
		t.Errorf("searched by what a resource is made of: %s", list.body)
	}
	s := r.service("wiki")
	route := resource.Name("guarded-route", s.Org.String(), s.ID.String())
	got := b.get(at("Route", route))
	for _, want := range []string{"wiki2.example.org", "<del>-", "<ins>+", "because it is in the pool default", `href="/console/orgs/default/services/wiki"`, "It is not connected"} {
		if !strings.Contains(got.body, want) {
			t.Errorf("no %q: %s", want, got.body)
		}
	}
	pin := &admin.PolicyAuth{PIN: &admin.PolicyPIN{Code: "271828"}}
	_, _, rev, err := r.admin.Policies.Put(t.Context(), r.key, "default", "staff", admin.PolicySpec{Otherwise: "authenticate", Auth: pin})
	r.must(rev, err)
	got = b.get(at("Policy", resource.Name("policy", s.Org.String(), s.Policy.String())))
	if got.status != 200 || strings.Contains(got.body, "argon2") || !strings.Contains(got.body, "pin: ") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	for path, status := range map[string]int{at("Route", "route/none"): 404, at("Zone", route): 404, "/console/orgs/default/sites/office/connectors/pi/snapshot": 404} {
		if got := b.get(path); got.status != status {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	if got := r.browser(r.user("owner@example.org", "", "default", "owner")).get("/console/orgs/default/sites/home/connectors/pi/snapshot"); got.status != 403 {
		t.Errorf("an owner of an organization sees %d", got.status)
	}
}

// What somebody has applied is compared with what is wanted, if that is known.
func TestCompare(t *testing.T) {
	r := newRig(t)
	r.furnish()
	s := r.service("wiki")
	name := resource.Name("guarded-route", s.Org.String(), s.ID.String())
	former := r.push.Former(resource.Route, name)
	if len(former) < 2 {
		t.Fatalf("%d contents before", len(former))
	}
	wanted := push.State{Version: "now", Revision: 90}
	is := func(version string, status push.Status) *held {
		v := &held{now: "hostname: wiki9.example.org\n", Resource: Resource{ResourceView: push.ResourceView{
			TypeURL: resource.Route, Name: name, Desired: wanted, Applied: push.State{Version: version, Revision: 80}, Status: status,
		}}}
		if err := v.compare(former); err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := is("now", push.StatusSynced); v.behind != nil || v.unknown != "" || len(v.changes) != len(former) {
		t.Errorf("%+v", v)
	}
	v := is(former[0].Version, push.StatusPending)
	if v.behind == nil || len(v.behind.Lines) == 0 {
		t.Fatalf("%+v", v)
	}
	added, gone := "", ""
	for _, l := range v.behind.Lines {
		switch l.Kind {
		case "add":
			added += l.Text
		case "del":
			gone += l.Text
		}
	}
	if !strings.Contains(added, "wiki9.example.org") || strings.Contains(gone, "wiki9") || !strings.Contains(gone, "hostname") {
		t.Errorf("added %q, gone %q", added, gone)
	}
	for status, text := range map[push.Status]string{push.StatusRejected: "only itself knows", push.StatusOffline: "not connected", push.StatusPending: "nothing of it yet"} {
		if v := is("", status); !strings.Contains(v.unknown, text) {
			t.Errorf("%s: %q", status, v.unknown)
		}
	}
	if v := is("forgotten", push.StatusPending); !strings.Contains(v.unknown, "too long ago") {
		t.Errorf("%q", v.unknown)
	}
}

package console

import (
	"reflect"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
)

// How requests are delivered is written, shown and taken back by the forms of a service and its target.
func TestDeliveryForms(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "member"))
	const at = "/console/orgs/default/services/wiki"
	service := []string{"kind", "http", "hostname", "wiki.example.org", "pool", "default", "policy", "staff"}
	got := b.post(at+"/edit", append(service, "delivery.host", "", "delivery.request.set", "X-Env production")...)
	if got.status != 422 || !strings.Contains(got.body, `id="w-delivery.request.set"`) || !strings.Contains(got.body, `href="#f-delivery.request.set"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	got = b.post(at+"/edit", append(service, "delivery.host", "intern.example.org", "delivery.request.set", "X-Env: production\nX-B: a: b", "delivery.request.remove", "X-Gone",
		"delivery.response.remove", "X-Powered-By", "maintenance.show", "always", "maintenance.title", "Back at noon", "maintenance.message", "Soon.\nReally.")...)
	if got.status != 200 || !strings.Contains(got.body, "X-Env: production") || !strings.Contains(got.body, "shown to everybody") {
		t.Fatalf("%d %s", got.status, got.body)
	}
	v, err := r.admin.Services.Get(t.Context(), r.key, "default", "wiki")
	want := &admin.Delivery{
		Host: "intern.example.org", Request: admin.HeaderFields{Remove: []string{"X-Gone"}, Set: []admin.HeaderField{{Name: "X-B", Value: "a: b"}, {Name: "X-Env", Value: "production"}}},
		Response: admin.HeaderFields{Remove: []string{"X-Powered-By"}},
	}
	if err != nil || !reflect.DeepEqual(v.Delivery, want) || v.Maintenance == nil || *v.Maintenance != (admin.Maintenance{Show: "always", Title: "Back at noon", Message: "Soon.\nReally."}) {
		t.Errorf("%+v %+v %v", v.Delivery, v.Maintenance, err)
	}
	if got := b.get(at + "/edit"); !strings.Contains(got.body, "X-B: a: b") || !strings.Contains(got.body, "Back at noon") {
		t.Error(got.body)
	}
	b.post(at+"/edit", append(service, "delivery.host", "", "maintenance.show", "")...)
	if v, err := r.admin.Services.Get(t.Context(), r.key, "default", "wiki"); err != nil || v.Delivery != nil || v.Maintenance != nil || v.Policy != "staff" {
		t.Errorf("%+v %v", v, err)
	}
	target := []string{"site", "home", "address", "192.168.1.20", "port", "8443", "path_prefix", "/w", "weight", "100"}
	if got := b.post(at+"/targets/wiki/edit", append(target, "scheme", "https", "server_name", "not a name")...); got.status != 422 || !strings.Contains(got.body, `id="w-server_name"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.post(at+"/targets/wiki/edit", append(target, "scheme", "https", "server_name", "intern.example.org", "strip_prefix", "on")...); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if v, err := r.admin.Targets.Get(t.Context(), r.key, "default", "wiki"); err != nil || v.Scheme != "https" || v.ServerName != "intern.example.org" || !v.StripPrefix {
		t.Errorf("%+v %v", v, err)
	}
}

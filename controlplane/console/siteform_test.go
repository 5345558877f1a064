package console

import (
	"strings"
	"testing"
)

// Whoever changes a site says what labels of containers may publish there, and sees what they do.
func TestSiteForm(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "member"))
	const at = "/console/orgs/default/sites/"
	got := b.get(at + "home")
	for _, want := range []string{"*.example.org, port 6000-6010", `href="/console/orgs/default/services/wiki"`, "connector pi: container paperless-1: service paperless: hostname"} {
		if !strings.Contains(got.body, want) {
			t.Errorf("no %q: %s", want, got.body)
		}
	}
	if got := b.get(at + "office"); !strings.Contains(got.body, "Let them") {
		t.Errorf("%s", got.body)
	}
	form := func(pairs ...string) []string {
		return append([]string{"pool", "default", "tunnels", "3", "carrier", "auto", "publishes", "on"}, pairs...)
	}
	for field, typed := range map[string][]string{
		"publish.hostnames": form("publish.hostnames", "*.example.org\nnot a name!"),
		"publish.ports":     form("publish.ports", "6000-x"),
		"tunnels":           form("tunnels", "9"),
		"pool":              form("pool", "nowhere"),
	} {
		if got := b.post(at+"home/edit", typed...); got.status != 422 || !strings.Contains(got.body, `id="w-`+field+`"`) {
			t.Errorf("%s: %d %s", field, got.status, got.body)
		}
	}
	if got := b.post(at+"office/edit", form("tunnels", "2", "publish.hostnames", "*.Office.Example.org", "publish.ports", "7000\n8000-8010")...); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	v, err := r.admin.Sites.Get(t.Context(), r.key, "default", "office")
	if err != nil || v.Tunnels != 2 || v.Publish == nil || strings.Join(v.Publish.Hostnames, " ") != "*.office.example.org" || strings.Join(v.Publish.Ports, " ") != "7000 8000-8010" {
		t.Errorf("%+v %+v %v", v, v.Publish, err)
	}
	if got := b.post(at+"office/edit", "pool", "default", "tunnels", "2", "carrier", "stream"); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if v, err := r.admin.Sites.Get(t.Context(), r.key, "default", "office"); err != nil || v.Publish != nil || v.Carrier != "stream" {
		t.Errorf("%+v %v", v, err)
	}
}

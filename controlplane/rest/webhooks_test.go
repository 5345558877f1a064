package rest

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/outbound"
)

func TestWebhooks(t *testing.T) {
	w := newWorld(t)
	w.api.Admin.Outbound = outbound.Policy{Allowed: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}}
	before := w.head()
	for _, base := range []string{org + "/webhooks", "/api/v1/cluster-webhooks"} {
		var v admin.Webhook
		made := w.must(201, "POST", base, `{"name":"ops","url":"https://hooks.example/x","events":["certificate.failed"]}`)
		made.into(t, &v)
		if !strings.HasPrefix(v.Secret, "whsec_") || !v.Enabled || len(v.Events) != 1 || (v.Organization == "") != (base != org+"/webhooks") {
			t.Errorf("%s", made.body)
		}
		if r := w.must(200, "GET", base+"/ops", ""); strings.Contains(string(r.body), "whsec_") {
			t.Errorf("shown again: %s", r.body)
		}
		if r := w.must(200, "PUT", base+"/ops", `{"url":"https://hooks.example/x","events":["certificate.failed"]}`); r.header.Get("X-Warren-Unchanged") != "true" {
			t.Error("the same again is a change")
		}
		if r := w.must(200, "PUT", base+"/ops", `{"url":"https://hooks.example/y","enabled":false}`); r.header.Get("X-Warren-Unchanged") != "" || strings.Contains(string(r.body), "whsec_") {
			t.Errorf("%s", r.body)
		}
		if r := w.must(201, "PUT", base+"/second", `{"url":"https://10.9.0.1/"}`); !strings.Contains(string(r.body), "whsec_") {
			t.Errorf("made by PUT, without its secret: %s", r.body)
		}
		var rotated admin.Webhook
		if w.must(200, "POST", base+"/ops/rotate-secret", "").into(t, &rotated); rotated.Secret == "" || rotated.Secret == v.Secret {
			t.Errorf("rotated: %q", rotated.Secret)
		}
		if r := w.must(200, "POST", base+"/ops/test", ""); !strings.Contains(string(r.body), `"event":"event_`) {
			t.Errorf("%s", r.body)
		}
		if r := w.must(200, "GET", base+"/ops/deliveries", ""); !strings.Contains(string(r.body), `"items":[]`) {
			t.Errorf("%s", r.body)
		}
		for _, tc := range []struct{ body, field string }{
			{`{}`, "url"},
			{`{"url":"http://hooks.example/"}`, "url"},
			{`{"url":"ftp://hooks.example/"}`, "url"},
			{`{"url":"https://user:pass@hooks.example/"}`, "url"},
			{`{"url":"https://hooks.example/#x"}`, "url"},
			{`{"url":"https://"}`, "url"},
			{`{"url":"https://169.254.169.254/latest"}`, "url"},
			{`{"url":"https://[::1]/"}`, "url"},
			{`{"url":"http://localhost/"}`, "url"},
			{`{"url":"https://10.1.0.1/"}`, "url"},
			{`{"url":"https://hooks.example/","events":["nothing"]}`, "events"},
			{`{"url":"https://hooks.example/","events":["certificate.failed","certificate.failed"]}`, "events[1]"},
		} {
			if r := w.as(w.key, "PUT", base+"/ops", tc.body); r.status != 422 || !strings.Contains(string(r.body), tc.field) {
				t.Errorf("%s: %d %s; want 422 and %s", tc.body, r.status, r.body, tc.field)
			}
		}
		w.must(204, "DELETE", base+"/ops", "")
		w.must(404, "GET", base+"/ops", "")
	}
	if after := w.head(); after != before {
		t.Errorf("webhooks are no configuration of nodes, but made revisions: %d, %d", before, after)
	}
}

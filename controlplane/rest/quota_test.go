package rest

import (
	"net/http"
	"slices"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
)

// T38: what an organization may ask of each node is the cluster's to say, not its own.
func TestT38_QuotaOfAnOrganization(t *testing.T) {
	w := newWorld(t)
	key := w.orgKey("shop")
	const at = "/api/v1/organizations/shop"
	is := func(want int) {
		t.Helper()
		var o admin.Organization
		if w.must(http.StatusOK, "GET", at, "").into(t, &o); o.RequestsPerSecond != want {
			t.Errorf("%d, want %d", o.RequestsPerSecond, want)
		}
	}
	is(0)
	w.must(http.StatusOK, "PUT", at, `{"requests_per_second":500}`)
	is(500)
	w.must(http.StatusOK, "PUT", at, `{"trusted":true}`) // what is not said stays
	is(500)
	if _, err := w.now.Wait(t.Context(), w.head()); err != nil {
		t.Fatal(err)
	}
	if o := w.now.Get().Organization(w.orgID("shop")); o == nil || o.RequestsPerSecond != 500 {
		t.Errorf("the model has %+v", o)
	}
	for _, bad := range []string{"-1", "1000001", `"many"`, "1.5"} {
		if r := w.call("PUT", at, `{"requests_per_second":`+bad+`}`); r.status != http.StatusUnprocessableEntity || !slices.Contains(r.locations(t), "body.requests_per_second") {
			t.Errorf("%s: %d %s", bad, r.status, r.body)
		}
	}
	for _, who := range []string{key, w.signIn("owner@shop.example", "shop", roleIDs["owner"])} {
		if r := w.as(who, "PUT", at, `{"requests_per_second":0}`); r.status != http.StatusForbidden {
			t.Errorf("its own: %d %s", r.status, r.body)
		}
	}
	is(500)
	w.must(http.StatusOK, "PUT", at, `{"requests_per_second":0}`)
	is(0)
}

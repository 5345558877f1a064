package console

import (
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
)

// What files keep says so where it is written by hand, and what was changed, or deleted, since is listed until it is applied again.
func TestGitOps(t *testing.T) {
	r := newRig(t)
	r.furnish()
	ann := r.browser(r.user("ann@example.org", "", "default", "admin"))
	if got := ann.get("/console/orgs/default/policies/customers/edit"); !strings.Contains(got.body, "in the set of manifests shop") {
		t.Errorf("%s", got.body)
	}
	if got := ann.get("/console/orgs/default/policies/staff/edit"); strings.Contains(got.body, "set of manifests") {
		t.Error("nobody keeps this one")
	}
	at := func() string { return ann.get("/console/orgs/default/gitops/shop").body }
	if got := at(); !strings.Contains(got, "1 of 2 objects are not as the files had them") || !strings.Contains(got, "partners") || strings.Contains(got, "customers") {
		t.Errorf("one was changed: %s", got)
	}
	rev, err := r.admin.Policies.Delete(t.Context(), r.key, "default", "customers")
	r.must(rev, err)
	if got := at(); !strings.Contains(got, "2 of 2 objects") || !strings.Contains(got, "deleted") || !strings.Contains(got, "makes it again") {
		t.Errorf("one is gone: %s", got)
	}
	w := admin.Write{Set: "shop"}
	again := []admin.Wanted{r.admin.Policies.Want("Policy", "default", "customers", admin.PolicySpec{Otherwise: "allow"}, w), r.admin.Policies.Want("Policy", "default", "partners", admin.PolicySpec{Otherwise: "allow"}, w)}
	_, _, rev, err = r.admin.ApplyWanted(t.Context(), r.key, again, admin.Pruning{Set: "shop", Org: "default"})
	r.must(rev, err)
	if got := at(); !strings.Contains(got, "2 objects are as the files had them") || !strings.Contains(got, "1 made, 1 changed, 0 removed") {
		t.Errorf("applied again: %s", got)
	}
	if got := ann.get("/console/orgs/default/gitops/nothing"); got.status != 404 {
		t.Errorf("%d", got.status)
	}
}

// Programs find in the console what they may call, with an example of this organization.
func TestReference(t *testing.T) {
	r := newRig(t)
	b := r.browser(r.user("ann@example.org", "", "default", "viewer"))
	if got := b.get("/console/orgs/default/api?q=services+write"); !strings.Contains(got.body, "create-service") || strings.Contains(got.body, "create-site") {
		t.Errorf("%s", got.body)
	}
	got := b.get("/console/orgs/default/api/create-service")
	for _, want := range []string{"services:write", "https://example.com/api/v1/orgs/default/services", "-X POST", "hostname", "required", "delivery.request.set[].name"} {
		if !strings.Contains(got.body, want) {
			t.Errorf("no %q in %s", want, got.body)
		}
	}
	if got := b.get("/console/orgs/default/api/make-coffee"); got.status != 404 {
		t.Errorf("%d", got.status)
	}
}

package console

import (
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
)

// eabKey is the HMAC key of the issuer zero's external account.
const eabKey = "c2VjcmV0LWtleS1vZi16ZXJvLWVhYg"

// An issuer is made, changed, suspended and deleted by forms alone; what its form does not show stays, and the key of its external account is
// shown nowhere.
func TestIssuers(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("root@example.org", "cluster-admin", "", ""))
	const at = "/console/cluster/"
	never := func(got reply) reply {
		t.Helper()
		if strings.Contains(got.body, eabKey) {
			t.Errorf("%s shows the key: %s", got.path, got.body)
		}
		return got
	}
	issuer := func(name string) admin.Issuer {
		t.Helper()
		v, err := r.admin.Issuers.Get(t.Context(), r.key, "", name)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	list := never(b.get(at + "issuers"))
	for _, s := range []string{`class="badge warn"`, "suspended", "own", "https://zero.example.org/directory", at + "issuers/zero/edit"} {
		if !strings.Contains(list.body, s) {
			t.Errorf("no %s in %s", s, list.body)
		}
	}
	if strings.Contains(list.body, at+"issuers/internal/") {
		t.Error("the cluster's own authority can be edited")
	}
	form := never(b.get(at + "issuers/zero/edit"))
	for _, s := range []string{`value="kid-7"`, "short = shortlived", `value="ops@example.org"`, `value="500"`, `value="on" checked`, `name="eab.hmac_key" value=""`} {
		if !strings.Contains(form.body, s) {
			t.Errorf("no %s in %s", s, form.body)
		}
	}
	typed := []string{"directory_url", "https://zero.example.org/directory", "contacts", "ops@example.org, noc@example.org", "rank", "7", "eab.key_id", "kid-7", "profiles", "short = brief\ndefault=usual", "caa_identities", "Zero.example", "limits.per_set", "3"}
	if got := never(b.post(at+"issuers/zero/edit", typed...)); got.status != 200 || got.path != at+"issuers" || !strings.Contains(got.body, "zero is changed.") {
		t.Errorf("%d %s: %s", got.status, got.path, got.body)
	}
	v := issuer("zero")
	if v.Suspended || v.Rank != 7 || len(v.Contacts) != 2 || v.EAB == nil || v.EAB.KeyID != "kid-7" || v.Profiles["short"] != "brief" || v.Profiles["default"] != "usual" || v.CAADomains[0] != "zero.example" ||
		v.Limits != (admin.IssuerLimits{PerSet: 3}) {
		t.Errorf("%+v", v)
	}
	for _, tc := range []struct{ field, value, says string }{
		{"directory_url", "http://zero.example.org/", "w-directory_url"}, {"directory_url", "https://one.example.org/directory", "w-directory_url"}, {"contacts", "nobody", "w-contacts"}, {"rank", "1000", "w-rank"}, {"rank", "x", "w-rank"}, {"profiles", "short", "w-profiles"},
		{"profiles", "a=b\na=c", "w-profiles"}, {"caa_identities", "not/a/domain", "w-caa_identities"}, {"limits.per_set", "-1", "w-limits.per_set"}, {"roots_pem", "no PEM", "w-roots_pem"},
		{"eab.key_id", "kid-8", "w-eab.hmac_key"}, {"eab.key_id", "", "w-eab.key_id"}, {"name", "Not A Name", "w-name"},
	} {
		to, wrong := at+"issuers/zero/edit", append([]string{}, typed...)
		if tc.field == "eab.key_id" && tc.value == "" {
			wrong = append(wrong, "eab.hmac_key", eabKey)
		}
		if tc.field == "name" {
			to, wrong = at+"new-issuer", append(wrong[:2:2], "name", "")
		}
		set := false
		for i := 0; i < len(wrong); i += 2 {
			if wrong[i] == tc.field {
				wrong[i+1], set = tc.value, true
			}
		}
		if !set {
			wrong = append(wrong, tc.field, tc.value)
		}
		if got := never(b.post(to, wrong...)); got.status != 422 || !strings.Contains(got.body, `id="`+tc.says+`"`) {
			t.Errorf("%s = %q: %d: %s", tc.field, tc.value, got.status, got.body)
		}
	}
	if got := b.get(at + "issuers/internal/edit"); got.status != 409 {
		t.Errorf("the cluster's own authority: %d", got.status)
	}
	if got := never(b.post(at+"new-issuer", "name", "other", "directory_url", "https://other.example.org/dir", "eab.key_id", "kid-9", "eab.hmac_key", eabKey)); got.status != 200 || !strings.Contains(got.body, "other") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if v := issuer("other"); v.Rank != 100 || v.EAB == nil {
		t.Errorf("%+v", v)
	}
	if got := b.post(at+"new-issuer", "name", "other", "directory_url", "https://other.example.org/dir"); got.status != 409 {
		t.Errorf("a second one of the name: %d", got.status)
	}
	if got := b.post(at + "issuers/other/delete"); got.status != 200 || strings.Contains(got.body, at+"issuers/other/edit") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	look := r.browser(r.user("vera@example.org", "cluster-viewer", "", ""))
	if got := never(look.get(at + "issuers")); got.status != 200 || strings.Contains(got.body, "/edit") || strings.Contains(got.body, "new-issuer") {
		t.Errorf("who may only look: %d: %s", got.status, got.body)
	}
}

// Pools and regions are made and deleted by forms alone; one that something stands in stays.
func TestPoolsAndRegions(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("root@example.org", "cluster-admin", "", ""))
	const at = "/console/cluster/"
	if got := b.get(at + "pools"); !strings.Contains(got.body, `data-label="Domains" class="num">1<`) || !strings.Contains(got.body, "spare") {
		t.Errorf("%s", got.body)
	}
	for _, noun := range []string{"pool", "region"} {
		list := at + noun + "s"
		if got := b.post(at+"new-"+noun, "name", "Not A Name"); got.status != 422 || !strings.Contains(got.body, `id="w-name"`) || !strings.Contains(got.body, `value="Not A Name"`) {
			t.Errorf("%s: %d: %s", noun, got.status, got.body)
		}
		if got := b.post(at+"new-"+noun, "name", "cellar"); got.status != 200 || got.path != list || !strings.Contains(got.body, "cellar") {
			t.Errorf("%s: %d %s: %s", noun, got.status, got.path, got.body)
		}
		if got := b.post(at+"new-"+noun, "name", "cellar"); got.status != 409 {
			t.Errorf("%s: a second one of the name: %d", noun, got.status)
		}
		if got := b.post(list + "/cellar/delete"); got.status != 200 || strings.Contains(got.body, list+"/cellar/delete") {
			t.Errorf("%s: %d: %s", noun, got.status, got.body)
		}
	}
	if got := b.post(at + "pools/default/delete"); got.status != 409 {
		t.Errorf("a pool that is used: %d", got.status)
	}
}

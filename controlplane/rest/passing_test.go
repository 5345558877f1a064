package rest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

// exposed is what a program that publishes something applies.
const exposed = `{"set":"e1","lifetime":"1m","documents":[
{"kind":"Site","metadata":{"name":"e1"},"spec":{"pool":"default"}},{"kind":"Connector","metadata":{"name":"e1"},"spec":{"site":"e1"}},
{"kind":"Policy","metadata":{"name":"e1"},"spec":{"otherwise":"authenticate","auth":{"pin":{"code":"123456"}}}},
{"kind":"Service","metadata":{"name":"e1"},"spec":{"kind":"http","hostname":"e1.example.com","pool":"default","policy":"e1"}},
{"kind":"Target","metadata":{"name":"e1"},"spec":{"service":"e1","site":"e1","address":"127.0.0.1","port":8080}}]}`

const renewAt = "/api/v1/orgs/default/manifest-sets/e1/renew"

// names are all objects that a program may have published.
func (w *world) names() string {
	w.t.Helper()
	var all []string
	for _, m := range w.export("?kind=Site&kind=Connector&kind=Policy&kind=Service&kind=Target") {
		all = append(all, m.Kind+" "+m.Metadata.Name)
	}
	return strings.Join(all, ", ")
}

func TestSetsPass(t *testing.T) {
	w := newWorld(t)
	w.service()
	stays := w.names()
	_, made := w.apply(http.StatusOK, "", exposed)
	if made.revision == 0 || w.names() == stays {
		t.Fatalf("%s, %s", made.body, w.names())
	}
	// What is renewed stays, and what is applied again.
	ends := func() time.Time {
		var s struct {
			ExpiresAt time.Time `json:"expires_at"`
		}
		w.must(http.StatusOK, http.MethodPost, renewAt, "").into(t, &s)
		return s.ExpiresAt
	}
	first := ends()
	w.apply(http.StatusOK, "", exposed)
	if second := ends(); !second.After(first) {
		t.Errorf("renewed until %s, then until %s", first, second)
	}
	remove := func(now time.Time) *model.PassingSet {
		t.Helper()
		set, err := w.api.Admin.RemovePassed(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	if set := remove(time.Now()); set != nil {
		t.Errorf("%+v is removed before its time", set)
	}
	if set := remove(time.Now().Add(2 * time.Minute)); set == nil || set.Name != "e1" || w.names() != stays {
		t.Errorf("%+v is removed, %s are there, want %s", set, w.names(), stays)
	}
	if set := remove(time.Now().Add(2 * time.Minute)); set != nil {
		t.Errorf("%+v is removed twice", set)
	}
	w.must(http.StatusNotFound, http.MethodPost, renewAt, "")
	if log := w.must(http.StatusOK, http.MethodGet, org+"/audit?page_size=500", ""); !strings.Contains(string(log.body), `"manifests.pass"`) {
		t.Errorf("the audit log does not say that the set passed: %s", log.body)
	}

	// Who ends by himself prunes, and nothing is left to expire.
	w.apply(http.StatusOK, "", exposed)
	w.apply(http.StatusOK, "", `{"set":"e1","prune":true,"documents":[]}`)
	w.must(http.StatusNotFound, http.MethodPost, renewAt, "")
	if w.names() != stays {
		t.Errorf("%s are there, want %s", w.names(), stays)
	}
}

// A set that passes must take nothing with it that was there before, or is somebody else's.
func TestSetsThatPassTakeNothingElse(t *testing.T) {
	w := newWorld(t)
	w.service()
	doc := func(kind, name, spec string) string {
		return `[{"kind":"` + kind + `","metadata":{"name":"` + name + `"},"spec":` + spec + `}]`
	}
	w.apply(http.StatusOK, "", `{"set":"shop","documents":`+doc("Site", "shop", `{"pool":"default"}`)+`}`)
	policy := doc("Policy", "p", `{}`)
	for _, tc := range []struct {
		what, body, want string
		status           int
	}{
		{"of a set that stays", `{"set":"shop","lifetime":"1m","documents":` + policy + `}`, `set \"shop\" keeps objects that are to stay`, 409},
		{"an object that is there", `{"set":"e1","lifetime":"1m","documents":` + doc("Site", "home", `{"pool":"default"}`) + `}`, "Site home is there already", 409},
		{"an object of the cluster", `{"set":"e1","lifetime":"1m","documents":` + doc("Region", "x", `{}`) + `}`, "objects of kind Region stay", 422},
		{"a domain", `{"set":"e1","lifetime":"1m","documents":` + doc("Domain", "example.net", `{"pool":"default"}`) + `}`, "objects of kind Domain stay", 422},
		{"no name", `{"lifetime":"1m","documents":` + policy + `}`, "body.set", 422},
		{"nothing", `{"set":"e1","lifetime":"1m","documents":[]}`, "body.documents", 422},
		{"too short", `{"set":"e1","lifetime":"9s","documents":` + policy + `}`, "lifetime", 422},
		{"too long", `{"set":"e1","lifetime":"25h","documents":` + policy + `}`, "lifetime", 422},
		{"less than nothing", `{"set":"e1","lifetime":"-1m","documents":` + policy + `}`, "lifetime", 422},
		{"zero", `{"set":"e1","lifetime":"0s","documents":` + policy + `}`, "body.lifetime", 422},
		{"no duration", `{"set":"e1","lifetime":"soon","documents":` + policy + `}`, "body.lifetime", 422},
	} {
		before := w.head()
		if _, r := w.apply(tc.status, "", tc.body); !strings.Contains(string(r.body), tc.want) {
			t.Errorf("%s: %s", tc.what, r.body)
		}
		if w.head() != before {
			t.Errorf("%s: it was written", tc.what)
		}
	}

	// Somebody else, with every permission, neither renews nor takes over.
	w.apply(http.StatusOK, "", exposed)
	other := w.signIn("ann@example.com", "default", model.RoleOwner)
	if r := w.as(other, http.MethodPost, renewAt, ""); r.status != http.StatusNotFound {
		t.Errorf("renewed by somebody else: %d %s", r.status, r.body)
	}
	if r := w.as(other, http.MethodPost, applyAt, exposed); r.status != http.StatusConflict {
		t.Errorf("applied by somebody else: %d %s", r.status, r.body)
	}

	// What others have come to need stays until they do not, and keeps no other set from passing.
	w.must(http.StatusCreated, http.MethodPost, org+"/services", `{"name":"needy","kind":"http","hostname":"needy.example.com","pool":"default","policy":"e1"}`)
	w.apply(http.StatusOK, "", `{"set":"e2","lifetime":"2m","documents":`+doc("Policy", "e2", `{}`)+`}`)
	later := time.Now().Add(3 * time.Minute)
	if set, err := w.api.Admin.RemovePassed(t.Context(), later); err == nil || set == nil || set.Name != "e1" {
		t.Errorf("%+v, %v", set, err)
	}
	if set, err := w.api.Admin.RemovePassed(t.Context(), later); err != nil || set == nil || set.Name != "e2" {
		t.Errorf("%+v, %v", set, err)
	}
	w.must(http.StatusOK, http.MethodGet, org+"/policies/e1", "")
	w.must(http.StatusNoContent, http.MethodDelete, org+"/services/needy", "")
	if set, err := w.api.Admin.RemovePassed(t.Context(), later.Add(10*time.Minute)); err != nil || set == nil || set.Name != "e1" {
		t.Errorf("%+v, %v", set, err)
	}
	w.must(http.StatusNotFound, http.MethodGet, org+"/policies/e1", "")
}

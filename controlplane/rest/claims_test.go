package rest

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// T36: a tenant gets no name of the cluster or of another organization by writing it down: until a domain is proved to be his
// there is no zone, route or challenge of it, and nobody else is kept from it.
func TestT36ClaimedDomains(t *testing.T) {
	w := newWorld(t)
	w.service() // of the organization "default", in example.com: its administrators are the cluster's
	mallory, ann := w.orgKey("mallory"), w.orgKey("ann")
	const m, a = "/api/v1/orgs/mallory", "/api/v1/orgs/ann"
	field := func(key, method, path, body string, status int, where, why string) {
		t.Helper()
		r := w.as(key, method, path, body)
		if r.status != status || !slices.Contains(r.locations(t), where) || !strings.Contains(string(r.body), why) {
			t.Errorf("%s %s %s: %d %s, want %d at %s: %s", method, path, body, r.status, r.body, status, where, why)
		}
	}
	claim := func(key, org, name string) (d admin.Domain) {
		t.Helper()
		r := w.as(key, "POST", org+"/domains", `{"name":"`+name+`","pool":"default"}`)
		if r.status != http.StatusCreated {
			t.Fatalf("%s: %d %s", name, r.status, r.body)
		}
		r.into(t, &d)
		return d
	}
	prove := func(d admin.Domain) error {
		id, err := model.DomainID{}.Parse(d.ID)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.db.Tx(t.Context(), "test", func(tx *store.Tx) error { return tx.ProveDomain(t.Context(), id, time.Now()) })
		return err
	}

	// What is another organization's, in whatever spelling, or is above or below that, can't be claimed.
	for _, name := range []string{"example.com", "EXAMPLE.com.", "a.example.com", "com", "ｅxample.com"} {
		field(mallory, "POST", m+"/domains", `{"name":"`+name+`","pool":"default"}`, http.StatusConflict, "body.name", "")
	}

	// What is nobody's yet can, with no effect.
	claimed := claim(mallory, m, "Victim.Example")
	if p := claimed.Proof; claimed.Name != "victim.example" || !claimed.Unproven || p == nil || p.Name != "_warren-challenge.victim.example" || p.Type != "TXT" ||
		!strings.HasPrefix(p.Value, "warren-organization=org_") {
		t.Errorf("claimed: %+v, %+v", claimed, claimed.Proof)
	}
	field(mallory, "POST", m+"/services", `{"name":"x","kind":"http","hostname":"www.victim.example","pool":"default"}`, 422, "body.hostname", "not proved")
	if _, err := w.now.Wait(t.Context(), w.head()); err != nil {
		t.Fatal(err)
	}
	now := w.now.Get()
	if now.DomainCovering("www.victim.example") != nil || now.DomainNamed("victim.example") != nil {
		t.Error("a claim covers names")
	}
	for p := range now.Pools() {
		for d := range now.DomainsOf(p.ID) {
			if d.Unproven {
				t.Error("nodes answer for a claim")
			}
		}
	}
	org, err := model.OrgID{}.Parse(strings.TrimPrefix(claimed.Proof.Value, "warren-organization="))
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.db.Tx(t.Context(), "test", func(tx *store.Tx) error {
		return tx.CreateChallenges(t.Context(), []*model.Challenge{{ID: model.ChallengeID{}.New(), Org: org, Type: model.DNS01, Name: "victim.example", Value: "v", Expires: time.Now().Add(time.Minute)}})
	})
	if fault.Of(err) != fault.Invalid {
		t.Errorf("a challenge in a claimed domain: %v", err)
	}
	if r := w.as(mallory, "POST", m+"/domains/victim.example/prove", ""); r.status != 200 || !strings.Contains(string(r.body), `"unproven":true`) {
		t.Errorf("whoever claims it proves it by saying so: %d %s", r.status, r.body)
	}

	// It is in nobody's way: who proves it has it, and what is above and below; the claim comes to nothing.
	below, theirs := claim(mallory, m, "deep.victim.example"), claim(ann, a, "victim.example")
	if err := prove(theirs); err != nil {
		t.Fatal(err)
	}
	for _, d := range []admin.Domain{claimed, below} {
		if err := prove(d); fault.Of(err) != fault.Conflict {
			t.Errorf("%s is proved to be two organizations': %v", d.Name, err)
		}
	}
	if r := w.as(ann, "POST", a+"/services", `{"name":"x","kind":"http","hostname":"www.victim.example","pool":"default"}`); r.status != 201 {
		t.Errorf("a service of who has proved it: %d %s", r.status, r.body)
	}
	if d := claim(ann, a, "deep.victim.example"); d.Unproven {
		t.Error("what is below a domain of one's own has to be proved")
	}
	field(mallory, "POST", m+"/services", `{"name":"x","kind":"http","hostname":"x.deep.victim.example","pool":"default"}`, 422, "body.hostname", "")
	field(mallory, "POST", m+"/domains", `{"name":"other.victim.example","pool":"default"}`, http.StatusConflict, "body.name", "")

	// Names of the cluster itself.
	w.must(200, "PUT", "/api/v1/nodes/n1", `{"pool":"default","addresses":["192.0.2.1"],"stream_endpoint":"edge.warren.example:443"}`)
	if _, err := w.db.Tx(t.Context(), "test", func(tx *store.Tx) error { return tx.SetSignInURL(t.Context(), "https://login.warren.example") }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"login.warren.example", "warren.example", "example", "x.login.warren.example", "edge.warren.example"} {
		field(mallory, "POST", m+"/domains", `{"name":"`+name+`","pool":"default"}`, 422, "body.name", "reserved")
	}
	w.must(201, "POST", m+"/domains", `{"name":"warren.example","pool":"default"}`) // an administrator lets him be beside them
	for _, name := range []string{"login.warren.example", "*.warren.example", "warren.example", "*.login.warren.example", "x.edge.warren.example"} {
		field(mallory, "POST", m+"/services", `{"name":"x","kind":"http","hostname":"`+name+`","pool":"default"}`, 422, "body.hostname", "reserved")
	}
	if r := w.as(mallory, "POST", m+"/services", `{"name":"x","kind":"http","hostname":"blog.warren.example","pool":"default"}`); r.status != 201 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	field(mallory, "PUT", m+"/services/x", `{"kind":"http","hostname":"login.warren.example","pool":"default"}`, 422, "body.hostname", "reserved")

	// Whom administrators of the cluster trust needs no proof, nor do they themselves.
	if r := w.as(mallory, "PUT", "/api/v1/organizations/mallory", `{"trusted":true}`); r.status != 403 {
		t.Errorf("whoever likes trusts himself: %d %s", r.status, r.body)
	}
	mine := claim(mallory, m, "mine.example")
	var d admin.Domain
	if w.must(200, "POST", m+"/domains/mine.example/prove", "").into(t, &d); d.Unproven || d.Proof != nil || !mine.Unproven {
		t.Errorf("on an administrator's word: %+v", d)
	}
	w.must(200, "PUT", "/api/v1/organizations/mallory", `{"trusted":true}`)
	w.must(200, "PUT", "/api/v1/organizations/mallory", `{}`) // what is not said stays
	if d := claim(mallory, m, "more.example"); d.Unproven {
		t.Errorf("of a trusted organization: %+v", d)
	}
}

// What is typed at the registrar to prove a claim comes first.
func TestCheckClaim(t *testing.T) {
	w := newWorld(t)
	w.service()
	w.enroll("n1", "box")
	key := w.orgKey("ann")
	w.api.Preflight = &inspector{}
	if r := w.as(key, "POST", "/api/v1/orgs/ann/domains", `{"name":"ann.example","pool":"default"}`); r.status != 201 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if _, err := w.now.Wait(t.Context(), w.head()); err != nil {
		t.Fatal(err)
	}
	var v domainCheckView
	w.as(key, "GET", "/api/v1/orgs/ann/domains/ann.example/check", "").into(t, &v)
	if v.OK || len(v.Problems) == 0 || v.Problems[0].Code != "unproven" || !strings.Contains(v.Problems[0].Message, "_warren-challenge.ann.example") || v.Records[0].Type != "TXT" {
		t.Errorf("%+v", v)
	}
}

package rest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// TestOrganizationsAreApart calls every operation of the description with an organization's key, on
// objects of another: none may answer, none may write, and none may say that they exist.
func TestOrganizationsAreApart(t *testing.T) {
	w := newWorld(t)
	w.service()
	stranger := w.orgKey("stranger")
	others := []string{w.orgKey("second"), w.orgKey("third"), w.orgKey("fourth")} // a key may not call more often than its limit
	before := w.head()
	subject := map[string]string{
		"sites": "home", "connectors": "box", "services": "wiki", "targets": "wiki", "domains": "example.com", "certificates": w.certificate(),
		"nodes": "n1", "regions": "default", "pools": "default", "organizations": "default", "api-keys": "bootstrap", "snapshots": "n1",
		"join-tokens": w.token(`{"node":"n1"}`).ID, "issuers": "internal", "managed-certificates": w.managed("other.example.com").String(),
	}
	bodies := map[string]string{
		"sites": `{"name":"home","pool":"default"}`, "connectors": `{"name":"box","site":"home"}`,
		"services": `{"name":"wiki","kind":"tls","hostname":"wiki.example.com","pool":"default"}`,
		"targets":  `{"name":"wiki","service":"wiki","site":"home","address":"10.0.0.2","port":80}`,
		"domains":  `{"name":"example.com","pool":"default"}`, "nodes": `{"name":"n1","pool":"default"}`,
		"regions": `{"name":"x"}`, "pools": `{"name":"x"}`, "organizations": `{"name":"x"}`, "api-keys": `{"name":"x"}`, "join-tokens": `{"node":"n1"}`,
		"issuers": `{"name":"x","directory_url":"https://ca.example"}`, "certificates": `{"chain":"x","key":"x"}`, "managed-certificates": `{}`,
	}
	// What an organization's key may call outside of its organization.
	free := []string{"list-pools", "get-pool", "list-regions", "get-region", "list-authorities", "wait", "status", "health", "ready"}
	calls := 0
	for path, item := range w.api.huma.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete} {
			if op == nil || slices.Contains(free, op.OperationID) {
				continue
			}
			kind := strings.Split(strings.TrimPrefix(strings.TrimPrefix(path, "/api/v1/orgs/{org}"), "/api/v1"), "/")[1]
			if kind == "debug" {
				kind = "snapshots"
			}
			at := strings.NewReplacer("{org}", "default", "{name}", subject[kind]).Replace(path)
			body := ""
			if method == "PUT" || method == "POST" && strings.HasSuffix(path, kind) {
				body = bodies[kind]
			}
			if method == "PUT" { // the path has the name
				body = strings.NewReplacer(`"name":"x",`, "", `"name":"x"`, "").Replace(body)
			}
			want := http.StatusForbidden
			if strings.Contains(path, "{org}") {
				want = http.StatusNotFound
			}
			if calls++; calls%40 == 0 && len(others) > 0 {
				stranger, others = others[0], others[1:]
			}
			r := w.as(stranger, method, at, body)
			if r.status != want {
				t.Errorf("%s %s: %d %s; want %d", method, at, r.status, r.body, want)
			}
			// What is not there gets the very same answer.
			if want == http.StatusNotFound {
				other := w.as(stranger, method, strings.Replace(at, "/orgs/default/", "/orgs/nowhere/", 1), body)
				if strip(other) != strip(r) {
					t.Errorf("%s %s tells a secret: %s, of what is not there %s", method, at, r.body, other.body)
				}
			}
		}
	}
	if calls < 50 {
		t.Errorf("only %d calls: this test looks at nothing", calls)
	}
	for _, path := range []string{"/api/v1/status", fmt.Sprintf("/api/v1/wait?revision=%d", before)} {
		if r := w.as(stranger, "GET", path, ""); r.status != http.StatusOK || strings.Contains(string(r.body), "n1") || strings.Contains(string(r.body), "box") {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if after := w.head(); after != before {
		t.Errorf("revision %d before, %d after", before, after)
	}
}

// strip is a reply without the call's id.
func strip(r reply) string {
	return strings.ReplaceAll(fmt.Sprint(r.status, string(r.body)), r.header.Get("X-Request-Id"), "")
}

// TestReferencesStayInTheOrganization uses another organization's objects by id from one's own.
func TestReferencesStayInTheOrganization(t *testing.T) {
	w := newWorld(t)
	w.service()
	stranger := w.orgKey("stranger")
	id := func(path string) string {
		var o struct{ ID string }
		w.must(200, "GET", path, "").into(t, &o)
		return o.ID
	}
	site, service, connector := id(org+"/sites/home"), id(org+"/services/wiki"), id(org+"/connectors/box")
	const own = "/api/v1/orgs/stranger"
	for _, c := range []struct{ path, body, location string }{
		{own + "/connectors", `{"name":"c","site":"` + site + `"}`, "body.site"},
		{own + "/targets", `{"name":"t","service":"` + service + `","site":"` + site + `","address":"10.0.0.1","port":80}`, "body.service"},
		{"/api/v1/join-tokens", `{"organization":"stranger","connector":"` + connector + `"}`, "body.connector"},
		{"/api/v1/join-tokens", `{"organization":"default","connector":"box"}`, "body.organization"},
	} {
		r := w.as(stranger, "POST", c.path, c.body)
		if r.status != http.StatusUnprocessableEntity || !slices.Contains(r.locations(t), c.location) {
			t.Errorf("%s %s: %d %s", c.path, c.body, r.status, r.body)
		}
	}
	for _, path := range []string{"/sites/" + site, "/services/" + service, "/connectors/" + connector} {
		for _, method := range []string{"GET", "DELETE"} {
			if r := w.as(stranger, method, own+path, ""); r.status != http.StatusNotFound {
				t.Errorf("%s %s: %d %s", method, own+path, r.status, r.body)
			}
		}
	}
	// And of its own it may do everything.
	if r := w.as(stranger, "POST", own+"/sites", `{"name":"home","pool":"default"}`); r.status != http.StatusCreated {
		t.Errorf("own site: %d %s", r.status, r.body)
	}
	if r := w.as(stranger, "POST", own+"/connectors", `{"name":"box","site":"home"}`); r.status != http.StatusCreated {
		t.Errorf("own connector: %d %s", r.status, r.body)
	}
	if r := w.as(stranger, "POST", "/api/v1/join-tokens", `{"organization":"stranger","connector":"box"}`); r.status != http.StatusCreated {
		t.Errorf("own token: %d %s", r.status, r.body)
	}
}

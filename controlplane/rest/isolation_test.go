package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/preflight"
	"github.com/warrenedge/warren/controlplane/store"
)

// bodies are what is sent to write an object of each kind.
var bodies = map[string]string{
	"sites": `{"name":"home","pool":"default"}`, "connectors": `{"name":"box","site":"home"}`,
	"services": `{"name":"wiki","kind":"tls","hostname":"wiki.example.com","pool":"default"}`,
	"targets":  `{"name":"wiki","service":"wiki","site":"home","address":"10.0.0.2","port":80}`,
	"domains":  `{"name":"example.com","pool":"default"}`, "nodes": `{"name":"n1","pool":"default"}`,
	"regions": `{"name":"x"}`, "pools": `{"name":"x"}`, "organizations": `{"name":"x"}`, "api-keys": `{"name":"x"}`,
	"issuers": `{"name":"x","directory_url":"https://ca.example"}`, "certificates": `{"chain":"x","key":"x"}`, "managed-certificates": `{}`,
	"users": `{"name":"x@example.com"}`, "cluster-roles": `{"name":"x","permissions":[]}`, "roles": `{"name":"x","permissions":["sites:read"]}`,
	"members": `{"name":"ann@example.com","roles":["viewer"]}`, "groups": `{"name":"x"}`, "service-accounts": `{"name":"x","roles":["viewer"]}`,
	"identity-providers": `{"name":"sso","issuer":"https://id.example","client_id":"x"}`, "cluster-identity-providers": `{"name":"sso","issuer":"https://id.example","client_id":"x"}`,
	"invitations": `{"name":"x@example.com","roles":["viewer"]}`, "security": `{}`, "branding": `{"name":"Acme"}`, "request-log": `{"keep_days":3}`,
	"alert-rules": `{"name":"x","kind":"site_down"}`, "cluster-alert-rules": `{"name":"x","kind":"node_down"}`,
	"webhooks": `{"name":"ops","url":"https://hooks.example/"}`, "cluster-webhooks": `{"name":"ops","url":"https://hooks.example/"}`, "policies": `{"name":"x"}`,
}

// target is one operation of the description, on an object that is there.
type target struct {
	id, method, path, body string
	need                   access.Permission
	org                    bool
}

// targets are all operations that need a permission, with the name of an object of the organization "default".
func (w *world) targets() []target {
	w.t.Helper()
	w.service()
	w.must(201, "POST", "/api/v1/users", `{"name":"ann@example.com"}`)
	w.must(201, "POST", org+"/members", `{"name":"ann@example.com","roles":["viewer"]}`)
	w.must(201, "POST", org+"/roles", `{"name":"gardener","permissions":["sites:read"]}`)
	w.must(201, "POST", org+"/groups", `{"name":"staff","users":["ann@example.com"]}`)
	w.must(201, "POST", org+"/service-accounts", `{"name":"ci","roles":["viewer"]}`)
	w.must(201, "POST", "/api/v1/cluster-roles", `{"name":"watcher","permissions":["nodes:read"]}`)
	w.must(201, "POST", "/api/v1/api-keys", `{"name":"deploy","organization":"default"}`)
	w.must(201, "POST", org+"/identity-providers", bodies["identity-providers"])
	w.must(201, "POST", "/api/v1/cluster-identity-providers", bodies["identity-providers"])
	w.must(201, "POST", org+"/policies", `{"name":"staff"}`)
	w.must(201, "POST", org+"/policies/staff/tokens", `{"name":"probe"}`)
	var link struct{ ID string }
	w.must(201, "POST", org+"/policies/staff/links", `{}`).into(w.t, &link)
	subject := map[string]string{
		"identity-providers": "sso", "cluster-identity-providers": "sso", "invitations": w.invitation(), "visitors": w.visitor(), "security": "x", "branding": "",
		"sites": "home", "connectors": "box", "services": "wiki", "targets": "wiki", "domains": "example.com", "certificates": w.certificate(),
		"nodes": "n1", "regions": "default", "pools": "default", "organizations": "default", "api-keys": "deploy", "snapshots": "n1",
		"join-tokens": w.token(`{"node":"n1"}`).ID, "connector-join-tokens": w.token(`{"organization":"default","connector":"box"}`).ID, "issuers": "internal", "managed-certificates": w.managed("other.example.com").String(),
		"users": "ann@example.com", "cluster-roles": "watcher", "roles": "gardener", "members": "ann@example.com", "groups": "staff", "service-accounts": "ci", "me": "x",
		"webhooks": "ops", "cluster-webhooks": "ops", "policies": "staff", "explain": "", "access-tokens": "", "requests": "", "request-log": "", "traffic": "", "events": "", "manifests": "", "manifest-sets": "short",
		"alert-rules": "down", "cluster-alert-rules": "down", "alerts": "", "cluster-alerts": "", "diagnosis": "", "mail": "", "backups": "", "jobs": w.job(),
	}
	for _, base := range []string{org + "/webhooks", "/api/v1/cluster-webhooks"} {
		w.must(http.StatusCreated, "POST", base, `{"name":"ops","url":"https://hooks.example/"}`)
	}
	w.must(201, "POST", org+"/alert-rules", `{"name":"down","kind":"site_down"}`)
	w.must(200, "POST", applyAt, `{"set":"short","lifetime":"1h","documents":[{"kind":"Policy","metadata":{"name":"short"}}]}`)
	w.must(201, "POST", "/api/v1/cluster-alert-rules", `{"name":"down","kind":"node_down"}`)
	var out []target
	for path, item := range w.api.huma.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete} {
			if op == nil {
				continue
			}
			need, _ := op.Extensions["x-warren-permission"].(string)
			if need == "none" {
				if !slices.Contains([]string{"health", "ready", "create-device-login", "get-device-token"}, op.OperationID) {
					w.t.Errorf("%s %s needs no permission", method, path)
				}
				continue
			}
			if !access.Permission(need).Declared() {
				w.t.Errorf("%s %s declares no permission: %q", method, path, need)
			}
			kind := strings.Split(strings.TrimPrefix(strings.TrimPrefix(path, "/api/v1/orgs/{org}"), "/api/v1"), "/")[1]
			if kind == "debug" {
				kind = "snapshots"
			}
			at := strings.NewReplacer("{org}", "default", "{name}", subject[kind], "{link}", link.ID, "{token}", "probe").Replace(path)
			t := target{op.OperationID, method, at, "", access.Permission(need), strings.Contains(path, "{org}")}
			if method == "PUT" || method == "POST" && strings.HasSuffix(path, kind) {
				t.body = bodies[kind]
			}
			if strings.HasSuffix(path, "/certificates/{name}/revoke") {
				t.body = `{"reason":"keyCompromise"}`
			}
			if op.OperationID == "test-mail" {
				t.body = `{"to":"ann@example.com"}`
			}
			if method == "PUT" { // the path has the name
				t.body = regexp.MustCompile(`"name":"[^"]*",?`).ReplaceAllString(t.body, "")
			}
			if strings.HasSuffix(path, "/labels") {
				t.body = `{"labels":{"env":"test"}}`
			}
			switch op.OperationID {
			case "apply-manifests":
				t.body = `{"documents":[]}`
			case "changes":
				t.path += "?timeout=1ms"
			case "create-join-token":
				t.body = `{"organization":"default","connector":"box"}`
			case "create-my-api-key":
				t.body = `{"name":"x"}`
			case "wait":
				t.path += "?revision=1"
			case "create-access-token":
				t.body = `{"host":"wiki.example.com"}`
			case "silence-alert-rule", "silence-cluster-alert-rule":
				t.body = `{"for":"1h"}`
			case "acknowledge-alerts", "acknowledge-cluster-alerts":
				t.body = `{}`
			case "create-share-link":
				t.body = `{}`
			case "create-service-token":
				t.body = `{"name":"x"}`
			case "tail-requests", "tail-events":
				t.path += "?for=1ms"
			case "explain":
				t.path += "?url=https://wiki.example.com/"
			}
			out = append(out, t)
		}
	}
	if len(out) < 100 {
		w.t.Fatalf("only %d operations: this test looks at nothing", len(out))
	}
	slices.SortFunc(out, func(a, b target) int { return strings.Compare(a.method+a.path, b.method+b.path) }) // DELETE comes first
	return out
}

// job is one in the queue.
func (w *world) job() string {
	w.t.Helper()
	if _, err := w.db.Tx(w.t.Context(), "test", func(tx *store.Tx) error { return tx.PlanCertificates(w.t.Context()) }); err != nil {
		w.t.Fatal(err)
	}
	var all struct{ Items []admin.Job }
	w.must(http.StatusOK, "GET", "/api/v1/jobs?kind=plan&page_size=1", "").into(w.t, &all)
	if len(all.Items) != 1 {
		w.t.Fatal("no job is in the queue")
	}
	return all.Items[0].ID
}

// invitation is one of the organization "default".
func (w *world) invitation() string {
	w.t.Helper()
	v := &model.Invitation{ID: model.InvitationID{}.New(), Org: w.orgID("default"), Email: "y@example.com", Roles: []model.RoleID{model.RoleViewer}, Hash: make([]byte, 32), Expires: time.Now().Add(time.Hour)}
	if _, err := w.db.Tx(w.t.Context(), "test", func(tx *store.Tx) error { return tx.CreateInvitation(w.t.Context(), v) }); err != nil {
		w.t.Fatal(err)
	}
	return v.ID.String()
}

// visitor is one of the service of the organization "default".
func (w *world) visitor() string {
	w.t.Helper()
	v := &model.Visitor{ID: model.VisitorID{}.New(), Org: w.orgID("default"), Mail: "y@example.com", Expires: time.Now().Add(time.Hour)}
	if _, err := w.db.Tx(w.t.Context(), "test", func(tx *store.Tx) error {
		s, err := tx.GetServiceByHostname(w.t.Context(), "wiki.example.com")
		if err != nil {
			return err
		}
		v.Service = s.ID
		return tx.CreateVisitor(w.t.Context(), v)
	}); err != nil {
		w.t.Fatal(err)
	}
	return v.ID.String()
}

// roleIDs are the built-in roles of an organization.
var roleIDs = map[string]model.RoleID{"owner": model.RoleOwner, "admin": model.RoleAdmin, "member": model.RoleMember, "viewer": model.RoleViewer}

// TestT37Strangers calls every operation of the description as everybody who may anything in one organization, on
// objects of another: none may answer, none may write, and none may say that they exist.
func TestT37Strangers(t *testing.T) {
	w := newWorld(t)
	ops := w.targets()
	strangers := map[string]string{"key": w.orgKey("stranger")}
	for name, id := range roleIDs {
		strangers[name] = w.signIn(name+"@stranger.example", "stranger", id)
	}
	before := w.head()
	for name, who := range strangers {
		w.as(who, "GET", "/api/v1/me", "")
		for _, op := range ops {
			if op.need.ForEverybody() || op.id == "create-join-token" {
				continue // TestReferencesStayInTheOrganization has the latter
			}
			want := http.StatusForbidden
			if op.org {
				want = http.StatusNotFound
			}
			r := w.as(who, op.method, op.path, op.body)
			if r.status != want {
				t.Errorf("%s: %s %s: %d %s; want %d", name, op.method, op.path, r.status, r.body, want)
			}
			// What is not there gets the very same answer.
			if want == http.StatusNotFound {
				other := w.as(who, op.method, strings.Replace(op.path, "/orgs/default/", "/orgs/nowhere/", 1), op.body)
				if strip(other) != strip(r) {
					t.Errorf("%s: %s %s tells a secret: %s, of what is not there %s", name, op.method, op.path, r.body, other.body)
				}
			}
		}
		for _, path := range []string{"/api/v1/status", fmt.Sprintf("/api/v1/wait?revision=%d", before)} {
			if r := w.as(who, "GET", path, ""); r.status != http.StatusOK || strings.Contains(string(r.body), "n1") || strings.Contains(string(r.body), "box") {
				t.Errorf("%s: %s: %d %s", name, path, r.status, r.body)
			}
		}
	}
	if after := w.head(); after != before {
		t.Errorf("revision %d before, %d after", before, after)
	}
}

// satisfied is a Preflight that finds nothing wrong.
type satisfied struct{}

func (satisfied) Check(context.Context, preflight.Question) (preflight.Report, error) {
	return preflight.Report{}, nil
}

// TestEveryRoleEveryOperation calls every operation of the description as every role, at home: 403 if its permission is
// not one of the role's, and never otherwise.
func TestEveryRoleEveryOperation(t *testing.T) {
	w := newWorld(t)
	w.api.Preflight = satisfied{}
	ops := w.targets()
	for _, name := range []string{"viewer", "member", "admin", "owner"} { // who may less comes before things are gone
		who := w.signIn(name+"@example.com", "default", roleIDs[name])
		p := access.Principal{Session: model.SessionID{}.New(), Grants: access.Collect([]model.Grant{{Org: w.orgID("default"), Role: roleIDs[name]}})}
		w.as(who, "GET", "/api/v1/me", "")
		for _, op := range ops {
			if strings.HasPrefix(op.path, "/api/v1/me/session") && op.method == "DELETE" {
				continue // that would end the test
			}
			r := w.as(who, op.method, op.path, op.body)
			at := model.OrgID{}
			if op.org || op.id == "create-join-token" {
				at = w.orgID("default")
			}
			may := p.Can(op.need, at)
			// Only who may see all users makes a member without an invitation.
			invited := op.id == "create-member" || op.id == "put-member"
			if denied := r.status == http.StatusForbidden; denied == may && !(may && invited) || r.status == http.StatusUnauthorized || r.status == http.StatusInternalServerError {
				t.Errorf("%s: %s %s (%s): %d %s; may %v", name, op.method, op.path, op.need, r.status, r.body, may)
			}
		}
	}
}

// signIn makes a user with a role in an organization and returns the token of a session.
func (w *world) signIn(email, org string, role model.RoleID) string {
	w.t.Helper()
	var token string
	_, err := w.db.Tx(w.t.Context(), "test", func(tx *store.Tx) (err error) {
		u := &model.User{ID: model.UserID{}.New(), Email: email}
		o, err := tx.GetOrganizationByName(w.t.Context(), org)
		if err != nil {
			return err
		}
		if err := errors.Join(tx.CreateUser(w.t.Context(), u), tx.CreateMembership(w.t.Context(), &model.Membership{Org: o.ID, User: u.ID, Roles: []model.RoleID{role}})); err != nil {
			return err
		}
		token, _, err = w.api.Admin.NewSession(w.t.Context(), tx, admin.SignIn{User: u.ID, AMR: []string{"pwd"}})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

func (w *world) orgID(name string) model.OrgID {
	w.t.Helper()
	var id model.OrgID
	if err := w.db.View(w.t.Context(), func(tx *store.Tx) error {
		o, err := tx.GetOrganizationByName(w.t.Context(), name)
		if err == nil {
			id = o.ID
		}
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return id
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
	w.must(201, "POST", org+"/policies", `{"name":"guard"}`)
	guard := id(org + "/policies/guard")
	site, service, connector := id(org+"/sites/home"), id(org+"/services/wiki"), id(org+"/connectors/box")
	const own = "/api/v1/orgs/stranger"
	for _, c := range []struct{ path, body, location string }{
		{own + "/services", `{"name":"s","kind":"http","hostname":"s.example.net","pool":"default","policy":"` + guard + `"}`, "body.policy"},
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

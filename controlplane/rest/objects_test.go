package rest

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/audit"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/jointoken"
)

// certificate is the id of the only certificate.
func (w *world) certificate() string {
	w.t.Helper()
	ids := w.certificates()
	if len(ids) != 1 {
		w.t.Fatalf("%d certificates, want 1", len(ids))
	}
	for id := range ids {
		return id
	}
	return ""
}

// certificates are the names of each certificate, by id.
func (w *world) certificates() map[string]string {
	w.t.Helper()
	var page struct {
		Items []struct {
			ID    string
			Names []string
		}
	}
	w.must(200, "GET", org+"/certificates", "").into(w.t, &page)
	out := map[string]string{}
	for _, c := range page.Items {
		out[c.ID] = strings.Join(c.Names, " ")
	}
	return out
}

type token struct {
	ID, Kind, Subject, Token string
	ExpiresAt                time.Time  `json:"expires_at"`
	UsedAt                   *time.Time `json:"used_at"`
}

func (w *world) token(body string) (t token) {
	w.t.Helper()
	w.must(201, "POST", "/api/v1/join-tokens", body).into(w.t, &t)
	return t
}

func TestPutWritesOnlyWhatDiffers(t *testing.T) {
	w := newWorld(t)
	w.service()
	for _, c := range []struct{ path, body, other string }{
		{"/api/v1/nodes/n2", `{"pool":"default","addresses":["2001:db8::1","192.0.2.1"]}`, `{"pool":"default","addresses":["192.0.2.2"]}`},
		{org + "/sites/s", `{"pool":"default"}`, `{"pool":"default","tunnels":4}`},
		{org + "/domains/example.net", `{"pool":"default"}`, ""},
		{org + "/connectors/c", `{"site":"home"}`, `{"name":"c","site":"s"}`},
		{org + "/services/s", `{"kind":"http","hostname":"*.example.net","pool":"default"}`, `{"kind":"tls","hostname":"s.example.net","pool":"default"}`},
		{org + "/services/db", `{"kind":"tcp","ports":"5432","pool":"default","allow":["2001:db8::/32","192.0.2.1","10.0.0.0/8","10.0.0.0/8"],"proxy_protocol":2}`, `{"kind":"udp","ports":"5432-5440","pool":"default"}`},
		{org + "/targets/checked", `{"service":"wiki","site":"home","address":"db.internal","port":80,"health_check":{"kind":"http","path":"/up","headers":{"x-probe":"1"},"expected_statuses":["200-299","300-399","404"],"interval":"5s"}}`,
			`{"service":"wiki","site":"home","address":"db.internal","port":80,"health_check":{"kind":"tcp"}}`},
		{org + "/targets/t", `{"service":"wiki","site":"home","address":"db.internal","port":80,"path_prefix":"/a"}`, `{"service":"wiki","site":"home","address":"10.1.1.1","port":80}`},
		{"/api/v1/regions/r", `{}`, ""},
		{"/api/v1/pools/p", `{}`, ""},
		{"/api/v1/organizations/o", `{}`, ""},
	} {
		made := w.must(201, "PUT", c.path, c.body)
		if made.revision == 0 {
			t.Errorf("%s: no revision", c.path)
		}
		again := w.must(200, "PUT", c.path, c.body)
		if again.holds != uint64(w.head()) {
			t.Errorf("%s: the same again is to be waited for at revision %d of %d", c.path, again.holds, w.head())
		}
		if again.revision != 0 || !bytes.Equal(again.body, made.body) {
			t.Errorf("%s: the same again made revision %d: %s, then %s", c.path, again.revision, made.body, again.body)
		}
		if got := w.must(200, "GET", c.path, ""); !bytes.Equal(lasting(got.body), lasting(made.body)) {
			t.Errorf("%s: reads %s, was written as %s", c.path, got.body, made.body)
		}
		var o struct{ ID string }
		made.into(t, &o)
		byID := c.path[:strings.LastIndexByte(c.path, '/')+1] + o.ID
		if r := w.must(200, "PUT", byID, c.body); !bytes.Equal(r.body, made.body) {
			t.Errorf("%s: written by its id %s", c.path, r.body)
		}
		if c.other != "" {
			if r := w.must(200, "PUT", c.path, c.other); r.revision <= made.revision {
				t.Errorf("%s: a change made revision %d after %d", c.path, r.revision, made.revision)
			}
		}
		if r := w.must(204, "DELETE", c.path, ""); c.path != org+"/domains/example.net" && r.revision == 0 {
			t.Errorf("%s: removed without a revision", c.path)
		}
		w.must(404, "DELETE", c.path, "")
		if strings.HasSuffix(c.path, "example.net") || strings.HasSuffix(c.path, "/s") && strings.Contains(c.path, "sites") {
			w.must(201, "PUT", c.path, c.body) // the next ones need it
		}
	}
}

func TestACertificateLivesAsLongAsItsHostname(t *testing.T) {
	w := newWorld(t)
	w.must(201, "POST", org+"/domains", `{"name":"example.com","pool":"default"}`)
	made := w.must(201, "PUT", org+"/services/wiki", `{"kind":"http","hostname":"a.example.com","pool":"default"}`)
	first := w.certificate()
	// One revision carries both: no node ever has a route whose certificate is still to come.
	b, err := w.db.Changes(t.Context(), model.Revision(made.revision-1), 100)
	if err != nil || len(b.Services) != 1 || len(b.Certificates) != 1 || b.To != model.Revision(made.revision) {
		t.Errorf("revision %d: %+v, %v", made.revision, b, err)
	}
	w.must(200, "PUT", org+"/services/wiki", `{"kind":"http","hostname":"b.example.com","pool":"default"}`)
	if second := w.certificate(); second == first || w.certificates()[second] != "b.example.com" {
		t.Errorf("after the move: %v", w.certificates())
	}
	if r := w.call("DELETE", org+"/certificates/"+w.certificate(), ""); r.status != http.StatusConflict {
		t.Errorf("a certificate in use: %d %s", r.status, r.body)
	}
	w.must(200, "PUT", org+"/services/wiki", `{"kind":"tls","hostname":"b.example.com","pool":"default"}`)
	if got := w.certificates(); len(got) != 0 {
		t.Errorf("passed through, with %v", got)
	}
	w.must(200, "PUT", org+"/services/wiki", `{"kind":"tls","hostname":"b.example.com","pool":"default","terminate":true}`)
	ended := w.certificate()
	w.must(200, "PUT", org+"/services/wiki", `{"kind":"tcp","ports":"5432","pool":"default"}`)
	if got := w.certificates(); len(got) != 0 {
		t.Errorf("at a port, with %v", got)
	}
	w.must(200, "PUT", org+"/services/wiki", `{"kind":"http","hostname":"b.example.com","pool":"default"}`)
	if w.certificate() == ended {
		t.Error("a certificate came back")
	}
	var c map[string]any
	w.must(200, "GET", org+"/certificates/"+w.certificate(), "").into(t, &c)
	for field := range c {
		if strings.Contains(field, "key") {
			t.Errorf("shows %s", field)
		}
	}
	w.must(204, "DELETE", org+"/services/wiki", "")
	if got := w.certificates(); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestJoinTokens(t *testing.T) {
	w := newWorld(t)
	w.service()
	first := w.token(`{"node":"n1"}`)
	if first.Kind != "node" || first.Subject != "n1" || time.Until(first.ExpiresAt) > 10*time.Minute {
		t.Errorf("%+v", first)
	}
	if r := w.must(200, "GET", "/api/v1/join-tokens/"+first.ID, ""); bytes.Contains(r.body, []byte("wjt1")) {
		t.Errorf("shown twice: %s", r.body)
	}
	second := w.token(`{"node":"n1"}`)
	w.must(404, "GET", "/api/v1/join-tokens/"+first.ID, "") // void
	used := func(text string) error {
		parsed, err := jointoken.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.db.Tx(t.Context(), "test", func(tx *store.Tx) error {
			_, err := tx.UseJoinToken(t.Context(), parsed.Hash(), time.Now())
			return err
		})
		return err
	}
	if used(first.Token) == nil {
		t.Error("a token was good although a newer one was made")
	}
	if err := used(second.Token); err != nil {
		t.Error(err)
	}
	if used(second.Token) == nil {
		t.Error("a token was good twice")
	}
	if c := w.token(`{"organization":"default","connector":"box"}`); c.Kind != "connector" || c.Subject != "box" {
		t.Errorf("%+v", c)
	}
}

// Who may enroll connectors of an organization sees their tokens and who made them, none of another one or of nodes, and revokes
// them; one that was used is told apart.
func TestJoinTokensOfAnOrganization(t *testing.T) {
	w := newWorld(t)
	w.service()
	w.must(201, "POST", "/api/v1/organizations", `{"name":"acme"}`)
	w.must(201, "POST", "/api/v1/orgs/acme/sites", `{"name":"far","pool":"default"}`)
	w.must(201, "POST", "/api/v1/orgs/acme/connectors", `{"name":"other","site":"far"}`)
	node, other := w.token(`{"node":"n1"}`), w.token(`{"organization":"acme","connector":"other"}`)
	member, viewer := w.signIn("ann@example.com", "default", model.RoleMember), w.signIn("vic@example.com", "default", model.RoleViewer)
	var mine admin.JoinToken
	if r := w.as(member, "POST", "/api/v1/join-tokens", `{"organization":"default","connector":"box"}`); r.status != 201 {
		t.Fatalf("%d %s", r.status, r.body)
	} else if r.into(t, &mine); mine.State != "good" || mine.CreatedBy != "ann@example.com" || mine.Organization != "default" || mine.Site != "home" {
		t.Errorf("%+v", mine)
	}
	const at = org + "/connector-join-tokens"
	for _, who := range []string{member, viewer} {
		r := w.as(who, "GET", at, "")
		var all struct{ Items []admin.JoinToken }
		if r.into(t, &all); len(all.Items) != 1 || all.Items[0].ID != mine.ID || all.Items[0].CreatedBy != "ann@example.com" || bytes.Contains(r.body, []byte("wjt1")) {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	for _, id := range []string{node.ID, other.ID} {
		for _, method := range []string{"GET", "DELETE"} {
			if r := w.as(member, method, at+"/"+id, ""); r.status != 404 {
				t.Errorf("%s of one that is not theirs: %d %s", method, r.status, r.body)
			}
		}
	}
	if r := w.as(viewer, "DELETE", at+"/"+mine.ID, ""); r.status != 403 {
		t.Errorf("a viewer: %d %s", r.status, r.body)
	}
	if r := w.as(member, "DELETE", at+"/"+mine.ID, ""); r.status != 204 {
		t.Errorf("%d %s", r.status, r.body)
	}
	w.must(404, "GET", "/api/v1/join-tokens/"+mine.ID, "")
	parsed, err := jointoken.Parse(other.Token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.Tx(t.Context(), "test", func(tx *store.Tx) error {
		_, err := tx.UseJoinToken(t.Context(), parsed.Hash(), time.Now())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var was admin.JoinToken
	if w.must(200, "GET", "/api/v1/orgs/acme/connector-join-tokens/"+other.ID, "").into(t, &was); was.State != "used" || was.UsedAt == nil {
		t.Errorf("%+v", was)
	}
	for _, path := range []string{"/api/v1/orgs/acme/connector-join-tokens/", "/api/v1/join-tokens/"} {
		if r := w.must(409, "DELETE", path+other.ID, ""); !bytes.Contains(r.body, []byte("revoke the connector other instead")) {
			t.Errorf("%s", r.body)
		}
	}
	var log struct{ Items []audit.Entry }
	w.must(200, "GET", org+"/audit?page_size=200", "").into(t, &log)
	var done []string
	for _, e := range log.Items {
		if e.Object == mine.ID {
			done = append(done, e.Action+" "+e.Result+" "+e.ActorName)
		}
	}
	if want := []string{"join-token.create done ann@example.com", "join-token.delete done ann@example.com"}; !slices.Equal(done, want) {
		t.Errorf("%q, want %q", done, want)
	}
}

func TestRevokedIsForGood(t *testing.T) {
	w := newWorld(t)
	w.service()
	node, box := w.token(`{"node":"n1"}`), w.token(`{"organization":"default","connector":"box"}`)
	for _, c := range []struct{ path, id, subject string }{
		{"/api/v1/nodes/n1", node.ID, `{"node":"n1"}`},
		{org + "/connectors/box", box.ID, `{"organization":"default","connector":"box"}`},
	} {
		var o struct {
			RevokedAt *time.Time `json:"revoked_at"`
			Enrolled  bool
		}
		r := w.must(200, "POST", c.path+"/revoke", "")
		if r.into(t, &o); o.RevokedAt == nil || o.Enrolled || r.revision == 0 {
			t.Errorf("%s: %s", c.path, r.body)
		}
		if again := w.must(200, "POST", c.path+"/revoke", ""); again.revision != 0 {
			t.Errorf("%s: revoked twice", c.path)
		}
		w.must(404, "GET", "/api/v1/join-tokens/"+c.id, "")
		w.must(409, "POST", "/api/v1/join-tokens", c.subject)
	}
}

func TestDrain(t *testing.T) {
	w := newWorld(t)
	w.service()
	for _, c := range []struct{ verb, lifecycle string }{{"drain", "draining"}, {"activate", "active"}} {
		var n struct{ Lifecycle string }
		r := w.must(200, "POST", "/api/v1/nodes/n1/"+c.verb, "")
		if r.into(t, &n); n.Lifecycle != c.lifecycle || r.revision == 0 {
			t.Errorf("%s: %s", c.verb, r.body)
		}
		if r := w.must(200, "POST", "/api/v1/nodes/n1/"+c.verb, ""); r.revision != 0 {
			t.Errorf("%s twice made a revision", c.verb)
		}
	}
}

func TestAPIKeysEnd(t *testing.T) {
	w := newWorld(t)
	past := time.Now().Add(-time.Minute).UTC()
	body := `{"name":"old","expires_at":"` + past.Format(time.RFC3339) + `"}`
	if r := w.must(422, "POST", "/api/v1/api-keys", body); !slices.Equal(r.locations(t), []string{"body.expires_at"}) {
		t.Errorf("a key that has ended before it begins: %s", r.body)
	}
	var k struct{ ID, Secret string }
	w.must(201, "POST", "/api/v1/api-keys", `{"name":"old","expires_at":"2999-01-01T00:00:00Z"}`).into(t, &k)
	w.expire(k.ID, past)
	if r := w.as(k.Secret, "GET", "/api/v1/pools", ""); r.status != http.StatusUnauthorized {
		t.Errorf("an expired key: %d", r.status)
	}
	var never struct{ Secret string }
	w.must(201, "POST", "/api/v1/api-keys", `{"name":"gone"}`).into(t, &never)
	w.must(204, "DELETE", "/api/v1/api-keys/gone", "")
	if r := w.as(never.Secret, "GET", "/api/v1/pools", ""); r.status != http.StatusUnauthorized {
		t.Errorf("a removed key: %d", r.status)
	}
	if r := w.must(200, "GET", "/api/v1/api-keys", ""); bytes.Contains(r.body, []byte("wrn_")) {
		t.Errorf("the list shows secrets: %s", r.body)
	}
}

func TestAPIKeysChange(t *testing.T) {
	w := newWorld(t)
	type key struct {
		ID, Name, Organization, Secret string
		ExpiresAt                      *time.Time `json:"expires_at"`
	}
	var made, now key
	w.must(201, "POST", "/api/v1/api-keys", `{"name":"ci","organization":"default"}`).into(t, &made)
	end := time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)
	const until = `{"name":"ci","expires_at":"2999-01-01T00:00:00Z"}`
	r := w.must(200, "PUT", "/api/v1/api-keys/ci", until)
	if r.into(t, &now); now.ExpiresAt == nil || !now.ExpiresAt.Equal(end) || now.Organization != "default" || now.ID != made.ID || now.Secret != "" {
		t.Errorf("%s", r.body)
	}
	if r.header.Get("X-Warren-Unchanged") != "" || r.header.Get("X-Warren-Revision") != "" {
		t.Errorf("changed: %v", r.header)
	}
	if r := w.must(200, "PUT", "/api/v1/api-keys/ci", until); r.header.Get("X-Warren-Unchanged") != "true" {
		t.Errorf("the same again: %v", r.header)
	}
	r = w.must(200, "PUT", "/api/v1/api-keys/"+made.ID, `{"name":"deploy"}`)
	now = key{}
	if r.into(t, &now); now.Name != "deploy" || now.ExpiresAt != nil {
		t.Errorf("%s", r.body)
	}
	if r := w.as(made.Secret, "GET", org+"/sites", ""); r.status != http.StatusOK {
		t.Errorf("the secret is another one now: %d", r.status)
	}
	w.must(404, "PUT", "/api/v1/api-keys/nowhere", `{}`)
	w.must(201, "POST", "/api/v1/api-keys", `{"name":"taken","organization":"default"}`)
	for body, tc := range map[string]struct {
		status   int
		location string
	}{
		`{"expires_at":"2020-01-01T00:00:00Z"}`: {422, "body.expires_at"},
		`{"expires_at":"soon"}`:                 {422, "body.expires_at"},
		`{"organization":"default"}`:            {422, "body.organization"},
		`{"secret":"wrn_key"}`:                  {422, "body.secret"},
		`{"name":"Déploy"}`:                     {422, "body.name"},
		`{"name":"taken"}`:                      {409, "body.name"},
	} {
		if r := w.must(tc.status, "PUT", "/api/v1/api-keys/"+made.ID, body); !slices.Equal(r.locations(t), []string{tc.location}) {
			t.Errorf("%s: %s", body, r.body)
		}
	}
	if r := w.must(422, "PUT", "/api/v1/api-keys/deploy", `{"name":"other"}`); !slices.Equal(r.locations(t), []string{"body.name"}) {
		t.Errorf("%s", r.body)
	}
	// One that has ended can still be told apart by another name.
	past := time.Now().Add(-time.Minute).UTC().Truncate(time.Second)
	w.expire(made.ID, past)
	w.must(200, "PUT", "/api/v1/api-keys/"+made.ID, `{"name":"ended","expires_at":"`+past.Format(time.RFC3339)+`"}`)
}

// expire ends a key as time would.
func (w *world) expire(id string, at time.Time) {
	w.t.Helper()
	key, err := model.APIKeyID{}.Parse(id)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = w.db.Tx(w.t.Context(), "test", func(tx *store.Tx) error {
		v, err := tx.GetAPIKey(w.t.Context(), key)
		if err != nil {
			return err
		}
		v.Expires = at
		_, err = tx.UpdateAPIKey(w.t.Context(), v)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// Whoever lost a key must be able to find and end it, also one that is good for an organization only.
func TestAPIKeysOfOrganizationsAreFound(t *testing.T) {
	w := newWorld(t)
	secret := w.orgKey("acme") // named as its organization
	w.must(201, "POST", "/api/v1/api-keys", `{"name":"ci"}`)
	w.must(201, "POST", "/api/v1/api-keys", `{"name":"ci","organization":"acme"}`)
	type key struct{ ID, Name, Organization string }
	var all []key
	for path := "/api/v1/api-keys?page_size=3"; path != ""; {
		var p struct {
			Items []key
			Next  string `json:"next_page_token"`
		}
		w.must(200, "GET", path, "").into(t, &p)
		all = append(all, p.Items...)
		if path = ""; p.Next != "" {
			path = "/api/v1/api-keys?page_size=3&page_token=" + p.Next
		}
	}
	var listed []string
	for _, k := range all {
		listed = append(listed, k.Organization+"/"+k.Name)
	}
	if want := []string{"/bootstrap", "acme/acme", "/ci", "acme/ci"}; !slices.Equal(listed, want) {
		t.Fatalf("lists %q, want %q", listed, want)
	}
	w.must(409, "DELETE", "/api/v1/api-keys/ci", "") // which one?
	w.must(204, "DELETE", "/api/v1/api-keys/"+all[3].ID, "")
	w.must(204, "DELETE", "/api/v1/api-keys/ci", "")
	w.must(204, "DELETE", "/api/v1/api-keys/acme", "")
	w.must(404, "GET", "/api/v1/api-keys/acme", "")
	if r := w.as(secret, "GET", "/api/v1/pools", ""); r.status != http.StatusUnauthorized {
		t.Errorf("a removed key: %d", r.status)
	}
}

package rest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

func TestPolicies(t *testing.T) {
	w := newWorld(t)
	w.service()
	const path = org + "/policies/staff"
	w.must(201, "POST", org+"/policies", `{"name":"staff","rules":[
		{"action":"deny","unless":{"countries":["CH"]}},
		{"action":"allow","paths":["/public/**"],"networks":["192.0.2.7"]},
		{"action":"authenticate","headers":[{"name":"X-A","values":["b"]}],"windows":[{"days":["mon"],"from":"08:00","to":"17:00","zone":"Europe/Zurich"}],"asns":[64500]}],
		"auth":{"sign_in":{"groups":["ops"]},"mail_code":["*@example.org"],"pin":{"code":"123456"},"basic":[{"user":"ada","password":"lovelace1"}]}}`)
	// What is written back as it was shown changes nothing, and keeps what is not shown.
	shown := w.must(200, "GET", path, "")
	for _, secret := range []string{"123456", "lovelace", "argon2"} {
		if strings.Contains(string(shown.body), secret) {
			t.Errorf("shown: %s", shown.body)
		}
	}
	if !strings.Contains(string(shown.body), `"192.0.2.7/32"`) {
		t.Errorf("shown: %s", shown.body)
	}
	again := `{"rules":[
		{"action":"deny","unless":{"countries":["CH"]}},
		{"action":"allow","paths":["/public/**"],"networks":["192.0.2.7/32"]},
		{"action":"authenticate","headers":[{"name":"X-A","values":["b"]}],"windows":[{"days":["mon"],"from":"08:00","to":"17:00","zone":"Europe/Zurich"}],"asns":[64500]}],
		"otherwise":"deny","auth":{"sign_in":{"groups":["ops"]},"mail_code":["*@example.org"],"pin":{%s},"basic":[{"user":"ada"}]}}`
	for _, pin := range []string{``, `"code":"123456"`} {
		if r := w.must(200, "PUT", path, strings.Replace(again, "%s", pin, 1)); r.header.Get("X-Warren-Unchanged") != "true" {
			t.Errorf("pin %q: it counts as changed", pin)
		}
	}
	if r := w.must(200, "PUT", path, strings.Replace(again, "%s", `"code":"654321"`, 1)); r.header.Get("X-Warren-Unchanged") == "true" {
		t.Error("another PIN counts as the same")
	}

	w.must(200, "PUT", org+"/services/wiki", `{"kind":"http","hostname":"wiki.example.com","pool":"default","policy":"staff"}`)
	var s struct{ Policy string }
	if w.must(200, "GET", org+"/services/wiki", "").into(t, &s); s.Policy != "staff" {
		t.Errorf("the service has policy %q", s.Policy)
	}
	if r := w.must(409, "DELETE", path, ""); !strings.Contains(string(r.body), "wiki") {
		t.Errorf("%s", r.body)
	}
	w.must(200, "PUT", org+"/services/wiki", `{"kind":"http","hostname":"wiki.example.com","pool":"default"}`)
	w.must(204, "DELETE", path, "")
}

func TestPolicyErrorsNameTheField(t *testing.T) {
	w := newWorld(t)
	for body, want := range map[string]string{
		`{"rules":[{"action":"deny"},{"action":"deny"},{"action":"deny","networks":["10.0.0.1/8"]}]}`: "body.rules[2].networks[0]",
		`{"rules":[{"action":"deny","unless":{"paths":["x"]}}]}`:                                      "body.rules[0].unless.paths[0]",
		`{"rules":[{"action":"authenticate"}]}`:                                                       "body.rules[0].action",
		`{"otherwise":"authenticate"}`:                                                                "body.otherwise",
		`{"auth":{"pin":{}}}`:                                                                         "body.auth.pin.code",
		`{"auth":{"pin":{"code":"12345"}}}`:                                                           "body.auth.pin.code",
		`{"auth":{"basic":[{"user":"a","password":"short"}]}}`:                                        "body.auth.basic[0].password",
		`{"auth":{"sign_in":{}}}`:                                                                     "body.auth.sign_in",
		`{"auth":{"client_certificate":{"authorities_pem":"x"}}}`:                                     "body.auth.client_certificate.authorities_pem",
	} {
		r := w.call("PUT", org+"/policies/p", body)
		if at := r.locations(t); r.status != 422 || len(at) != 1 || at[0] != want {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
}

// A policy is for services of which nodes can tell what it asks.
func TestPoliciesOfRawServices(t *testing.T) {
	w := newWorld(t)
	w.must(201, "PUT", org+"/policies/places", `{"rules":[{"action":"allow","countries":["CH"],"networks":["192.0.2.0/24"]}]}`)
	w.must(201, "PUT", org+"/policies/paths", `{"rules":[{"action":"deny","paths":["/admin/**"]}],"otherwise":"allow"}`)
	w.must(201, "PUT", org+"/policies/pin", `{"otherwise":"authenticate","auth":{"pin":{"code":"123456"}}}`)
	service := func(policy string) reply {
		return w.call("PUT", org+"/services/db", `{"kind":"tcp","ports":"5432","pool":"default","policy":"`+policy+`"}`)
	}
	for _, p := range []string{"paths", "pin", "nowhere"} {
		if r := service(p); r.status != 422 || r.locations(t)[0] != "body.policy" {
			t.Errorf("%s: %d %s", p, r.status, r.body)
		}
	}
	if r := service("places"); r.status != 201 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := w.call("PUT", org+"/policies/places", `{"rules":[{"action":"allow","methods":["GET"]}]}`); r.status != 422 || !strings.Contains(string(r.body), "db") {
		t.Errorf("a policy becomes what its service can't have: %d %s", r.status, r.body)
	}
}

// T36, T37: a policy of another organization can't be named, nor seen, nor what belongs to it.
func TestT37PoliciesOfOthers(t *testing.T) {
	w := newWorld(t)
	key := w.orgKey("other")
	var p struct{ ID string }
	w.must(201, "PUT", org+"/policies/staff", `{"otherwise":"allow"}`).into(t, &p)
	var link struct{ ID string }
	w.must(201, "POST", org+"/policies/staff/links", `{}`).into(t, &link)
	const own = "/api/v1/orgs/other"
	for _, ref := range []string{p.ID, "staff"} {
		r := w.as(key, "PUT", own+"/services/db", `{"kind":"tcp","ports":"5432","pool":"default","policy":"`+ref+`"}`)
		if r.status != 422 || r.locations(t)[0] != "body.policy" || !strings.Contains(string(r.body), "does not exist") {
			t.Errorf("%s: %d %s", ref, r.status, r.body)
		}
		for method, path := range map[string]string{"GET": "/policies/" + ref, "DELETE": "/policies/" + ref, "POST": "/policies/" + ref + "/links"} {
			if r := w.as(key, method, own+path, "{}"); r.status != 404 {
				t.Errorf("%s %s: %d %s", method, path, r.status, r.body)
			}
		}
		if r := w.as(key, "DELETE", own+"/policies/"+ref+"/links/"+link.ID, ""); r.status != 404 {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	// By one's own policy, another's link.
	w.must(201, "PUT", own+"/policies/mine", `{"otherwise":"allow"}`)
	if r := w.as(key, "DELETE", own+"/policies/mine/links/"+link.ID, ""); r.status != 404 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestShareLinksAndServiceTokens(t *testing.T) {
	w := newWorld(t)
	w.must(201, "PUT", org+"/policies/staff", `{"otherwise":"authenticate","auth":{"pin":{"code":"123456"}}}`)
	w.must(201, "POST", org+"/services", `{"name":"db","kind":"udp","ports":"5432","pool":"default"}`)
	const path = org + "/policies/staff"
	var link struct {
		ID, Path string
		Uses     int
	}
	w.must(201, "POST", path+"/links", `{"title":"for Bob","max_uses":2}`).into(t, &link)
	if !strings.HasPrefix(link.Path, "/?warren_share=") || len(link.Path) != len("/?warren_share=")+43 {
		t.Errorf("path %q", link.Path)
	}
	var token struct{ ID, Name, Secret string }
	w.must(201, "POST", path+"/tokens", `{"name":"probe","expires_at":"2100-01-01T00:00:00Z"}`).into(t, &token)
	if len(token.Secret) != 43 {
		t.Errorf("token %+v", token)
	}
	for _, list := range []string{"/links", "/tokens"} {
		if r := w.must(200, "GET", path+list, ""); strings.Contains(string(r.body), link.Path) || strings.Contains(string(r.body), token.Secret) {
			t.Errorf("shown again: %s", r.body)
		}
	}
	w.must(409, "POST", path+"/tokens", `{"name":"probe"}`)
	if r := w.call("POST", path+"/links", `{"expires_at":"2020-01-01T00:00:00Z"}`); r.status != 422 || r.locations(t)[0] != "body.expires_at" {
		t.Errorf("%d %s", r.status, r.body)
	}

	// Uses are counted for all nodes together, for those whose services know the link.
	id, err := model.ShareLinkID{}.Parse(link.ID)
	if err != nil {
		t.Fatal(err)
	}
	var pool struct{ ID string }
	w.must(200, "GET", "/api/v1/pools/default", "").into(t, &pool)
	in, err := model.PoolID{}.Parse(pool.ID)
	if err != nil {
		t.Fatal(err)
	}
	use := func() (ok bool) {
		if _, err := w.db.Tx(t.Context(), "test", func(tx *store.Tx) (err error) {
			ok, err = tx.UseShareLink(t.Context(), id, in)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if use() {
		t.Error("a pool whose services do not know the link uses it")
	}
	w.must(201, "POST", org+"/domains", `{"name":"example.com","pool":"default"}`)
	w.must(201, "POST", org+"/services", `{"name":"wiki","kind":"http","hostname":"wiki.example.com","pool":"default","policy":"staff"}`)
	before := w.head()
	if first, second, third := use(), use(), use(); !first || !second || third {
		t.Error("a link for two uses is not good for two")
	}
	if after := w.head(); after != before {
		t.Errorf("a use makes revision %d of %d", after, before)
	}
	var links struct{ Items []struct{ Uses int } }
	if w.must(200, "GET", path+"/links", "").into(t, &links); len(links.Items) != 1 || links.Items[0].Uses != 2 {
		t.Errorf("%+v", links)
	}
	w.must(204, "DELETE", path+"/links/"+link.ID, "")
	w.must(404, "DELETE", path+"/links/"+link.ID, "")
	w.must(204, "DELETE", path+"/tokens/probe", "")
	if w.head() <= before {
		t.Error("a revoked link is no change")
	}
}

func TestExplainRefusesNonsense(t *testing.T) {
	w := newWorld(t)
	w.service()
	for query, status := range map[string]int{
		"url=http://wiki.example.com/": 422, "url=wiki": 422, "url=https://wiki.example.com/&from=x": 422, "url=https://wiki.example.com/&method=get": 422,
		"url=https://wiki.example.com/&at=x": 422, "url=https://nobody.example.org/": 404, "": 422,
	} {
		if r := w.call("GET", org+"/explain?"+query, ""); r.status != status {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		}
	}
	stranger := w.orgKey("stranger")
	for _, path := range []string{org + "/explain?url=https://wiki.example.com/", "/api/v1/orgs/stranger/explain?url=https://wiki.example.com/"} {
		if r := w.as(stranger, "GET", path, ""); r.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}

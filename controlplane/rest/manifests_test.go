package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// everything is a manifest of each kind that files can make, with all that it may say but secrets of others.
const everything = `[
{"kind":"Organization","metadata":{"name":"acme","labels":{"tier":"gold"}}},
{"kind":"Region","metadata":{"name":"eu","labels":{"example.org/continent":"europe"}}},
{"kind":"Pool","metadata":{"name":"edge"}},
{"kind":"Node","metadata":{"name":"n1","labels":{"rack":"r1"}},"spec":{"pool":"edge","region":"eu","addresses":["192.0.2.1","2001:db8::1"],"wireguard_endpoint":"n1.example.net:51820","capacity":50}},
{"kind":"Node","metadata":{"name":"n2"},"spec":{"pool":"edge"}},
{"kind":"Domain","metadata":{"name":"example.org"},"spec":{"pool":"edge"}},
{"kind":"Site","metadata":{"name":"office"},"spec":{"pool":"edge","region":"eu","tunnels":2,"carrier":"stream","publish":{"hostnames":["*.example.org"],"ports":["6000-6010"]}}},
{"kind":"Site","metadata":{"name":"dc"},"spec":{"pool":"edge","kind":"local","nodes":["n1"]}},
{"kind":"Site","metadata":{"name":"router"},"spec":{"pool":"edge","kind":"wireguard","wireguard_public_key":"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="}},
{"kind":"Connector","metadata":{"name":"c1"},"spec":{"site":"office"}},
{"kind":"Policy","metadata":{"name":"staff"},"spec":{"otherwise":"authenticate","rules":[{"action":"deny","networks":["192.0.2.0/24"],"unless":{"paths":["/open/**"]}}],
	"auth":{"pin":{"code":"123456"},"password":{"secret":"long enough"},"basic":[{"user":"u","password":"long enough"}],"sign_in":{"members":true}}}},
{"kind":"Service","metadata":{"name":"wiki","labels":{"env":"prod"}},"spec":{"kind":"http","hostname":"wiki.example.org","pool":"edge","policy":"staff"}},
{"kind":"Service","metadata":{"name":"db"},"spec":{"kind":"tcp","pool":"edge","ports":"5432","allow":["198.51.100.0/24"],"proxy_protocol":2}},
{"kind":"Target","metadata":{"name":"wiki-1"},"spec":{"service":"wiki","site":"office","address":"10.0.0.1","port":80,"health_check":{"kind":"http","path":"/up"}}},
{"kind":"Target","metadata":{"name":"wiki-2"},"spec":{"service":"wiki","site":"router","port":80,"path_prefix":"/b"}},
{"kind":"Issuer","metadata":{"name":"le"},"spec":{"directory_url":"https://acme.example.org/directory","contacts":["ops@example.org"],"rank":7,"profiles":{"default":"classic"},"limits":{"new_orders":10},"eab":{"key_id":"k","hmac_key":"c2VjcmV0c2VjcmV0c2VjcmV0"}}},
{"kind":"ClusterRole","metadata":{"name":"watcher"},"spec":{"permissions":["nodes:read"]}},
{"kind":"User","metadata":{"name":"ann@example.org"},"spec":{"display_name":"Ann","cluster_role":"watcher"}},
{"kind":"Role","metadata":{"name":"dev"},"spec":{"permissions":["sites:read"]}},
{"kind":"Member","metadata":{"name":"ann@example.org","labels":{"team":"a"}},"spec":{"roles":["dev"]}},
{"kind":"IdentityProvider","metadata":{"name":"corp"},"spec":{"issuer":"https://id.example.org","client_id":"w","client_secret":"hush hush","provision":true,"rules":[{"role":"member"}]}},
{"kind":"ClusterIdentityProvider","metadata":{"name":"ops"},"spec":{"issuer":"https://id2.example.org","client_id":"w"}},
{"kind":"Group","metadata":{"name":"writers"},"spec":{"users":["ann@example.org"]}},
{"kind":"ServiceAccount","metadata":{"name":"ci"},"spec":{"roles":["viewer"]}},
{"kind":"Webhook","metadata":{"name":"hook","labels":{"a":"b"}},"spec":{"url":"https://hooks.example.org/x","enabled":false}},
{"kind":"ClusterWebhook","metadata":{"name":"hook"},"spec":{"url":"https://hooks.example.org/y","events":["certificate.failed"]}},
{"kind":"AlertRule","metadata":{"name":"slow","labels":{"a":"b"}},"spec":{"kind":"error_rate","percent":2.5,"window":"10m","mail":["ops@example.org"]}},
{"kind":"ClusterAlertRule","metadata":{"name":"nodes"},"spec":{"kind":"node_down","for":"2m"}}
]`

const applyAt, exportAt = "/api/v1/orgs/default/manifests/apply", "/api/v1/orgs/default/manifests"

func documents(docs string) string { return `{"documents":` + docs + `}` }

func (w *world) apply(status int, query, body string) (out Applied, r reply) {
	w.t.Helper()
	r = w.must(status, http.MethodPost, applyAt+query, body)
	if status == 200 {
		r.into(w.t, &out)
	}
	return out, r
}

func (w *world) export(query string) (docs []Manifest) {
	w.t.Helper()
	var out page[Manifest]
	w.must(200, http.MethodGet, exportAt+query, "").into(w.t, &out)
	return out.Items
}

// What is exported applies again and changes nothing, whatever the kind; and so does what it was made from.
func TestExportAppliesAgain(t *testing.T) {
	w := newWorld(t)
	first, _ := w.apply(200, "", documents(everything))
	kinds := map[string]bool{}
	for _, o := range first.Objects {
		if kinds[o.Kind] = true; !o.Created || !o.Changed {
			t.Errorf("%s %s: created %v, changed %v", o.Kind, o.Name, o.Created, o.Changed)
		}
		if o.Kind == "Webhook" && !strings.HasPrefix(o.Secret, "whsec_") {
			t.Errorf("webhook's secret: %q", o.Secret)
		}
	}
	for _, d := range w.api.kinds {
		if !kinds[d.name] && d.name != "APIKey" {
			t.Errorf("no %s in the test", d.name)
		}
	}
	exported := w.export("")
	b, err := json.Marshal(exported)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"123456", "long enough", "c2VjcmV0", "hush", "whsec", "argon2"} {
		if strings.Contains(string(b), secret) {
			t.Errorf("exported: %q", secret)
		}
	}
	for what, docs := range map[string]string{"exported": string(b), "first": everything} {
		for _, query := range []string{"?dry_run=true", ""} {
			again, r := w.apply(200, query, documents(docs))
			for _, o := range again.Objects {
				if o.Changed {
					t.Errorf("%s%s: %s %s changed: %+v -> %+v", what, query, o.Kind, o.Name, o.Before, o.After)
				}
			}
			if r.header.Get("X-Warren-Unchanged") != "true" || r.revision != 0 {
				t.Errorf("%s%s: %v", what, query, r.header)
			}
		}
	}
	if got := w.export("?kind=Service&label=env=prod"); len(got) != 1 || got[0].Metadata.Name != "wiki" || got[0].Metadata.Labels["env"] != "prod" {
		t.Errorf("by label: %+v", got)
	}
}

// All documents or none; what is wrong is said of the document and field.
func TestApplyIsWhole(t *testing.T) {
	w := newWorld(t)
	pool := `{"kind":"Pool","metadata":{"name":"edge"}}`
	for _, tc := range []struct{ docs, at string }{
		{`{"kind":"Site","metadata":{"name":"s"},"spec":{"pool":"edge","tunels":2}}`, "body.documents[1].spec.tunels"},
		{`{"kind":"Site","metadata":{"name":"s"},"spec":{"pool":"edge","tunnels":"2"}}`, "body.documents[1].spec.tunnels"},
		{`{"kind":"Site","metadata":{"name":"s"},"spec":{"pool":"nowhere"}}`, "body.documents[1].spec.pool"},
		{`{"kind":"Site","metadata":{"name":"s","labels":{"-":"x"}},"spec":{"pool":"edge"}}`, "body.documents[1].metadata.labels"},
		{`{"kind":"Site","metadata":{"name":""},"spec":{"pool":"edge"}}`, "body.documents[1].metadata.name"},
		{`{"kind":"Seite","metadata":{"name":"s"}}`, "body.documents[1].kind"},
		{`{"kind":"Site","metadata":{"name":"s"},"spec":{"pool":"edge","name":"t"}}`, "body.documents[1].spec.name"},
		{`{"kind":"Region","metadata":{"name":"r","organization":"default"}}`, "body.documents[1].metadata.organization"},
		{`{"kind":"APIKey","metadata":{"name":"nobody"}}`, "body.documents[1]"},
		{pool, "body.documents[1].metadata.name"},
	} {
		_, r := w.apply(map[bool]int{true: 404, false: 422}[strings.Contains(tc.docs, "APIKey")], "", documents("["+pool+","+tc.docs+"]"))
		var p struct {
			Errors []struct{ Location, Message string }
		}
		r.into(t, &p)
		if len(p.Errors) == 0 || p.Errors[0].Location != tc.at {
			t.Errorf("%s: %s, want %s", tc.docs, r.body, tc.at)
		}
		w.must(404, http.MethodGet, "/api/v1/pools/edge", "")
	}
}

func TestPrune(t *testing.T) {
	w := newWorld(t)
	site := func(name string) string {
		return `{"kind":"Site","metadata":{"name":"` + name + `"},"spec":{"pool":"default"}}`
	}
	body := func(set, prune string, docs ...string) string {
		return fmt.Sprintf(`{"set":%q,"prune":%s,"documents":[%s]}`, set, prune, strings.Join(docs, ","))
	}
	w.must(201, http.MethodPost, "/api/v1/orgs/default/sites", `{"name":"byhand","pool":"default"}`)
	w.apply(200, "", documents("["+site("plain")+"]"))
	w.apply(200, "", body("shop", "false", site("a"), site("b"), `{"kind":"Connector","metadata":{"name":"c"},"spec":{"site":"b"}}`))
	w.apply(200, "", documents("["+site("a")+"]")) // whom a set keeps it goes on keeping
	names := func(list []AppliedObject) (out []string) {
		for _, o := range list {
			out = append(out, o.Kind+"/"+o.Name)
		}
		return out
	}
	gone, _ := w.apply(200, "?dry_run=true", body("shop", "true", site("a")))
	if got := names(gone.Removed); !slices.Equal(got, []string{"Connector/c", "Site/b"}) {
		t.Fatalf("a dry run would remove %v", got)
	}
	w.must(200, http.MethodGet, "/api/v1/orgs/default/sites/b", "")
	gone, r := w.apply(200, "", body("shop", "true", site("a")))
	if got := names(gone.Removed); !slices.Equal(got, []string{"Connector/c", "Site/b"}) || r.revision == 0 {
		t.Fatalf("removed %v", got)
	}
	w.must(404, http.MethodGet, "/api/v1/orgs/default/sites/b", "")
	for _, name := range []string{"a", "plain", "byhand"} {
		w.must(200, http.MethodGet, "/api/v1/orgs/default/sites/"+name, "")
	}
	if again, _ := w.apply(200, "", body("shop", "true", site("a"))); len(again.Removed) > 0 {
		t.Errorf("removed again: %v", names(again.Removed))
	}
}

// A dry run says who would receive what, and leaves nothing behind.
func TestDryRunNamesReaders(t *testing.T) {
	w := newWorld(t)
	w.apply(200, "", documents(everything))
	w.enroll("n1", "c1")
	docs := `[{"kind":"Service","metadata":{"name":"new"},"spec":{"kind":"tcp","pool":"edge","ports":"7000"}},
		{"kind":"Target","metadata":{"name":"new-1"},"spec":{"service":"new","site":"office","address":"10.0.0.9","port":1}}]`
	out, _ := w.apply(200, "?dry_run=true", documents(docs))
	if !out.Objects[0].Created || out.Objects[0].After == nil {
		t.Errorf("%+v", out.Objects)
	}
	has := func(r AppliedReader, prefix string) bool {
		return slices.ContainsFunc(r.Upserts, func(s string) bool { return strings.HasPrefix(s, prefix) })
	}
	node := slices.IndexFunc(out.Readers, func(r AppliedReader) bool { return r.Kind == "node" && r.Name == "n1" })
	connector := slices.IndexFunc(out.Readers, func(r AppliedReader) bool { return r.Kind == "connector" && r.Name == "c1" })
	if node < 0 || connector < 0 || !has(out.Readers[node], "Forward/") || !has(out.Readers[connector], "ConnectorConfig/") {
		t.Errorf("readers: %+v", out.Readers)
	}
	w.must(404, http.MethodGet, "/api/v1/orgs/default/services/new", "")
	for _, call := range [][2]string{{http.MethodPost, "/api/v1/pools"}, {http.MethodPut, "/api/v1/pools/p9"}} {
		if r := w.must(201, call[0], call[1]+"?dry_run=true", `{"name":"p9"}`); r.header.Get("X-Warren-Dry-Run") != "true" {
			t.Errorf("%v: %v", call, r.header)
		}
	}
	w.must(404, http.MethodGet, "/api/v1/pools/p9", "")
	w.must(204, http.MethodDelete, "/api/v1/orgs/default/services/db?dry_run=true", "")
	w.must(200, http.MethodGet, "/api/v1/orgs/default/services/db", "")
}

func TestLabelsOfObjects(t *testing.T) {
	w := newWorld(t)
	const sites = "/api/v1/orgs/default/sites"
	made := w.must(201, http.MethodPost, sites, `{"name":"s1","pool":"default","labels":{"env":"prod","team":"a"}}`)
	w.must(201, http.MethodPost, sites, `{"name":"s2","pool":"default","labels":{"env":"prod"}}`)
	w.must(201, http.MethodPost, sites, `{"name":"s3","pool":"default"}`)
	list := func(query string) (names []string) {
		var out struct{ Items []struct{ Name string } }
		w.must(200, http.MethodGet, sites+query, "").into(t, &out)
		for _, i := range out.Items {
			names = append(names, i.Name)
		}
		return names
	}
	for query, want := range map[string][]string{
		"": {"s1", "s2", "s3"}, "?label=env=prod": {"s1", "s2"}, "?label=env=prod&label=team=a": {"s1"}, "?label=env=": nil,
		"?label=env=prod&page_size=1": {"s1"},
	} {
		if got := list(query); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	w.must(422, http.MethodGet, sites+"?label=env", "")
	w.must(422, http.MethodPut, sites+"/s1", `{"pool":"default","labels":{"env":"a b"}}`)
	// Without labels they stay; a change of labels takes no revision, and no node hears of it.
	w.must(200, http.MethodPut, sites+"/s1", `{"pool":"default","tunnels":2}`)
	if got := list("?label=team=a"); !slices.Equal(got, []string{"s1"}) {
		t.Errorf("after a write without labels: %v", got)
	}
	before := w.must(200, http.MethodGet, sites+"/s1", "")
	r := w.must(200, http.MethodPost, sites+"/s1/labels", `{"labels":{"team":null,"env":"test"}}`)
	if r.revision != 0 || r.header.Get("X-Warren-Unchanged") != "" {
		t.Errorf("label: %v", r.header)
	}
	if r = w.must(200, http.MethodPost, sites+"/s1/labels", `{"labels":{"team":null,"env":"test"}}`); r.header.Get("X-Warren-Unchanged") != "true" {
		t.Errorf("label again: %v", r.header)
	}
	r = w.must(200, http.MethodGet, sites+"/s1", "")
	// Tags: what changed since one was read is not written over.
	tag := before.header.Get("ETag")
	if tag == "" || tag == made.header.Get("ETag") || tag == r.header.Get("ETag") {
		t.Errorf("tags: %q %q %q", made.header.Get("ETag"), tag, r.header.Get("ETag"))
	}
	with := func(tag, method, path, body string) reply { return w.matching(tag, method, path, body) }
	if r := with(tag, http.MethodPut, sites+"/s1", `{"pool":"default"}`); r.status != 412 {
		t.Errorf("stale: %d %s", r.status, r.body)
	}
	if r := with(tag, http.MethodDelete, sites+"/s1", ""); r.status != 412 {
		t.Errorf("stale delete: %d", r.status)
	}
	if r := with(r.header.Get("ETag"), http.MethodPut, sites+"/s1", `{"pool":"default"}`); r.status != 200 {
		t.Errorf("current: %d %s", r.status, r.body)
	}
	// Labels go with their object.
	w.must(204, http.MethodDelete, sites+"/s1", "")
	w.must(201, http.MethodPost, sites, `{"name":"s1","pool":"default"}`)
	if got := list("?label=env=test"); got != nil {
		t.Errorf("labels of a removed object: %v", got)
	}
}

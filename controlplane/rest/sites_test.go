package rest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

type siteView struct {
	Kind, Carrier, Region, Pool string
	Tunnels                     int
	Nodes                       []string
}

func TestSites(t *testing.T) {
	w := newWorld(t)
	w.service() // with site home, connector box and node n1
	var s siteView
	w.must(200, "GET", org+"/sites/home", "").into(t, &s)
	if s.Kind != "connector" || s.Carrier != "auto" || s.Region != "" || s.Tunnels != 3 || s.Nodes != nil {
		t.Errorf("defaults: %+v", s)
	}
	const full = `{"pool":"default","carrier":"stream","region":"default","tunnels":1}`
	if w.must(200, "PUT", org+"/sites/home", full).into(t, &s); s.Carrier != "stream" || s.Region != "default" || s.Tunnels != 1 {
		t.Errorf("%+v", s)
	}
	if r := w.must(200, "PUT", org+"/sites/home", full); r.revision != 0 {
		t.Error("the same was written again")
	}
	if r := w.call("DELETE", "/api/v1/regions/default", ""); r.status != http.StatusConflict {
		t.Errorf("a region in use: %d %s", r.status, r.body)
	}

	const local = `{"name":"shed","pool":"default","kind":"local","nodes":["n1"]}`
	var l siteView
	if w.must(201, "POST", org+"/sites", local).into(t, &l); l.Kind != "local" || !slices.Equal(l.Nodes, []string{"n1"}) {
		t.Errorf("%+v", l)
	}
	w.must(201, "POST", org+"/targets", `{"name":"near","service":"wiki","site":"shed","address":"10.0.0.9","port":80}`)
	if r := w.call("DELETE", "/api/v1/nodes/n1", ""); r.status != http.StatusConflict || !strings.Contains(string(r.body), "local site shed") {
		t.Errorf("a node that a local site needs: %d %s", r.status, r.body)
	}

	for _, tc := range []struct{ method, path, body, field, says string }{
		{"POST", "/connectors", `{"name":"late","site":"shed"}`, "body.site", "local site"},
		{"PUT", "/connectors/box", `{"site":"shed"}`, "body.site", "local site"},
		{"PUT", "/sites/home", `{"pool":"default","kind":"local","nodes":["n1"]}`, "body.kind", "box"},
		{"POST", "/sites", `{"name":"x","pool":"default","kind":"local"}`, "body.nodes", "one node at least"},
		{"POST", "/sites", `{"name":"x","pool":"default","nodes":["n1"]}`, "body.nodes", "only a local site"},
		{"POST", "/sites", `{"name":"x","pool":"default","kind":"local","nodes":["n1","nobody"]}`, "body.nodes[1]", "does not exist"},
		{"POST", "/sites", `{"name":"x","pool":"default","kind":"local","nodes":["n1","n1"]}`, "body.nodes[1]", "twice"},
		{"POST", "/sites", `{"name":"x","pool":"default","kind":"local","nodes":["n1"],"carrier":"stream"}`, "body.carrier", "local site"},
		{"POST", "/sites", `{"name":"x","pool":"default","kind":"remote"}`, "body.kind", "connector"},
		{"POST", "/sites", `{"name":"x","pool":"default","carrier":"pigeon"}`, "body.carrier", "stream"},
		{"POST", "/sites", `{"name":"x","pool":"default","region":"nowhere"}`, "body.region", "does not exist"},
		{"POST", "/sites", `{"name":"x","pool":"default","tunnels":9}`, "body.tunnels", "8"},
	} {
		r := w.call(tc.method, org+tc.path, tc.body)
		if r.status != http.StatusUnprocessableEntity || !slices.Contains(r.locations(t), tc.field) || !strings.Contains(string(r.body), tc.says) {
			t.Errorf("%s %s: %d %s; want %s to say %q", tc.path, tc.body, r.status, r.body, tc.field, tc.says)
		}
	}
}

// Targets of local sites are checked as all others, by the site's nodes; those of udp services are not, and it says why.
func TestChecksOfLocalTargets(t *testing.T) {
	w := newWorld(t)
	w.service()
	w.must(201, "POST", org+"/sites", `{"name":"shed","pool":"default","kind":"local","nodes":["n1"]}`)
	w.must(201, "POST", org+"/services", `{"name":"dns","kind":"udp","ports":"5300","pool":"default"}`)
	const targets = org + "/targets"
	body := `{"name":"%s","service":"%s","site":"shed","address":"10.0.0.9","port":80,"health_check":{"kind":"tcp"}}`
	w.must(201, "POST", targets, fmt.Sprintf(body, "here", "wiki"))
	r := w.call("POST", targets, fmt.Sprintf(body, "there", "dns"))
	if r.status != http.StatusUnprocessableEntity || !slices.Contains(r.locations(t), "body.health_check") || !strings.Contains(string(r.body), "datagram") {
		t.Errorf("of udp: %d %s", r.status, r.body)
	}
}

// A local site opens the network of nodes: an organization can't give it to itself.
func TestLocalSitesAreTheClusters(t *testing.T) {
	w := newWorld(t)
	w.service()
	key := w.orgKey("acme")
	const sites = "/api/v1/orgs/acme/sites"
	local := `{"name":"shed","pool":"default","kind":"local","nodes":["n1"]}`
	if r := w.as(key, "POST", sites, local); r.status != http.StatusForbidden {
		t.Errorf("made: %d %s", r.status, r.body)
	}
	w.must(201, "POST", sites, local)
	r := w.as(key, "GET", sites+"/shed", "")
	if r.status != http.StatusOK || strings.Contains(string(r.body), `"n1"`) {
		t.Errorf("seen: %d %s", r.status, r.body)
	}
	for _, body := range []string{`{"pool":"default"}`, `{"pool":"default","kind":"local","nodes":["n1"]}`} {
		if r := w.as(key, "PUT", sites+"/shed", body); r.status != http.StatusForbidden {
			t.Errorf("changed with %s: %d %s", body, r.status, r.body)
		}
	}
	if r := w.as(key, "DELETE", sites+"/shed", ""); r.status != http.StatusNoContent {
		t.Errorf("deleted: %d %s", r.status, r.body)
	}
}

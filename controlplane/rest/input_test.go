package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestBadInputNamesTheFieldAndWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.service()
	w.orgKey("other")
	w.must(201, "POST", "/api/v1/orgs/other/domains", `{"name":"other.example","pool":"default"}`)
	w.must(201, "POST", "/api/v1/pools", `{"name":"second"}`)
	w.must(201, "POST", org+"/services", `{"name":"deep","kind":"http","hostname":"deep.example.com","pool":"default"}`)
	w.must(201, "POST", org+"/targets", `{"name":"deep","service":"deep","site":"home","address":"10.0.0.1","port":80,"path_prefix":"/a"}`)
	before := w.head()
	long := strings.Repeat("a", 64)
	type bad struct {
		method, path, body string
		status             int
		location           string
	}
	check := func(fields, location string) bad {
		return bad{"PUT", org + "/targets/t", `{"service":"wiki","site":"home","address":"10.0.0.1","port":80,"health_check":{` + fields + `}}`, 422, "body.health_check." + location}
	}
	for name, tc := range map[string]bad{
		"unknown field":           {"POST", org + "/sites", `{"name":"s","pool":"default","colour":"red"}`, 422, "body.colour"},
		"field in another case":   {"POST", org + "/sites", `{"name":"s","Pool":"default"}`, 422, "body.Pool"},
		"field in both cases":     {"POST", org + "/sites", `{"name":"s","pool":"default","POOL":"second"}`, 422, "body.POOL"},
		"wrong type":              {"POST", org + "/sites", `{"name":"s","pool":"default","tunnels":"two"}`, 422, "body.tunnels"},
		"missing field":           {"POST", org + "/sites", `{"name":"s"}`, 422, "body"},
		"no name":                 {"POST", org + "/sites", `{"pool":"default"}`, 422, "body.name"},
		"not an object":           {"POST", org + "/sites", `[]`, 422, "body"},
		"no JSON":                 {"POST", org + "/sites", `{"name"`, 400, "body"},
		"no body":                 {"POST", org + "/sites", ``, 400, ""},
		"name":                    {"POST", org + "/sites", `{"name":"Sité","pool":"default"}`, 422, "body.name"},
		"long name":               {"POST", org + "/sites", `{"name":"` + long + `","pool":"default"}`, 422, "body.name"},
		"NUL":                     {"POST", org + "/sites", `{"name":"a\u0000b","pool":"default"}`, 422, "body.name"},
		"NUL in a reference":      {"POST", org + "/sites", `{"name":"s","pool":"a\u0000b"}`, 422, "body.pool"},
		"name of the path":        {"PUT", org + "/sites/s", `{"name":"t","pool":"default"}`, 422, "body.name"},
		"duplicate name":          {"POST", org + "/sites", `{"name":"home","pool":"default"}`, 409, "body.name"},
		"too many tunnels":        {"POST", org + "/sites", `{"name":"s","pool":"default","tunnels":9}`, 422, "body.tunnels"},
		"dangling pool":           {"POST", org + "/sites", `{"name":"s","pool":"nowhere"}`, 422, "body.pool"},
		"dangling site":           {"POST", org + "/connectors", `{"name":"c","site":"nowhere"}`, 422, "body.site"},
		"id of another kind":      {"POST", org + "/connectors", `{"name":"c","site":"pool_01jd0000000000000000000000"}`, 422, "body.site"},
		"hostname taken":          {"POST", org + "/services", `{"name":"w2","kind":"http","hostname":"wiki.example.com","pool":"default"}`, 409, "body.hostname"},
		"hostname taken, case":    {"POST", org + "/services", `{"name":"w2","kind":"http","hostname":"WIKI.Example.COM","pool":"default"}`, 409, "body.hostname"},
		"hostname in no domain":   {"POST", org + "/services", `{"name":"w2","kind":"http","hostname":"a.example.net","pool":"default"}`, 422, "body.hostname"},
		"hostname of another":     {"POST", org + "/services", `{"name":"w2","kind":"http","hostname":"a.other.example","pool":"default"}`, 422, "body.hostname"},
		"reserved hostname":       {"POST", org + "/services", `{"name":"w2","kind":"http","hostname":"ns-1.example.com","pool":"default"}`, 422, "body.hostname"},
		"malformed hostname":      {"POST", org + "/services", `{"name":"w2","kind":"http","hostname":"a..example.com","pool":"default"}`, 422, "body.hostname"},
		"inner wildcard":          {"POST", org + "/services", `{"name":"w2","kind":"http","hostname":"a.*.example.com","pool":"default"}`, 422, "body.hostname"},
		"service in another pool": {"POST", org + "/services", `{"name":"w2","kind":"http","hostname":"a.example.com","pool":"second"}`, 422, "body.pool"},
		"kind against paths":      {"PUT", org + "/services/deep", `{"kind":"tls","hostname":"deep.example.com","pool":"default"}`, 422, "body.kind"},
		"domain moved":            {"PUT", org + "/domains/example.com", `{"pool":"second"}`, 409, "body.pool"},
		"token for NUL":           {"POST", "/api/v1/join-tokens", `{"node":"a\u0000b"}`, 422, "body.node"},
		"key of NUL":              {"POST", "/api/v1/api-keys", `{"name":"k","organization":"a\u0000b"}`, 422, "body.organization"},
		"kind":                    {"POST", org + "/services", `{"name":"w2","kind":"quic","hostname":"a.example.com","pool":"default"}`, 422, "body.kind"},
		"a name at ports":         {"POST", org + "/services", `{"name":"w2","kind":"udp","hostname":"a.example.com","ports":"1","pool":"default"}`, 422, "body.hostname"},
		"no hostname":             {"POST", org + "/services", `{"name":"w2","kind":"http","pool":"default"}`, 422, "body.hostname"},
		"no ports":                {"POST", org + "/services", `{"name":"w2","kind":"tcp","pool":"default"}`, 422, "body.ports"},
		"ports":                   {"POST", org + "/services", `{"name":"w2","kind":"tcp","ports":"http","pool":"default"}`, 422, "body.ports"},
		"ports backwards":         {"POST", org + "/services", `{"name":"w2","kind":"tcp","ports":"9-8","pool":"default"}`, 422, "body.ports"},
		"a port of the nodes":     {"POST", org + "/services", `{"name":"w2","kind":"tcp","ports":"443","pool":"default"}`, 422, "body.ports"},
		"too many ports":          {"POST", org + "/services", `{"name":"w2","kind":"tcp","ports":"1000-2000","pool":"default"}`, 422, "body.ports"},
		"network":                 {"POST", org + "/services", `{"name":"w2","kind":"tcp","ports":"1","pool":"default","allow":["10.0.0.0/8","10.0.0.1/8"]}`, 422, "body.allow[1]"},
		"no network":              {"POST", org + "/services", `{"name":"w2","kind":"tcp","ports":"1","pool":"default","allow":["home"]}`, 422, "body.allow[0]"},
		"proxy protocol 3":        {"POST", org + "/services", `{"name":"w2","kind":"tcp","ports":"1","pool":"default","proxy_protocol":3}`, 422, "body.proxy_protocol"},
		"proxy protocol of http":  {"POST", org + "/services", `{"name":"w2","kind":"http","hostname":"a.example.com","pool":"default","proxy_protocol":1}`, 422, "body.proxy_protocol"},
		"terminate of http":       {"POST", org + "/services", `{"name":"w2","kind":"http","hostname":"a.example.com","pool":"default","terminate":true}`, 422, "body.terminate"},
		"domain taken":            {"POST", "/api/v1/orgs/other/domains", `{"name":"example.com","pool":"default"}`, 409, "body.name"},
		"domain within another":   {"POST", "/api/v1/orgs/other/domains", `{"name":"a.example.com","pool":"default"}`, 409, "body.name"},
		"domain above another":    {"POST", "/api/v1/orgs/other/domains", `{"name":"com","pool":"default"}`, 409, "body.name"},
		"domain malformed":        {"POST", org + "/domains", `{"name":"-","pool":"default"}`, 422, "body.name"},
		"domain needed":           {"DELETE", org + "/domains/example.com", ``, 409, ""},
		"pool needed":             {"DELETE", "/api/v1/pools/default", ``, 409, ""},
		"site needed":             {"DELETE", org + "/sites/home", ``, 409, ""},
		"port 0":                  {"PUT", org + "/targets/t", `{"service":"wiki","site":"home","address":"10.0.0.1","port":0}`, 422, "body.port"},
		"port 65536":              {"PUT", org + "/targets/t", `{"service":"wiki","site":"home","address":"10.0.0.1","port":65536}`, 422, "body.port"},
		"port with a fraction":    {"PUT", org + "/targets/t", `{"service":"wiki","site":"home","address":"10.0.0.1","port":80.5}`, 422, "body.port"},
		"CIDR":                    {"PUT", org + "/targets/t", `{"service":"wiki","site":"home","address":"10.0.0.0/8","port":80}`, 422, "body.address"},
		"link-local":              {"PUT", org + "/targets/t", `{"service":"wiki","site":"home","address":"169.254.169.254","port":80}`, 422, "body.address"},
		"overlay":                 {"PUT", org + "/targets/t", `{"service":"wiki","site":"home","address":"fd57:6172:7265::1","port":80}`, 422, "body.address"},
		"relative path":           {"PUT", org + "/targets/t", `{"service":"wiki","site":"home","address":"10.0.0.1","port":80,"path_prefix":"a"}`, 422, "body.path_prefix"},
		"dots in path":            {"PUT", org + "/targets/t", `{"service":"wiki","site":"home","address":"10.0.0.1","port":80,"path_prefix":"/a/../b"}`, 422, "body.path_prefix"},
		"weight":                  {"PUT", org + "/targets/t", `{"service":"wiki","site":"home","address":"10.0.0.1","port":80,"weight":1001}`, 422, "body.weight"},
		"dangling service":        {"PUT", org + "/targets/t", `{"service":"nowhere","site":"home","address":"10.0.0.1","port":80}`, 422, "body.service"},
		"check kind":              check(`"kind":"ping"`, "kind"),
		"check interval":          check(`"kind":"tcp","interval":"soon"`, "interval"),
		"check too often":         check(`"kind":"tcp","interval":"10ms"`, "interval"),
		"check timeout":           check(`"kind":"tcp","interval":"2s","timeout":"2s"`, "timeout"),
		"check threshold":         check(`"kind":"tcp","unhealthy_threshold":101`, "unhealthy_threshold"),
		"check path":              check(`"kind":"http","path":"healthz"`, "path"),
		"check path of tcp":       check(`"kind":"tcp","path":"/"`, "path"),
		"check method":            check(`"kind":"http","method":"get it"`, "method"),
		"check header":            check(`"kind":"http","headers":{"Host":"x"}`, "headers.Host"),
		"check statuses":          check(`"kind":"http","expected_statuses":["200","2xx"]`, "expected_statuses[1]"),
		"check nonsense":          check(`"kind":"http","colour":"red"`, "colour"),
		"node address":            {"POST", "/api/v1/nodes", `{"name":"n2","pool":"default","addresses":["192.0.2.1","192.0.2.0/24"]}`, 422, "body.addresses[1]"},
		"node endpoint":           {"POST", "/api/v1/nodes", `{"name":"n2","pool":"default","wireguard_endpoint":"host_1:1"}`, 422, "body.wireguard_endpoint"},
		"node endpoint, port":     {"POST", "/api/v1/nodes", `{"name":"n2","pool":"default","wireguard_endpoint":"192.0.2.1:0"}`, 422, "body.wireguard_endpoint"},
		"region":                  {"POST", "/api/v1/nodes", `{"name":"n2","pool":"default","region":"moon"}`, 422, "body.region"},
		"token for nobody":        {"POST", "/api/v1/join-tokens", `{}`, 422, "body.node"},
		"token for both":          {"POST", "/api/v1/join-tokens", `{"node":"n1","organization":"default","connector":"box"}`, 422, "body.node"},
		"token of no connector":   {"POST", "/api/v1/join-tokens", `{"organization":"default"}`, 422, "body.connector"},
		"token of no org":         {"POST", "/api/v1/join-tokens", `{"connector":"box"}`, 422, "body.organization"},
		"NUL in the path":         {"GET", org + "/sites/a%00b", ``, 422, "path.name"},
		"NUL in the path, write":  {"PUT", org + "/sites/a%00b", `{"pool":"default"}`, 422, "path.name"},
		"NUL as organization":     {"GET", "/api/v1/orgs/%00/sites", ``, 422, "path.org"},
		"bad UTF-8 in the path":   {"DELETE", "/api/v1/pools/%ff", ``, 422, "path.name"},
		"token for a stranger":    {"POST", "/api/v1/join-tokens", `{"node":"n9"}`, 422, "body.node"},
		"key of a stranger":       {"POST", "/api/v1/api-keys", `{"name":"k","organization":"nowhere"}`, 422, "body.organization"},
		"page size":               {"GET", org + "/sites?page_size=0", ``, 422, "query.page_size"},
		"unknown query":           {"GET", org + "/sites?pagetoken=x", ``, 422, "query.pagetoken"},
		"unknown query, write":    {"PUT", org + "/sites/s?dryrun=true", `{"pool":"default"}`, 422, "query.dryrun"},
		"page token":              {"GET", org + "/sites?page_token=Zm9yZ2Vk", ``, 400, "query.page_token"},
		"wait for what":           {"GET", "/api/v1/wait", ``, 422, "query.revision"},
		"wait how long":           {"GET", "/api/v1/wait?revision=1&timeout=soon", ``, 422, "query.timeout"},
		"no such object":          {"GET", org + "/sites/nowhere", ``, 404, ""},
		"no such organization":    {"GET", "/api/v1/orgs/nowhere/sites", ``, 404, ""},
		"no such path":            {"GET", "/api/v1/unicorns", ``, 404, ""},
		"no such method":          {"PATCH", org + "/sites/home", `{}`, 405, ""},
		"too much":                {"POST", org + "/sites", `{"name":"` + strings.Repeat("x", 2<<20) + `"}`, 413, ""},
	} {
		r := w.call(tc.method, tc.path, tc.body)
		if r.status != tc.status {
			t.Errorf("%s: %d %s; want %d", name, r.status, r.body, tc.status)
			continue
		}
		if at := r.locations(t); tc.location != "" && !slices.Contains(at, tc.location) {
			t.Errorf("%s: names %v; want %s: %s", name, at, tc.location, r.body)
		}
		if r.revision != 0 {
			t.Errorf("%s: made revision %d", name, r.revision)
		}
	}
	if after := w.head(); after != before {
		t.Errorf("revision %d before, %d after", before, after)
	}
}

// Whatever is called, the answer is a problem document, and says what there is instead.
func TestPathsAndMethodsThatAreNone(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "//api/v1/pools", 404, ""},
		{"POST", "/api//v1/pools", 404, ""},
		{"PUT", "/api/v1/../v1/pools/p", 404, ""},
		{"GET", "/api/v1/./pools", 404, ""},
		{"GET", "/api/v1/pools/", 404, ""},
		{"GET", "/", 404, ""},
		{"PUT", "/api/v1/join-tokens/x", 405, "GET, DELETE"}, // made once, never changed
		{"PUT", org + "/certificates/x", 405, "GET, DELETE"},
		{"PUT", "/api/v1/join-tokens", 405, "GET, POST"},
		{"PATCH", "/api/v1/pools/p", 405, "GET, PUT, DELETE"},
		{"DELETE", "/api/v1/status", 405, "GET"},
		{"OPTIONS", "/api/v1/wait", 405, "GET"},
	} {
		r := w.call(tc.method, tc.path, "")
		var p struct {
			Status int
			Detail string
		}
		if r.status != tc.status || r.header.Get("Content-Type") != "application/problem+json" || r.header.Get("Allow") != tc.allow {
			t.Errorf("%s %s: %d %v %s", tc.method, tc.path, r.status, r.header, r.body)
			continue
		}
		if r.into(t, &p); p.Status != tc.status || tc.allow != "" && !strings.Contains(p.Detail, tc.allow) {
			t.Errorf("%s %s: %s", tc.method, tc.path, r.body)
		}
	}
}

func TestWhoMayCall(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"", "x", "wrn_", w.key + "x", w.key[:len(w.key)-1], "wrn_key_01jd0000000000000000000000_" + strings.Repeat("A", 43)} {
		r := w.as(key, "GET", "/api/v1/pools", "")
		if r.status != http.StatusUnauthorized || r.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%.12s…: %d %s", key, r.status, r.body)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		r := w.as("", "GET", path, "")
		if r.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
		var h struct{ Revision uint64 }
		if r.into(t, &h); h.Revision == 0 {
			t.Errorf("%s: %s, want the newest revision", path, r.body)
		}
	}
}

func TestRateOfOneKey(t *testing.T) {
	w := newWorld(t)
	w.calls.pass(0)
	for i := range 100 {
		if r := w.call("GET", "/api/v1/status", ""); r.status != http.StatusOK {
			t.Fatalf("call %d: %d %s", i, r.status, r.body)
		}
	}
	if r := w.call("GET", "/api/v1/status", ""); r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") != "1" {
		t.Errorf("one call too many: %d, %v, %s", r.status, r.header, r.body)
	}
	if r := w.as("", "GET", "/readyz", ""); r.status != http.StatusOK {
		t.Errorf("a probe: %d %s", r.status, r.body)
	}
	w.calls.pass(10 * time.Millisecond)
	w.must(200, "GET", "/api/v1/status", "")
}

// An organization that calls ten times as often as it may, with as many keys as it likes, takes nothing from another one.
func TestT38ANoisyTenantIsAloneWithIt(t *testing.T) {
	w := newWorld(t)
	quiet := w.orgKey("quiet")
	noisy := []string{w.orgKey("noisy")}
	for i := range 9 {
		var k struct{ Secret string }
		w.must(201, "POST", "/api/v1/api-keys", fmt.Sprintf(`{"name":"noisy-%d","organization":"noisy"}`, i)).into(t, &k)
		noisy = append(noisy, k.Secret)
	}
	w.calls.pass(0)
	let := 0
	for i := range 3000 {
		switch r := w.as(noisy[i%len(noisy)], "GET", "/api/v1/orgs/noisy/sites", ""); r.status {
		case http.StatusOK:
			let++
		case http.StatusTooManyRequests:
		default:
			t.Fatalf("noisy: %d %s", r.status, r.body)
		}
		if i%100 == 0 { // in the other's name it is refused, and not counted
			if r := w.as(noisy[i%len(noisy)], "GET", "/api/v1/orgs/quiet/sites", ""); r.status == http.StatusOK {
				t.Fatal("noisy reads what is quiet's")
			}
		}
		if i%50 == 0 {
			if r := w.as(quiet, "GET", "/api/v1/orgs/quiet/sites", ""); r.status != http.StatusOK {
				t.Fatalf("quiet, after %d calls of noisy: %d %s", i, r.status, r.body)
			}
		}
	}
	if let < 270 || let > 300 {
		t.Errorf("%d of noisy's calls were let through at once, want 300 with those that asked for the other's", let)
	}
}

func TestOfTwoCreatesOfOneHostnameOneWins(t *testing.T) {
	w := newWorld(t)
	w.must(201, "POST", org+"/domains", `{"name":"example.com","pool":"default"}`)
	const writers = 8
	replies := make([]reply, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			replies[i] = w.call("POST", org+"/services", fmt.Sprintf(`{"name":"s%d","kind":"http","hostname":"one.example.com","pool":"default"}`, i))
		})
	}
	wg.Wait()
	won := 0
	for _, r := range replies {
		switch r.status {
		case http.StatusCreated:
			won++
		case http.StatusConflict:
			if at := r.locations(t); !slices.Contains(at, "body.hostname") {
				t.Errorf("names %v: %s", at, r.body)
			}
		default:
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d made the service", won, writers)
	}
	var certs struct{ Items []json.RawMessage }
	w.must(200, "GET", org+"/certificates", "").into(t, &certs)
	if len(certs.Items) != 1 {
		t.Errorf("%d certificates", len(certs.Items))
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		w.must(201, "POST", "/api/v1/regions", fmt.Sprintf(`{"name":"r%d"}`, i))
	}
	type page struct {
		Items []struct{ Name string }
		Next  string `json:"next_page_token"`
	}
	var names []string
	path, first := "/api/v1/regions?page_size=2", ""
	for {
		var p page
		w.must(200, "GET", path, "").into(t, &p)
		for _, i := range p.Items {
			names = append(names, i.Name)
		}
		if p.Next == "" {
			break
		}
		if first == "" {
			first = p.Next
		}
		path = "/api/v1/regions?page_size=2&page_token=" + p.Next
	}
	if want := []string{"default", "r0", "r1", "r2", "r3", "r4"}; !slices.Equal(names, want) {
		t.Errorf("pages hold %v, want %v", names, want)
	}
	// A token is good for its own list only.
	if r := w.call("GET", "/api/v1/pools?page_token="+first, ""); r.status != http.StatusBadRequest {
		t.Errorf("a token of another list: %d %s", r.status, r.body)
	}
	if r := w.call("GET", "/api/v1/regions?page_token="+first+"AA", ""); r.status != http.StatusBadRequest {
		t.Errorf("a forged token: %d %s", r.status, r.body)
	}
}

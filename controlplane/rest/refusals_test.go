package rest

import (
	"strings"
	"testing"
)

// Why a certificate could not be had stands on the domain, too, as long as it is so.
func TestDomainSaysWhyItWasRefused(t *testing.T) {
	w := newWorld(t)
	w.must(201, "POST", "/api/v1/issuers", `{"name":"le",`+directory+`}`)
	w.must(201, "POST", "/api/v1/pools", `{"name":"edge"}`)
	for _, name := range []string{"example.com", "ample.com"} {
		w.must(201, "POST", "/api/v1/orgs/default/domains", `{"name":"`+name+`","pool":"edge"}`)
	}
	const one = "/api/v1/orgs/default/domains/example.com"
	if r := w.must(200, "GET", one, ""); strings.Contains(string(r.body), `"problem"`) {
		t.Errorf("before anything failed: %s", r.body)
	}
	w.managed("*.example.com", "example.com")
	if r := w.must(200, "GET", one, ""); !strings.Contains(string(r.body), `"problem":"*.example.com, example.com: urn:ietf:params:acme:error:dns: no TXT record"`) {
		t.Errorf("%s", r.body)
	}
	w.managed("deep.www.example.com")
	if r := w.must(200, "GET", one, ""); !strings.Contains(string(r.body), "no TXT record (and 1 more)") {
		t.Errorf("%s", r.body)
	}
	if r := w.must(200, "GET", "/api/v1/orgs/default/domains/ample.com", ""); strings.Contains(string(r.body), `"problem"`) {
		t.Errorf("a domain whose name ends alike: %s", r.body)
	}
}

package cli

import (
	"strings"
	"testing"
)

func TestIssuerBudget(t *testing.T) {
	newAPI(t, map[string]answer{"GET /api/v1/issuers/le/budget": {200, "", `{"items":[
		{"kind":"new_orders","limit":300,"window":"3h0m0s","used":2,"reserved":100,"left":298,"left_new":198,"more":"2026-01-02T03:04:05Z"},
		{"kind":"domain","key":"example.org","limit":50,"window":"168h0m0s","used":50,"reserved":16,"left":0,"left_new":0}]}`}})
	code, stdout, stderr := run(t, "", "issuer", "budget", "le")
	for _, want := range []string{"LEFT NEW", "new_orders  -            300    3h0m0s    2     100       298   198       2026-01-02T03:04:05Z", "example.org"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("exit %d, %s%s; want %q", code, stdout, stderr, want)
		}
	}
}

// An issuer is suspended and resumed without the rest of it being written otherwise.
func TestIssuerSuspension(t *testing.T) {
	api := newAPI(t, map[string]answer{
		"GET /api/v1/issuers/le":             {200, "", `{"name":"le","rank":1}`},
		"GET /api/v1/orgs/default/manifests": {200, "", `{"items":[{"apiVersion":"warren/v1","kind":"Issuer","metadata":{"name":"le"},"spec":{"directory_url":"https://ca.example/d","rank":1}}]}`},
		"PUT /api/v1/issuers/le":             {200, "9", `{}`},
		"GET /api/v1/issuers/le/budget":      {200, "", `{"items":[{"kind":"new_orders","limit":300,"window":"3h0m0s","suspended":true}]}`},
	})
	for verb, want := range map[string]string{"suspend": "issuer le suspended", "resume": "issuer le resumed"} {
		if code, _, stderr := run(t, "", "issuer", verb, "le"); code != 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %s", verb, code, stderr)
		}
		put := api.calls[len(api.calls)-1]
		if !strings.Contains(put, `"directory_url":"https://ca.example/d"`) || strings.Contains(put, `"suspended":true`) != (verb == "suspend") {
			t.Errorf("%s: %s", verb, put)
		}
	}
	if code, _, stderr := run(t, "", "issuer", "budget", "le"); code != 0 || !strings.Contains(stderr, "le is suspended") {
		t.Errorf("its budget: exit %d, %s", code, stderr)
	}
}

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

package model

import (
	"strings"
	"testing"
)

func TestClaimRule(t *testing.T) {
	for claim, ok := range map[string]bool{"": true, "groups": true, "a.b": true, "https://example.org/roles": true, ".a": false, "a.": false, "a..b": false, strings.Repeat("x", 256): false} {
		r := ClaimRule{Claim: claim}
		if claim != "" {
			r.Value = "*"
		}
		if err := r.Validate("rules[0]"); (err == nil) != ok || err != nil && !strings.HasPrefix(err.Error(), "rules[0].claim: ") {
			t.Errorf("%q: %v", claim, err)
		}
	}
	for _, r := range []ClaimRule{{Claim: "groups"}, {Value: "x"}} {
		if err := r.Validate("rules[0]"); err == nil {
			t.Errorf("%+v was taken", r)
		}
	}
}

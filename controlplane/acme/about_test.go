package acme

import (
	"errors"
	"fmt"
	"testing"
)

func TestAbout(t *testing.T) {
	names := []string{"*.shop.example.co.uk", "shop.example.co.uk"}
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{&Problem{Detail: "too many new orders (300) from this account in the last 3h0m0s, retry after 2026-11-27 06:00:00 UTC: see https://letsencrypt.org/docs/rate-limits/#new-orders-per-account"}, false},
		{&Problem{Detail: `too many certificates (50) already issued for "example.co.uk" in the last 168h0m0s, retry after 2026-11-30`}, true},
		{&Problem{Detail: "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s"}, true},
		{&Problem{Detail: `too many failed authorizations (5) for "shop.example.co.uk" in the last 1h0m0s`}, true},
		{&Problem{Detail: "Too many for SHOP.example.co.uk."}, true},
		{&Problem{Detail: `too many certificates already issued for "co.uk"`}, false},
		{&Problem{Detail: "too many for workshop.example.co.uk, shop.example.co.ukraine and xshop-example.co.uk"}, false},
		{&Problem{Identifier: "*.shop.example.co.uk"}, true},
		{&Problem{Identifier: "other.example"}, false},
		{&Problem{Detail: "several", Subproblems: []Problem{{Identifier: "other.example"}, {Identifier: "shop.example.co.uk"}}}, true},
		{fmt.Errorf("new-order: %w", &Problem{Identifier: "shop.example.co.uk"}), true},
		{errors.New("shop.example.co.uk"), false},
		{nil, false},
	} {
		if got := About(tt.err, names); got != tt.want {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}

package strict

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzRemoveEdgeFields looks for a spelling that a backend which maps every odd character to "_", or
// to "-", would take for an edge field.
func FuzzRemoveEdgeFields(f *testing.F) {
	for _, s := range []string{"X-Forwarded-For", "x_real_ip", "REMOTE.USER", "Forwarded", "Accept", "X-Forwarded~For"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		h := http.Header{name: {"1"}, http.CanonicalHeaderKey(name): {"2"}}
		RemoveEdgeFields(h)
		for left := range h {
			same := strings.Map(func(r rune) rune {
				if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
					return r
				}
				return '-'
			}, strings.ToLower(left))
			if edgeField(same) || strings.ContainsAny(left, "_.") {
				t.Fatalf("%q is still there", left)
			}
		}
	})
}

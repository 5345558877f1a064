package strict

import (
	"net/http"
	"slices"
	"testing"
)

func TestRemoveEdgeCookies(t *testing.T) {
	for _, tt := range []struct{ in, want []string }{
		{nil, nil},
		{[]string{"a=1; b=2"}, []string{"a=1; b=2"}},
		{[]string{"a=1;b=__host-warren-x"}, []string{"a=1; b=__host-warren-x"}}, // a value
		{[]string{"__Host-warren-access=x"}, nil},
		{[]string{"__HOST-Warren-access=x; ; a=1", "__Host-warren-grant=y", "b"}, []string{"a=1", "b"}},
		{[]string{"a=1; __Host-warren-access"}, []string{"a=1"}},
		{[]string{"\t__Host-warren-access =x; __Host-other=1"}, []string{"__Host-other=1"}},
	} {
		h := http.Header{}
		if tt.in != nil {
			h["Cookie"] = tt.in
		}
		RemoveEdgeCookies(h)
		if _, there := h["Cookie"]; !slices.Equal(h["Cookie"], tt.want) || there != (tt.want != nil) {
			t.Errorf("%q: %q, want %q", tt.in, h["Cookie"], tt.want)
		}
	}
}

func TestRemoveSetEdgeCookies(t *testing.T) {
	h := http.Header{"Set-Cookie": {"a=1; Path=/", "__Host-warren-access=x; Path=/", " __HOST-WARREN-browser=y", "__Host-other=z"}}
	RemoveSetEdgeCookies(h)
	if want := []string{"a=1; Path=/", "__Host-other=z"}; !slices.Equal(h["Set-Cookie"], want) {
		t.Errorf("%q, want %q", h["Set-Cookie"], want)
	}
}

package endpoint

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1:51820":        "192.0.2.1:51820",
		"[2001:db8::1]:443":      "[2001:db8::1]:443",
		"edge.example.org:51820": "edge.example.org:51820",
		"Edge.Example.ORG.:443":  "edge.example.org:443",
		"bücher.example:443":     "xn--bcher-kva.example:443",
		"localhost:1":            "localhost:1",
		"":                       "! want address:port",
		":443":                   "! want address:port",
		"192.0.2.1":              "! want address:port",
		"edge.example.org":       "! want address:port",
		"192.0.2.1:0":            "! want a port",
		"edge.example.org:0":     "! want a port",
		"edge.example.org:https": "! want a port",
		"edge.example.org:65536": "! want a port",
		"edge_1.example.org:1":   "! not a hostname",
		"*.example.org:1":        "! not a hostname",
		"192.0.2.256:1":          "! not a hostname",
		"[2001:db8::g]:1":        "! not a hostname",
	} {
		e, err := Parse(text)
		if says, bad := strings.CutPrefix(want, "! "); bad {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%q: %v, %v; want %q", text, e, err, says)
			}
			continue
		}
		if err != nil || e.String() != want {
			t.Errorf("%q: %q, %v; want %q", text, e, err, want)
		}
		if again, err := Parse(e.String()); err != nil || again != e {
			t.Errorf("%q: %+v is read as %+v, %v", text, e, again, err)
		}
	}
}

func TestWhatIsKnownOfAName(t *testing.T) {
	e := MustParse("edge.example.org:51820")
	if e.Named() != "edge.example.org:51820" || e.Fixed() != "" || e.IsZero() {
		t.Errorf("%+v", e)
	}
	known := e.Or(netip.MustParseAddr("192.0.2.1"))
	if known.Named() != e.Named() || known.Fixed() != "192.0.2.1:51820" || known.Or(netip.MustParseAddr("192.0.2.2")) != known || e.Or(netip.Addr{}) != e {
		t.Errorf("%+v", known)
	}
	fixed := At(netip.MustParseAddrPort("192.0.2.1:1"))
	if fixed.Named() != "" || fixed.Fixed() != "192.0.2.1:1" || fixed.Or(netip.MustParseAddr("192.0.2.2")) != fixed {
		t.Errorf("%+v", fixed)
	}
	if z := (Endpoint{}); !z.IsZero() || z.String() != "" || z.Or(netip.MustParseAddr("192.0.2.1")) != z {
		t.Errorf("%+v", z)
	}
}

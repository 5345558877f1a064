package modeltest

import (
	"reflect"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/model"
)

func TestParse(t *testing.T) {
	b, err := Parse(4, "\n# comment\n  site home organization=acme pool=edge tunnels=3\ndelete region eu\nauthority web pem=x\n")
	if err != nil {
		t.Fatal(err)
	}
	s := b.Sites[model.SiteID{UUID: UUID("site", "home")}]
	if b.From != 4 || b.To != 5 || s == nil || s.Tunnels != 3 || s.Pool.UUID != UUID("pool", "edge") || string(b.Authorities["web"]) != "x" {
		t.Errorf("%+v, site %+v", b, s)
	}
	if v, ok := b.Regions[model.RegionID{UUID: UUID("region", "eu")}]; !ok || v != nil {
		t.Errorf("region %v, %v", v, ok)
	}
	for rows, want := range map[string]string{
		"site":                                   "line 1: \"site\": want a kind and a name",
		"\ncastle home":                          "line 2: kind \"castle\" is not known",
		"site home pool=edge":                    "organization is missing",
		"pool edge color=red":                    "field \"color\" is not known",
		"site a organization=o pool=p tunnels=x": "invalid syntax",
		"node n pool=p addresses=here":           "unable to parse IP",
	} {
		if _, err := Parse(0, rows); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", rows, err, want)
		}
	}
}

func TestWorldRepeats(t *testing.T) {
	a, b := NewWorld(9), NewWorld(9)
	am, bm := model.Empty(), model.Empty()
	for range 50 {
		am, bm = am.Apply(a.Step(5)), bm.Apply(b.Step(5))
	}
	if am.Revision() != 50 || bm.Revision() != 50 {
		t.Errorf("at %d and %d", am.Revision(), bm.Revision())
	}
	for s := range am.Services() {
		if o := bm.Service(s.ID); o == nil || !reflect.DeepEqual(o, s) {
			t.Errorf("service %s is %+v and %+v", s.ID, s, o)
		}
	}
}

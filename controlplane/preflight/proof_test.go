package preflight

import (
	"slices"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/model"
)

func TestOwned(t *testing.T) {
	org, other := model.OrgID{}.New(), model.OrgID{}.New()
	i := newInternet(t)
	txt := func(name, value string) string {
		return model.ProofLabel + "." + name + " 300 IN TXT \"" + value + "\"\n"
	}
	i.root(soa("test.") +
		"shop.test. 300 IN NS ns.shop.test.\nns.shop.test. 300 IN A 192.0.2.9\n" +
		"dead.test. 300 IN NS ns.dead.test.\nns.dead.test. 300 IN A 192.0.2.66\n" +
		txt("test.", model.ProofValue(other)))
	i.silence("192.0.2.66")
	i.serve("192.0.2.9", nil, soa("shop.test.")+
		txt("shop.test.", model.ProofValue(other))+txt("apps.shop.test.", model.ProofValue(org))+txt("apps.shop.test.", "another")+
		txt("typo.shop.test.", model.ProofValue(org)+"x")+
		model.ProofLabel+".alias.shop.test. 300 IN CNAME "+model.ProofLabel+".apps.shop.test.\n")
	for _, tt := range []struct {
		apex string
		org  model.OrgID
		want bool
		why  string
	}{
		{"apps.shop.test", org, true, ""},
		{"apps.shop.test", other, true, ""}, // by the name above
		{"deep.apps.shop.test", org, true, ""},
		{"alias.shop.test", org, true, ""},
		{"shop.test", other, true, ""},
		{"shop.test", org, false, "has no TXT record"},
		{"typo.shop.test", org, false, "has no TXT record"},
		{"none.test", org, false, "has no TXT record"},
		{"none.test", other, false, "has no TXT record"}, // whoever has a public suffix does not have what is below it
		{"dead.test", org, false, "could not be asked for"},
	} {
		owned, why, err := i.checker().Owned(t.Context(), tt.apex, tt.org)
		if err != nil || owned != tt.want || (why == "") != owned || !strings.Contains(why, tt.why) {
			t.Errorf("%s: %v, %q, %v", tt.apex, owned, why, err)
		}
	}
}

func TestAbove(t *testing.T) {
	for apex, want := range map[string]string{
		"example.org": "example.org", "a.b.example.org": "a.b.example.org b.example.org example.org", "a.example.co.uk": "a.example.co.uk example.co.uk",
		"co.uk": "co.uk", "org": "org", "x.internal": "x.internal", "a.b.internal": "a.b.internal b.internal",
	} {
		if got := above(apex); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %q", apex, got)
		}
	}
}

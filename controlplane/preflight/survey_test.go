package preflight

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/warrenedge/warren/controlplane/model"
)

// world is a model in which an organization has domains in a pool of the nodes n1 and n2.
func world(apexes ...string) (*model.Model, map[string]*model.Domain) {
	org, pool := model.OrgID{}.New(), model.PoolID{}.New()
	b := model.Batch{To: 1, Reload: true, Nodes: map[model.NodeID]*model.Node{}, Domains: map[model.DomainID]*model.Domain{}}
	for name, a := range map[string]netip.Addr{"n1": n1, "n2": n2} {
		n := &model.Node{ID: model.NodeID{}.New(), Name: name, Pool: pool, Addresses: []netip.Addr{a}, WireGuardKey: [32]byte{1}}
		b.Nodes[n.ID] = n
	}
	out := map[string]*model.Domain{}
	for _, a := range apexes {
		d := &model.Domain{ID: model.DomainID{}.New(), Org: org, Name: a, Pool: pool}
		b.Domains[d.ID], out[a] = d, d
	}
	return model.Empty().Apply(b), out
}

// A delegation, or an alias of the apex' challenge, proves all names; else each hostname counts for itself. No answer is no
// finding.
func TestSurvey(t *testing.T) {
	i, _ := good(t, "customer.test. 300 IN NS a.dns.test.", "aliased.test. 300 IN NS a.dns.test.", "silent.test. 300 IN NS s.dns.test.\ns.dns.test. 300 IN A 203.0.113.8")
	i.serve("203.0.113.9", nil, soa("customer.test.")+`
www.customer.test. 300 IN CNAME edge.shop.test.
a.customer.test. 300 IN A 198.51.100.2
half.customer.test. 300 IN A 198.51.100.2
half.customer.test. 300 IN A 203.0.113.77
away.customer.test. 300 IN A 203.0.113.77
_acme-challenge.by.customer.test. 300 IN CNAME _acme-challenge.c2.shop.test.
customer.test. 300 IN CAA 0 issue ";"
`, soa("aliased.test.")+"_acme-challenge.aliased.test. 300 IN CNAME _acme-challenge.c1.shop.test.\n")
	for _, a := range []netip.Addr{n1, n2} {
		i.serve(a.String(), nil, ours("shop.test.", "edge.shop.test. 300 IN A 198.51.100.1"))
	}
	m, domains := world("shop.test", "customer.test", "aliased.test", "nowhere.test", "silent.test")
	c := i.checker()
	for apex, want := range map[string]struct {
		delegated bool
		ask       []string
		provable  []string
	}{
		"shop.test":     {true, []string{"www.shop.test"}, nil},
		"aliased.test":  {true, []string{"www.aliased.test"}, nil},
		"nowhere.test":  {false, []string{"www.nowhere.test"}, nil},
		"customer.test": {false, []string{"*.by.customer.test", "*.customer.test", "a.customer.test", "away.customer.test", "by.customer.test", "half.customer.test", "no.customer.test", "www.customer.test"}, []string{"*.by.customer.test", "a.customer.test", "by.customer.test", "www.customer.test"}},
	} {
		delegated, provable, err := c.Survey(t.Context(), m, domains[apex], want.ask)
		if err != nil || delegated != want.delegated || !slices.Equal(provable, want.provable) {
			t.Errorf("%s: delegated %v, provable %q, %v; want %v, %q", apex, delegated, provable, err, want.delegated, want.provable)
		}
	}
	if _, _, err := c.Survey(t.Context(), m, domains["silent.test"], []string{"www.silent.test"}); err == nil {
		t.Error("nobody has answered for silent.test, and something was found out")
	}
}

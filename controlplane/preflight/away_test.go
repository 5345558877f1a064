package preflight

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/warrenedge/warren/controlplane/model"
)

// A node that has lost the control plane and that nobody hears of costs no certificate: resolvers ask the next one. One that answers, though
// wrongly, does, and so does one that is there and silent.
func TestDeadNodeIsAWarning(t *testing.T) {
	one, two := model.NodeID{}.New(), model.NodeID{}.New()
	lame := func(m *dns.Msg) { m.Rcode, m.Answer, m.Ns, m.Authoritative = dns.RcodeRefused, nil, nil, false }
	for _, tt := range []struct {
		name    string
		away    []model.NodeID
		make    func(*internet)
		refused []string
		warned  []string
	}{
		{"away, and its host says that nobody listens", []model.NodeID{one}, func(i *internet) { i.remove(n1.String()) }, nil, []string{"away_ns"}},
		{"away, and its host is gone", []model.NodeID{one}, func(i *internet) { i.silence(n1.String()) }, nil, []string{"away_ns"}},
		{"away, and answers as ever", []model.NodeID{one}, func(*internet) {}, nil, nil},
		{"away, and answers wrongly", []model.NodeID{one}, func(i *internet) { i.serve(n1.String(), lame, ours("shop.test.")) }, []string{"lame_ns"}, nil},
		{"connected and silent", nil, func(i *internet) { i.remove(n1.String()) }, []string{"lame_ns"}, nil},
		{"another one is away", []model.NodeID{two}, func(i *internet) { i.remove(n1.String()) }, []string{"lame_ns"}, nil},
		{"nobody is left", []model.NodeID{one, two}, func(i *internet) { i.remove(n1.String()); i.remove(n2.String()) }, []string{"challenge_unanswered", "lame_ns"}, nil},
	} {
		i, q := good(t)
		q.Servers[0].Node, q.Servers[1].Node = one, two
		tt.make(i)
		c := i.checker()
		c.with.Away = func(n model.NodeID) bool { return slices.Contains(tt.away, n) }
		r, err := c.Check(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(codes(r.Problems), tt.refused) || !slices.Equal(codes(r.Warnings), tt.warned) {
			t.Errorf("%s: refused %+v, warned %+v; want %v and %v", tt.name, r.Problems, r.Warnings, tt.refused, tt.warned)
		}
		if len(tt.refused) == 0 && (!r.Delegated || !slices.Equal(r.Issuers, []string{"one"}) || len(r.Methods) != 2) {
			t.Errorf("%s: %+v", tt.name, r)
		}
		for _, w := range r.Warnings {
			if !strings.HasPrefix(w.Message, "ns-n1.shop.test (198.51.100.1), which the registrar of shop.test names, is not connected to the control plane and answers nothing: start the node") {
				t.Errorf("%s: %s", tt.name, w.Message)
			}
		}
	}
}

// remove lets nobody listen at an address.
func (i *internet) remove(address string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.where, "udp "+address)
	delete(i.where, "tcp "+address)
}

package model_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
)

func assigned(m *model.Model, site string) []string {
	var out []string
	for _, n := range m.Assigned(m.Site(model.SiteID{UUID: modeltest.UUID("site", site)})) {
		out = append(out, n.Name)
	}
	return out
}

func TestAssigned(t *testing.T) {
	const nodes = `
		node a pool=edge enrolled
		node b pool=edge enrolled
		node c pool=edge enrolled
		node d pool=edge enrolled
		node made pool=edge
		node revoked pool=edge enrolled revoked
		node stranger pool=far enrolled
	`
	const site = "site home organization=acme pool=edge tunnels="
	for _, c := range []struct {
		name, rows string
		want       string // the golden order: a change of it moves every site of a running cluster
	}{
		{"default", nodes + site + "0", "b a"},
		{"one", nodes + site + "1", "b"},
		{"three", nodes + site + "3", "b a c"},
		{"more than there are", nodes + site + "8", "b a c d"},
		{"draining is passed over", nodes + "node b pool=edge enrolled draining\n" + site + "2", "a c"},
		{"too few left", nodes + "node b pool=edge enrolled draining\nnode c pool=edge enrolled draining\nnode d pool=edge enrolled draining\n" + site + "2", "a"},
		{"all drain", "node a pool=edge enrolled draining\nnode b pool=edge enrolled draining\nnode c pool=edge enrolled draining\n" + site + "2", "b a"},
		{"empty pool", site + "2", ""},
	} {
		if got := strings.Join(assigned(parse(t, c.rows), "home"), " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestAssignedMovesLittle: a node that comes or goes moves only the sites that choose it, and the load is
// spread.
func TestAssignedMovesLittle(t *testing.T) {
	const sites, nodes = 400, 8
	var rows strings.Builder
	for i := range nodes {
		fmt.Fprintf(&rows, "node n%d pool=edge enrolled\n", i)
	}
	for i := range sites {
		fmt.Fprintf(&rows, "site s%d organization=acme pool=edge tunnels=2\n", i)
	}
	before := parse(t, rows.String())
	b, err := modeltest.Parse(before.Revision(), "node n3 pool=edge enrolled draining")
	if err != nil {
		t.Fatal(err)
	}
	after := before.Apply(b)
	load := map[string]int{}
	for i := range sites {
		site := fmt.Sprintf("s%d", i)
		was, is := assigned(before, site), assigned(after, site)
		for _, n := range was {
			load[n]++
		}
		if kept := slices.DeleteFunc(slices.Clone(was), func(n string) bool { return n == "n3" }); !slices.Equal(kept, is[:len(kept)]) || slices.Contains(is, "n3") {
			t.Errorf("%s moved from %v to %v", site, was, is)
		}
	}
	for n, count := range load {
		if mean := 2 * sites / nodes; count < mean/2 || count > mean*2 {
			t.Errorf("%s has %d sites of %d on average", n, count, mean)
		}
	}
}

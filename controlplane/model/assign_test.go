package model_test

import (
	"fmt"
	"math"
	"math/rand/v2"
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
	const eu = "node c pool=edge enrolled region=eu\nnode d pool=edge enrolled region=eu\n"
	const site = "site home organization=acme pool=edge tunnels="
	for _, c := range []struct {
		name, rows string
		want       string // the golden order: a change of it moves every site of a running cluster
	}{
		{"default", nodes + site + "0", "b a c"},
		{"one", nodes + site + "1", "b"},
		{"three", nodes + site + "3", "b a c"},
		{"more than there are", nodes + site + "8", "b a c d"},
		{"draining is passed over", nodes + "node b pool=edge enrolled draining\n" + site + "2", "a c"},
		{"too few left", nodes + "node b pool=edge enrolled draining\nnode c pool=edge enrolled draining\nnode d pool=edge enrolled draining\n" + site + "2", "a"},
		{"all drain", "node a pool=edge enrolled draining\nnode b pool=edge enrolled draining\nnode c pool=edge enrolled draining\n" + site + "2", "b a"},
		{"empty pool", site + "2", ""},
		{"capacity", nodes + "node d pool=edge enrolled capacity=1000\n" + site + "2", "d b"},
		{"the site's region first", nodes + eu + site + "3 region=eu", "c d b"},
		{"all of it, and no other", nodes + eu + site + "2 region=eu", "c b"},
		{"one tunnel stays near", nodes + eu + site + "1 region=eu", "c"},
		{"a region without nodes", nodes + eu + site + "2 region=moon", "b c"},
		{"not all in one region", nodes + eu + "node c pool=edge enrolled\n" + site + "3", "b a d"},
		{"only one region drains not", nodes + eu + "node a pool=edge enrolled draining\nnode b pool=edge enrolled draining\n" + site + "2 region=eu", "c d"},
		{"local", nodes + "site home organization=acme pool=edge tunnels=1 kind=local nodes=a,stranger,made,revoked,nobody", "a stranger"},
		{"local, draining", nodes + "node a pool=edge enrolled draining\nsite home organization=acme pool=edge kind=local nodes=a,b", "b"},
		{"local, all drain", nodes + "node a pool=edge enrolled draining\nsite home organization=acme pool=edge kind=local nodes=a", "a"},
	} {
		if got := strings.Join(assigned(parse(t, c.rows), "home"), " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// pools with nodes of different capacities in different regions, and sites of all kinds in it.
func fleet(rnd *rand.Rand, sites int) string {
	var rows strings.Builder
	for i := range 3 + rnd.IntN(9) {
		fmt.Fprintf(&rows, "node n%d %s\n", i, nodeWords(rnd))
	}
	for i := range sites {
		fmt.Fprintf(&rows, "site s%d organization=acme pool=edge tunnels=%d%s\n", i, 1+i%4, []string{"", " region=r0", " region=r1"}[i%3])
	}
	return rows.String()
}

func nodeWords(rnd *rand.Rand) string {
	words := fmt.Sprintf("pool=edge enrolled capacity=%d", []int{1, 50, 100, 1000}[rnd.IntN(4)])
	if r := rnd.IntN(3); r > 0 {
		words += fmt.Sprintf(" region=r%d", r-1)
	}
	return words
}

// TestAssignedMovesLittle: a node that comes takes only what it wins, one that goes loses only what it had:
// of each site one node at most changes, and all others keep their order.
func TestAssignedMovesLittle(t *testing.T) {
	const sites = 200
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		without := parse(t, fleet(rnd, sites))
		b, err := modeltest.Parse(without.Revision(), "node new "+nodeWords(rnd))
		if err != nil {
			t.Fatal(err)
		}
		with := without.Apply(b)
		for _, gone := range []string{"delete node new", "node new pool=edge enrolled draining", "node new pool=edge enrolled revoked"} {
			b, err := modeltest.Parse(with.Revision(), gone)
			if err != nil {
				t.Fatal(err)
			}
			again := with.Apply(b)
			for i := range sites {
				site := fmt.Sprintf("s%d", i)
				small, large, after := assigned(without, site), assigned(with, site), assigned(again, site)
				if !slices.Equal(small, after) {
					t.Fatalf("seed %d: %s had %v, after %q %v", seed, site, small, gone, after)
				}
				kept := slices.DeleteFunc(slices.Clone(large), func(n string) bool { return n == "new" })
				if len(kept) == len(large) {
					if !slices.Equal(small, large) {
						t.Fatalf("seed %d: %s does not get the new node, but went from %v to %v", seed, site, small, large)
					}
					continue
				}
				lost := slices.DeleteFunc(slices.Clone(small), func(n string) bool { return slices.Contains(kept, n) })
				if len(lost) > 1 || !subset(kept, small) {
					t.Fatalf("seed %d: %s went from %v to %v", seed, site, small, large)
				}
			}
		}
	}
}

func subset(a, of []string) bool {
	return !slices.ContainsFunc(a, func(n string) bool { return !slices.Contains(of, n) })
}

// TestShares: sites come to nodes in proportion to their capacity, and a node that comes takes its share from
// each of the others.
func TestShares(t *testing.T) {
	const sites = 10_000
	capacity := map[string]int{"a": 50, "b": 100, "c": 100, "d": 200, "e": 1000}
	var rows strings.Builder
	total := 0
	for n, c := range capacity {
		fmt.Fprintf(&rows, "node %s pool=edge enrolled capacity=%d\n", n, c)
		total += c
	}
	for i := range sites {
		fmt.Fprintf(&rows, "site s%d organization=acme pool=edge tunnels=3\n", i)
	}
	m, load := parse(t, rows.String()), map[string]int{}
	for i := range sites {
		nodes := assigned(m, fmt.Sprintf("s%d", i))
		load[nodes[0]]++
		if len(nodes) != 3 {
			t.Fatalf("s%d has %v", i, nodes)
		}
	}
	for n, c := range capacity {
		want := float64(sites) * float64(c) / float64(total)
		// Four standard deviations of a binomial distribution: 3 % of the largest share, 13 % of the smallest.
		if off := math.Abs(float64(load[n]) - want); off > 4*math.Sqrt(want) {
			t.Errorf("%s of capacity %d is first for %d sites, want %.0f", n, c, load[n], want)
		}
	}
}

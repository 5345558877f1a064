package snapshot

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
)

// A world of n services: 20 nodes in 4 pools, ten services to a site, a hundred to a domain; each
// with a certificate and a target.
func rowsOf(n int) string {
	var b strings.Builder
	b.WriteString("organization acme\nauthority identity pem=pem\n")
	for i := range 4 {
		fmt.Fprintf(&b, "pool pool%d\n", i)
	}
	for i := range 20 {
		fmt.Fprintf(&b, "node node%d pool=pool%d addresses=192.0.2.%d endpoint=192.0.2.%d:51820 stream=192.0.2.%d:443 enrolled\n", i, i%4, i, i, i)
	}
	for i := range n {
		pool, site, domain := i/100%4, i/10, fmt.Sprintf("d%d.example", i/100)
		if i%100 == 0 {
			fmt.Fprintf(&b, "domain %s organization=acme pool=pool%d\n", domain, pool)
		}
		if i%10 == 0 {
			fmt.Fprintf(&b, "site site%d organization=acme pool=pool%d\nconnector connector%d organization=acme site=site%d enrolled\n", site, pool, site, site)
		}
		fmt.Fprintf(&b, "service s%d organization=acme pool=pool%d hostname=s%d.%s\n", i, pool, i, domain)
		fmt.Fprintf(&b, "certificate s%d organization=acme names=s%d.%s\n", i, i, domain)
		fmt.Fprintf(&b, "target s%d organization=acme service=s%d site=site%d address=10.0.0.1 port=80\n", i, i, site)
	}
	return b.String()
}

var worlds sync.Map // of n -> *model.Model

func world(tb testing.TB, n int) *model.Model {
	tb.Helper()
	if m, ok := worlds.Load(n); ok {
		return m.(*model.Model)
	}
	b, err := modeltest.Parse(0, rowsOf(n))
	if err != nil {
		tb.Fatal(err)
	}
	m := model.Empty().Apply(b)
	worlds.Store(n, m)
	return m
}

// Steps that touch a few resources each.
var steps = []struct{ name, rows string }{
	{"target", "target s42 organization=acme service=s42 site=site4 address=10.0.0.1 port=81"},
	{"target_moves", "target s42 organization=acme service=s42 site=site9 address=10.0.0.1 port=80"},
	{"service", `
		service new organization=acme pool=pool0 hostname=new.d0.example
		certificate new organization=acme names=new.d0.example
		target new organization=acme service=new site=site5 address=10.0.0.1 port=80`},
	{"service_deleted", "delete target s42\ndelete service s42\ndelete certificate s42"},
	{"certificate", "certificate new organization=acme names=s42.d0.example expires=2027-01-01"},
	{"ports", `
		service db organization=acme pool=pool0 kind=tcp ports=5432
		target db organization=acme service=db site=site5 address=10.0.0.1 port=5432 check=tcp`},
	{"health_check", "target s42 organization=acme service=s42 site=site4 address=10.0.0.1 port=80 check=http"},
	{"connector", "connector connector4 organization=acme site=site4"},
	{"node_address", "node node3 pool=pool3 addresses=192.0.2.203 endpoint=192.0.2.3:51820 stream=192.0.2.3:443 enrolled"},
	{"region", "region eu"},
}

// TestWork counts what a change costs: the same whether there are 1,000 services or 20,000.
func TestWork(t *testing.T) {
	c := New(modeltest.Open)
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			measure := func(n int) (ch Changes, allocs float64) {
				m := world(t, n)
				b, next := step(t, m, s.rows)
				return c.Build(m, next, b), testing.AllocsPerRun(20, func() { c.Build(m, m.Apply(b), b) })
			}
			small, few := measure(1_000)
			large, many := measure(20_000)
			if small.Built != large.Built || len(small.Upserts) != len(large.Upserts) || len(small.Removed) != len(large.Removed) {
				t.Errorf("compiled %d, sent %d and removed %d of 1,000; %d, %d and %d of 20,000",
					small.Built, len(small.Upserts), len(small.Removed), large.Built, len(large.Upserts), len(large.Removed))
			}
			if large.Built > 12 {
				t.Errorf("compiled %d resources", large.Built)
			}
			// A tree of 20,000 rows is a level deeper than one of 1,000, so writing copies a node more.
			if many > few*1.3+20 {
				t.Errorf("%.0f allocations with 20,000 services, %.0f with 1,000", many, few)
			}
		})
	}
}

func BenchmarkChange(b *testing.B) {
	c := New(modeltest.Open)
	for _, n := range []int{1_000, 20_000} {
		for _, s := range steps {
			b.Run(fmt.Sprintf("%s/%d", s.name, n), func(b *testing.B) {
				m := world(b, n)
				batch, err := modeltest.Parse(m.Revision(), s.rows)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				built := 0
				for b.Loop() {
					built = c.Build(m, m.Apply(batch), batch).Built
				}
				b.ReportMetric(float64(built), "resources/op")
			})
		}
	}
}

func BenchmarkFull(b *testing.B) {
	c := New(modeltest.Open)
	for _, n := range []int{1_000, 20_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := world(b, n)
			b.ReportAllocs()
			for b.Loop() {
				c.Build(nil, m, model.Batch{})
			}
		})
	}
}

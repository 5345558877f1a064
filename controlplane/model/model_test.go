package model_test

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
	"github.com/warrenedge/warren/shared/hostname"
)

func names[V any](seq iter.Seq[V], name func(V) string) []string {
	var out []string
	for v := range seq {
		out = append(out, name(v))
	}
	return out
}

type id[K any] interface {
	comparable
	Compare(K) int
}

// where keeps rows in the order of their ids.
func where[K id[K], V any](rows map[K]*V, keep func(*V) bool) []*V {
	var out []*V
	for _, k := range sortedKeys(rows) {
		if keep(rows[k]) {
			out = append(out, rows[k])
		}
	}
	return out
}

func sortedKeys[K id[K], V any](rows map[K]*V) []K {
	keys := make([]K, 0, len(rows))
	for k := range rows {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b K) int { return a.Compare(b) })
	return keys
}

// check compares every view of m with what a search through all rows gives.
func check(t *testing.T, m *model.Model, all model.Batch) {
	t.Helper()
	if m.Revision() != all.To || !m.CommittedAt().Equal(all.CommittedAt) {
		t.Fatalf("at %d of %s, want %d of %s", m.Revision(), m.CommittedAt(), all.To, all.CommittedAt)
	}
	for _, k := range []string{model.IdentityAuthority, model.WebAuthority} {
		if got, want := string(m.Authority(k)), string(all.Authorities[k]); got != want {
			t.Fatalf("authority %s is %q, want %q", k, got, want)
		}
	}
	same(t, "organizations", m.Organizations(), where(all.Organizations, func(*model.Organization) bool { return true }))
	same(t, "regions", m.Regions(), where(all.Regions, func(*model.Region) bool { return true }))
	same(t, "pools", m.Pools(), where(all.Pools, func(*model.Pool) bool { return true }))
	same(t, "nodes", m.Nodes(), where(all.Nodes, func(*model.Node) bool { return true }))
	same(t, "sites", m.Sites(), where(all.Sites, func(*model.Site) bool { return true }))
	same(t, "connectors", m.Connectors(), where(all.Connectors, func(*model.Connector) bool { return true }))
	same(t, "services", m.Services(), where(all.Services, func(*model.Service) bool { return true }))
	same(t, "targets", m.Targets(), where(all.Targets, func(*model.Target) bool { return true }))
	same(t, "domains", m.Domains(), where(all.Domains, func(*model.Domain) bool { return true }))
	same(t, "access keys", m.AccessKeys(), where(all.AccessKeys, func(*model.AccessKey) bool { return true }))
	same(t, "revocations", m.Revocations(), where(all.Revocations, func(*model.AccessRevocation) bool { return true }))
	if want := all.SignInURL; want != nil && m.SignInURL() != *want || want == nil && m.SignInURL() != "" {
		t.Fatalf("people sign in at %q, want %v", m.SignInURL(), want)
	}
	same(t, "certificates", m.Certificates(), where(all.Certificates, func(*model.Certificate) bool { return true }))
	for i := range 4 { // one more than there are
		p := model.PoolID{UUID: modeltest.UUID("pool", fmt.Sprintf("pool%d", i))}
		same(t, "nodes of pool", m.NodesOf(p), where(all.Nodes, func(v *model.Node) bool { return v.Pool == p }))
		same(t, "sites of pool", m.SitesOf(p), where(all.Sites, func(v *model.Site) bool { return v.Pool == p }))
		same(t, "domains of pool", m.DomainsOf(p), where(all.Domains, func(v *model.Domain) bool { return v.Pool == p && !v.Unproven }))
	}
	for i := range 6 {
		s := model.SiteID{UUID: modeltest.UUID("site", fmt.Sprintf("site%d", i))}
		same(t, "connectors of site", m.ConnectorsOf(s), where(all.Connectors, func(v *model.Connector) bool { return v.Site == s }))
		at := where(all.Targets, func(v *model.Target) bool { return v.Site == s })
		same(t, "targets at site", m.TargetsAt(s), at)
		var pools []model.PoolID
		for _, v := range at {
			if sv := all.Services[v.Service]; sv != nil {
				pools = append(pools, sv.Pool)
			}
		}
		samePools(t, "pools using site", m.PoolsUsingSite(s), pools)
	}
	for i := range 9 {
		id := model.ServiceID{UUID: modeltest.UUID("service", fmt.Sprintf("service%d", i))}
		same(t, "targets of service", m.TargetsOf(id), where(all.Targets, func(v *model.Target) bool { return v.Service == id }))
	}
	users := map[model.CertificateID][]model.PoolID{}
	for _, s := range all.Services {
		want := choose(all, s)
		if got := m.CertificatesFor(s); !slices.Equal(got, want) {
			t.Fatalf("certificates for %s are %v, want %v", s.Hostname, got, want)
		}
		if got := m.CertificateFor(s); got != nil && got != want[0] || got == nil && want != nil {
			t.Fatalf("certificate for %s is %v, want the first of %v", s.Hostname, got, want)
		}
		for _, c := range want {
			users[c.ID] = append(users[c.ID], s.Pool)
		}
		if !s.Raw() {
			checkNames(t, m, all, s.Hostname)
		}
	}
	for id := range all.Certificates {
		samePools(t, "pools using certificate", m.PoolsUsingCertificate(id), users[id])
	}
}

// choose is CertificatesFor by looking at all.
func choose(all model.Batch, s *model.Service) []*model.Certificate {
	if !s.EndsTLS() {
		return nil
	}
	fits := where(all.Certificates, func(c *model.Certificate) bool {
		return c.Org == s.Org && slices.ContainsFunc(c.Names, func(n string) bool { return hostname.Match(n, s.Hostname) })
	})
	if len(fits) == 0 {
		return nil
	}
	one := func(is bool) int {
		if is {
			return 1
		}
		return 0
	}
	slices.SortFunc(fits, func(b, a *model.Certificate) int {
		exact := func(c *model.Certificate) int { return one(slices.Contains(c.Names, s.Hostname)) }
		return cmp.Or(one(a.SupersededBy.IsZero())-one(b.SupersededBy.IsZero()), exact(a)-exact(b), a.NotAfter.Compare(b.NotAfter), a.ID.Compare(b.ID))
	})
	first := fits[0]
	for _, c := range fits {
		wanted := c.Uploaded || !c.Issuer.IsZero()
		if wanted && c.SupersededBy.IsZero() && c.Uploaded == first.Uploaded && !first.Issuer.IsZero() == !c.Issuer.IsZero() && first.KeyType != "" && c.KeyType != "" && c.KeyType != first.KeyType {
			return []*model.Certificate{first, c}
		}
	}
	return fits[:1]
}

func checkNames(t *testing.T, m *model.Model, all model.Batch, name string) {
	t.Helper()
	same(t, "services named "+name, m.ServicesNamed(name), where(all.Services, func(v *model.Service) bool { return v.Hostname == name }))
	same(t, "certificates named "+name, m.CertificatesNamed(name), where(all.Certificates, func(v *model.Certificate) bool { return slices.Contains(v.Names, name) }))
	name = strings.TrimPrefix(name, "*.")
	var covering *model.Domain
	for _, d := range where(all.Domains, func(d *model.Domain) bool { return !d.Unproven && hostname.Within(name, d.Name) }) {
		if covering == nil || len(d.Name) > len(covering.Name) {
			covering = d
		}
	}
	if got := m.DomainCovering(name); got != covering {
		t.Fatalf("domain covering %s is %v, want %v", name, got, covering)
	}
	within := slices.SortedFunc(m.ServicesWithin(name), func(a, b *model.Service) int { return a.ID.Compare(b.ID) })
	same(t, "services within "+name, slices.Values(within), where(all.Services, func(v *model.Service) bool { return hostname.Within(v.Hostname, name) }))
}

func same[V any](t *testing.T, what string, got iter.Seq[*V], want []*V) {
	t.Helper()
	if g := slices.Collect(got); !slices.Equal(g, want) {
		t.Fatalf("%s: %d rows, want %d, or others, or in another order", what, len(g), len(want))
	}
}

func samePools(t *testing.T, what string, got iter.Seq[model.PoolID], want []model.PoolID) {
	t.Helper()
	slices.SortFunc(want, model.PoolID.Compare)
	if g := slices.Collect(got); !slices.Equal(g, slices.Compact(want)) {
		t.Fatalf("%s: %v, want %v", what, g, want)
	}
}

func TestApply(t *testing.T) {
	for seed := range uint64(20) {
		w := modeltest.NewWorld(seed)
		m := model.Empty()
		type point struct {
			m   *model.Model
			all model.Batch
		}
		var past []point
		for i := range 150 {
			m = m.Apply(w.Step(6))
			all := modeltest.Clone(w.All())
			check(t, m, all)
			if i%25 == 0 {
				past = append(past, point{m, all})
				check(t, model.Empty().Apply(all), all)
				check(t, m.Apply(all), all)
			}
		}
		for _, p := range past { // later steps left earlier models alone
			check(t, p.m, p.all)
		}
	}
}

func TestApplyBranches(t *testing.T) {
	w := modeltest.NewWorld(1)
	base := model.Empty()
	for range 50 {
		base = base.Apply(w.Step(5))
	}
	at := modeltest.Clone(w.All())
	var wg sync.WaitGroup
	for seed := range uint64(4) { // several next steps of one model, at the same time, do not see each other
		wg.Go(func() {
			own := modeltest.NewWorldAt(seed, at)
			m := base
			for range 20 {
				m = m.Apply(own.Step(5))
				if got, want := len(slices.Collect(m.Services())), len(own.All().Services); got != want {
					t.Errorf("%d services, want %d", got, want)
				}
			}
		})
	}
	wg.Wait()
	check(t, base, at)
}

func TestDomainCovering(t *testing.T) {
	m := parse(t, `
		domain example.org organization=acme pool=edge
		domain b.example.org organization=acme pool=edge
	`)
	for name, want := range map[string]string{
		"example.org": "example.org", "a.example.org": "example.org", "*.example.org": "example.org", "b.example.org": "b.example.org",
		"*.b.example.org": "b.example.org", "x.y.b.example.org": "b.example.org", "org": "", "xexample.org": "", "example.com": "",
	} {
		got := ""
		if d := m.DomainCovering(name); d != nil {
			got = d.Name
		}
		if got != want {
			t.Errorf("%s is in %q, want %q", name, got, want)
		}
	}
}

func TestCertificateFor(t *testing.T) {
	m := parse(t, `
		service www organization=acme pool=edge hostname=www.example.org
		service api organization=acme pool=edge hostname=api.example.org
		service deep organization=acme pool=edge hostname=a.b.example.org
		service any organization=acme pool=edge hostname=*.example.org
		service raw organization=acme pool=edge hostname=raw.example.org kind=tls
		certificate old organization=acme names=www.example.org expires=2026-02-01
		certificate new organization=acme names=www.example.org expires=2026-03-01
		certificate wild organization=acme names=*.example.org expires=2027-01-01
		certificate stranger organization=other names=api.example.org expires=2028-01-01
	`)
	want := map[string]string{"www": "new", "api": "wild", "deep": "", "any": "wild", "raw": ""}
	for s := range m.Services() {
		got := model.CertificateID{}
		if c := m.CertificateFor(s); c != nil {
			got = c.ID
		}
		id := model.CertificateID{}
		if n := want[s.Name]; n != "" {
			id.UUID = modeltest.UUID("certificate", n)
		}
		if got != id {
			t.Errorf("%s: %s, want %s", s.Name, got, want[s.Name])
		}
	}
}

func parse(t *testing.T, text string) *model.Model {
	t.Helper()
	b, err := modeltest.Parse(0, text)
	if err != nil {
		t.Fatal(err)
	}
	return model.Empty().Apply(b)
}

func TestIteratorsStop(t *testing.T) {
	w := modeltest.NewWorld(3)
	m := model.Empty()
	for range 100 {
		m = m.Apply(w.Step(6))
	}
	for range m.Targets() {
		break
	}
	for range m.ServicesWithin("org") {
		break
	}
	for c := range m.Certificates() {
		for range m.ServicesFor(c) {
			break
		}
		for range m.PoolsUsingCertificate(c.ID) {
			break
		}
	}
	if got := names(m.Pools(), func(p *model.Pool) string { return p.ID.String() }); !slices.IsSorted(got) {
		t.Errorf("pools in order %v", got)
	}
}

package certs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/budget"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

func TestWanted(t *testing.T) {
	org, other, pool := model.OrgID{}.New(), model.OrgID{}.New(), model.PoolID{}.New()
	b := model.Batch{To: 1, Reload: true, Services: map[model.ServiceID]*model.Service{}, Domains: map[model.DomainID]*model.Domain{}}
	for _, d := range []*model.Domain{{Org: org, Name: "a.org"}, {Org: org, Name: "sub.a.org"}, {Org: org, Name: "idle.org"}, {Org: other, Name: "b.org"}} {
		d.ID, d.Pool = model.DomainID{}.New(), pool
		b.Domains[d.ID] = d
	}
	service := func(o model.OrgID, host string, kind model.ServiceKind) {
		s := &model.Service{ID: model.ServiceID{}.New(), Org: o, Name: host, Hostname: host, Kind: kind, Pool: pool}
		b.Services[s.ID] = s
	}
	for _, h := range []string{"a.org", "www.a.org", "*.a.org", "deep.x.a.org", "*.y.a.org", "one.y.a.org", "two.y.a.org", "w.sub.a.org", "nodomain.org", "b.org"} {
		service(org, h, model.HTTP)
	}
	service(org, "idle.org", model.TLS) // passed through
	service(other, "www.b.org", model.HTTP)
	service(other, "deep.x.b.org", model.HTTP)
	want := []Want{
		{org, []string{"*.a.org", "a.org"}}, {org, []string{"*.sub.a.org", "sub.a.org"}}, {org, []string{"*.y.a.org"}}, {org, []string{"deep.x.a.org"}},
		{other, []string{"*.b.org", "b.org"}}, {other, []string{"deep.x.b.org"}},
	}
	got := Wanted(model.Empty().Apply(b), nil)
	if !slices.EqualFunc(got, want, func(a, b Want) bool { return a.Org == b.Org && slices.Equal(a.Names, b.Names) }) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// Of a domain that is not delegated, each name has its own certificate as soon as one of them can be had so; what can't, waits for
// the delegation. An alias of the challenge proves a wildcard.
func TestWantedByName(t *testing.T) {
	org, pool := model.OrgID{}.New(), model.PoolID{}.New()
	d := &model.Domain{ID: model.DomainID{}.New(), Org: org, Name: "a.org", Pool: pool}
	b := model.Batch{To: 1, Reload: true, Services: map[model.ServiceID]*model.Service{}, Domains: map[model.DomainID]*model.Domain{d.ID: d}}
	for _, h := range []string{"a.org", "www.a.org", "api.a.org", "*.x.a.org", "one.x.a.org"} {
		s := &model.Service{ID: model.ServiceID{}.New(), Org: org, Name: h, Hostname: h, Kind: model.HTTP, Pool: pool}
		b.Services[s.ID] = s
	}
	m := model.Empty().Apply(b)
	whole := []string{"*.a.org a.org", "*.x.a.org"}
	for name, c := range map[string]struct {
		f    *model.DomainFinding
		want []string
	}{
		"not asked yet":      {nil, whole},
		"delegated":          {&model.DomainFinding{Delegated: true, Provable: []string{"www.a.org"}}, whole},
		"nothing leads here": {&model.DomainFinding{}, whole},
		"one name does":      {&model.DomainFinding{Provable: []string{"www.a.org"}}, []string{"*.x.a.org", "a.org", "api.a.org", "one.x.a.org", "www.a.org"}},
		"a wildcard's alias": {&model.DomainFinding{Provable: []string{"*.x.a.org"}}, []string{"*.x.a.org", "a.org", "api.a.org", "www.a.org"}},
	} {
		var got []string
		for _, w := range Wanted(m, Findings{d.ID: c.f}) {
			got = append(got, strings.Join(w.Names, " "))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := Hostnames(m)[d.ID]; !slices.Equal(got, []string{"*.x.a.org", "a.org", "api.a.org", "one.x.a.org", "www.a.org"}) {
		t.Errorf("hostnames %q", got)
	}
}

func issuer(name string, rank int) *model.Issuer {
	return &model.Issuer{ID: model.IssuerID{}.New(), Name: name, Rank: rank, DirectoryURL: "https://" + name}
}

func due(n int, expires time.Duration, mut func(*model.ManagedCertificate)) store.Due {
	m := &model.ManagedCertificate{ID: model.ManagedCertificateID{}.New(), Names: []string{fmt.Sprintf("n%d.example", n)}, Wanted: true}
	d := store.Due{ManagedCertificate: m}
	if expires != 0 {
		m.Certificate, d.Expires = model.CertificateID{}.New(), start.Add(expires)
	}
	if mut != nil {
		mut(m)
	}
	return d
}

func TestPick(t *testing.T) {
	first, second, own := issuer("first", 1), issuer("second", 2), &model.Issuer{ID: model.IssuerID{}.New(), Rank: 0}
	all := []*model.Issuer{own, first, second}
	room := func() map[model.IssuerID]Room {
		return map[model.IssuerID]Room{first.ID: {New: 1, Renewals: 3}, second.ID: {New: 9, Renewals: 9}, own.ID: {New: 9, Renewals: 9}}
	}
	list := []store.Due{due(0, 0, nil), due(1, 0, nil), due(2, day, nil), due(3, 2*day, nil), due(4, 3*day, nil), due(5, 0, func(m *model.ManagedCertificate) { m.Issuer = second.ID })}
	names := func(s []Start) (out []string) {
		for _, x := range s {
			out = append(out, x.Managed.Names[0]+" "+x.Issuer.Name)
		}
		return out
	}
	got := names(Pick(list, all, room(), start))
	want := []string{"n0.example first", "n2.example first", "n3.example first", "n5.example second"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	first.PausedUntil = start.Add(time.Second)
	if got := names(Pick(list[:1], all, room(), start)); !slices.Equal(got, []string{"n0.example second"}) {
		t.Errorf("while the first is paused: %v", got)
	}
	second.PausedUntil = first.PausedUntil
	if got := Pick(list, all, room(), start); len(got) != 0 {
		t.Errorf("while all are paused: %v", names(got))
	}
}

// A suspended issuer is passed over by what is by rank; what is to be ordered from it alone says that it waits.
func TestSuspendedIssuers(t *testing.T) {
	own, first, second := &model.Issuer{ID: model.IssuerID{}.New(), Name: model.InternalIssuer}, issuer("first", 1), issuer("second", 2)
	all := []*model.Issuer{first, second, own}
	anyone, pinned := &model.ManagedCertificate{Wanted: true}, &model.ManagedCertificate{Wanted: true, Issuer: first.ID}
	first.Suspended = true
	if got := Choice(anyone, all, start); got != second {
		t.Errorf("by rank: %v", got)
	}
	if got := Waits(anyone, all); got != "" {
		t.Errorf("by rank it waits: %s", got)
	}
	if got := Choice(pinned, all, start); got != nil {
		t.Errorf("from it alone: %v", got)
	}
	if _, ok := Soonest(pinned, all, start); ok {
		t.Error("there is a time at which it is ordered from a suspended issuer")
	}
	if got := Waits(pinned, all); !strings.Contains(got, "issuer first") || !strings.Contains(got, "suspended") {
		t.Errorf("from it alone it waits: %q", got)
	}
	second.Suspended = true
	if got := Waits(anyone, all); !strings.Contains(got, "every issuer is suspended") {
		t.Errorf("while all are suspended: %q", got)
	}
	if got := Waits(anyone, []*model.Issuer{own}); !strings.Contains(got, "no issuer") {
		t.Errorf("without an issuer: %q", got)
	}
	pinned.Wanted = false
	if got := Waits(pinned, all); got != "" {
		t.Errorf("what nobody needs waits: %s", got)
	}
	pinned.Wanted, first.Suspended = true, false
	if Choice(pinned, all, start) != first || Waits(pinned, all) != "" {
		t.Error("it waits after the issuer is resumed")
	}
}

// Mass revocation: 10,000 certificates have a true window in the past. All are renewed, soonest to expire first,
// and never more than the account's budget.
func TestDrainWithinBudget(t *testing.T) {
	const certs = 10000
	i := issuer("le", 1)
	limit := budget.Limits(model.IssuerLimits{})[model.BudgetNewOrders]
	bucket := limit.Full(model.BucketKey{Kind: model.BudgetNewOrders}, start)
	var waiting []store.Due
	for n := range certs {
		waiting = append(waiting, due(n, 20*day+time.Duration(n)*time.Minute, nil))
	}
	now := start
	for tick := 0; len(waiting) > 0; tick++ {
		if now.Sub(start) > 5*day {
			t.Fatalf("%d not renewed after five days", len(waiting))
		}
		room := map[model.IssuerID]Room{i.ID: {New: limit.Left(bucket, false, now), Renewals: limit.Left(bucket, true, now)}}
		picked := Pick(waiting, []*model.Issuer{i}, room, now)
		for n, s := range picked {
			if s.Managed != waiting[n].ManagedCertificate {
				t.Fatal("not the soonest to expire")
			}
			var ok bool
			if bucket, _, ok = limit.Take(bucket, true, now); !ok {
				t.Fatal("more than the budget")
			}
		}
		waiting = waiting[len(picked):]
		now = now.Add(5 * time.Minute) // each step looks at all that wait; the budget is of hours
	}
	if took := now.Sub(start); took < 96*time.Hour { // (10000-300)/300*3 h
		t.Errorf("the budget was exceeded: it took %v", took)
	}
}

// For ten days each attempt is refused; certificates live 45. None expires, and all are renewed afterwards. (What planner and worker do
// while no authority answers is shown in package orders.)
func TestTenDaysOfRefusals(t *testing.T) {
	const certs = 1000
	type state struct {
		m model.ManagedCertificate
		l Lifetime
	}
	all := make([]state, certs)
	for n := range all {
		issued := start.Add(-time.Duration(n) * 45 * day / certs * 2 / 3) // some are due at once when the outage begins
		l := Lifetime{issued, issued.Add(45 * day)}
		all[n] = state{Succeed(model.ManagedCertificate{}, model.CertificateID{}.New(), l, false, issued, float64(n)/certs), l}
	}
	from, to, attempts := start.Add(day), start.Add(11*day), 0
	for at := start; at.Before(start.Add(60 * day)); at = at.Add(10 * time.Minute) {
		for n := range all {
			s := &all[n]
			if !at.Before(s.l.NotAfter) {
				t.Fatalf("%d expired on day %.1f", n, at.Sub(start).Hours()/24)
			}
			if s.m.NextAttempt.IsZero() {
				t.Fatal("parked without a next attempt")
			}
			if at.Before(s.m.NextAttempt) {
				continue
			}
			if at.After(from) && at.Before(to) {
				attempts++
				s.m = Fail(s.m, "refused", false, time.Time{}, at, Random())
				continue
			}
			s.l = Lifetime{at, at.Add(45 * day)}
			s.m = Succeed(s.m, model.CertificateID{}.New(), s.l, false, at, Random())
		}
	}
	if attempts == 0 || attempts > certs*60 {
		t.Errorf("%d attempts while it was away", attempts)
	}
	for _, s := range all {
		if s.m.LadderStep != 0 {
			t.Fatal("still failing")
		}
	}
}

// A certificate passes over issuers for a while, and comes back to the first to the second.
func TestHeldIssuers(t *testing.T) {
	first, second := issuer("first", 1), issuer("second", 2)
	all := []*model.Issuer{first, second}
	m := &model.ManagedCertificate{}
	m.Held = Hold(nil, first.ID, model.Hold{Until: start.Add(time.Hour), Why: model.HeldByLimit}, start)
	if got := Choice(m, all, start.Add(time.Hour-time.Nanosecond)); got != second {
		t.Errorf("while the first is held: %v", got)
	}
	if got := Choice(m, all, start.Add(time.Hour)); got != first {
		t.Errorf("when its time has come: %v", got)
	}
	m.Held = Hold(m.Held, second.ID, model.Hold{Until: start.Add(6 * time.Hour), Why: model.HeldByCAA}, start)
	if at, ok := Soonest(m, all, start); !ok || !at.Equal(start.Add(time.Hour)) || Choice(m, all, start) != nil {
		t.Errorf("while both are held: %v, %v", at, ok)
	}
	if got := Fail(*m, "p", false, time.Time{}, start, 0).Held; len(got) != 1 || got[first.ID].Why != model.HeldByLimit || len(m.Held) != 2 {
		t.Errorf("after a failure: %v", got)
	}
	if got := Hold(m.Held, second.ID, m.Held[second.ID], start.Add(2*time.Hour)); len(got) != 1 {
		t.Errorf("what is over is kept: %v", got)
	}
	m.Issuer = second.ID
	if at, _ := Soonest(m, all, start); !at.Equal(start.Add(6 * time.Hour)) {
		t.Errorf("of a certificate with one issuer: %v", at)
	}
}

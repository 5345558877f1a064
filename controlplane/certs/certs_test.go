package certs

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestPlan(t *testing.T) {
	org, other := model.OrgID{}.New(), model.OrgID{}.New()
	service := func(name, host string, kind model.ServiceKind) *model.Service {
		return &model.Service{ID: model.ServiceID{}.New(), Org: org, Name: name, Hostname: host, Kind: kind}
	}
	cert := func(o model.OrgID, from time.Duration, names ...string) *model.Certificate {
		return &model.Certificate{ID: model.CertificateID{}.New(), Org: o, Names: names, NotBefore: start.Add(from), NotAfter: start.Add(from + 90*day)}
	}
	b := model.Batch{To: 1, Reload: true, Services: map[model.ServiceID]*model.Service{}, Certificates: map[model.CertificateID]*model.Certificate{}}
	for _, s := range []*model.Service{
		service("none", "none.example", model.HTTP), service("fresh", "fresh.example", model.HTTP), service("old", "old.example", model.HTTP),
		service("passed", "passed.example", model.TLS), service("stolen", "stolen.example", model.HTTP),
	} {
		b.Services[s.ID] = s
	}
	replaced, several := cert(org, 0, "fresh.example"), cert(org, 0, "a.example", "fresh.example")
	for _, c := range []*model.Certificate{
		cert(org, 30*day, "fresh.example"), replaced, several, cert(org, 0, "old.example"), cert(other, 30*day, "stolen.example"), cert(other, 0, "fresh.example"),
	} {
		b.Certificates[c.ID] = c
	}
	m := model.Empty().Apply(b)
	due := func(at time.Duration) (names []string) {
		for _, s := range Due(m, false, start.Add(at)) {
			names = append(names, s.Name)
		}
		slices.Sort(names)
		return names
	}
	if got, want := due(60*day-time.Second), []string{"none", "stolen"}; !slices.Equal(got, want) {
		t.Errorf("before two thirds of its life: %v, want %v", got, want)
	}
	if got, want := due(60*day), []string{"none", "old", "stolen"}; !slices.Equal(got, want) {
		t.Errorf("after two thirds of its life: %v, want %v", got, want)
	}
	if got := Superseded(m, start.Add(31*day-time.Second)); len(got) != 0 {
		t.Errorf("removed too early: %v", got)
	}
	if got := Superseded(m, start.Add(31*day)); len(got) != 1 || got[0] != replaced {
		t.Errorf("superseded: %v", got)
	}
}

// fixture is a worker on a real database with one service that was written past the API.
func fixture(t *testing.T) (*Worker, *store.Store, *model.Service) {
	t.Helper()
	db := storetest.New(t)
	certPEM, keyPEM, err := authority.Create(authority.Web, "c", start)
	if err != nil {
		t.Fatal(err)
	}
	web, err := authority.Parse(authority.Web, certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	kek, err := authority.NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := authority.NewSealer(kek)
	if err != nil {
		t.Fatal(err)
	}
	org, pool := &model.Organization{ID: model.OrgID{}.New(), Name: "o"}, &model.Pool{ID: model.PoolID{}.New(), Name: "p"}
	s := &model.Service{ID: model.ServiceID{}.New(), Org: org.ID, Name: "s", Kind: model.HTTP, Hostname: "s.example", Pool: pool.ID}
	_, err = db.Tx(t.Context(), "test", func(tx *store.Tx) error {
		for _, err := range []error{
			tx.CreateOrganization(t.Context(), org), tx.CreatePool(t.Context(), pool),
			tx.CreateDomain(t.Context(), &model.Domain{ID: model.DomainID{}.New(), Org: org.ID, Name: "s.example", Pool: pool.ID}),
			tx.CreateService(t.Context(), s),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w := NewWorker(db, NewIssuer(web, sealer), model.NewCurrent(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	return w, db, s
}

func load(t *testing.T, db *store.Store) *model.Model {
	t.Helper()
	b, err := db.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return model.Empty().Apply(b)
}

func TestWorkerRenewsAndCleansUp(t *testing.T) {
	w, db, s := fixture(t)
	w.look(t.Context(), load(t, db), start)
	m := load(t, db)
	first := m.CertificateFor(m.Service(s.ID))
	if first == nil {
		t.Fatal("no certificate")
	}
	key, err := w.issuer.sealer.Open(first.SealedKey, first.ID.String())
	if err != nil || len(key) == 0 {
		t.Errorf("the key does not open as its row's: %v", err)
	}
	before := m.Revision()
	w.look(t.Context(), m, start.Add(day))
	if m = load(t, db); m.Revision() != before {
		t.Error("something was written although nothing was due")
	}
	// Another replica sees the same model, and is slower.
	late := start.Add(61 * day)
	w.look(t.Context(), m, late)
	w.look(t.Context(), m, late)
	m = load(t, db)
	if n := len(m.Service(s.ID).Hostname); n == 0 || count(m) != 2 || m.CertificateFor(m.Service(s.ID)).ID == first.ID {
		t.Errorf("%d certificates after the renewal", count(m))
	}
	w.look(t.Context(), m, late.Add(day))
	if m = load(t, db); count(m) != 1 || m.Certificate(first.ID) != nil {
		t.Errorf("%d certificates after the overlap", count(m))
	}
}

func count(m *model.Model) int { return len(slices.Collect(m.Certificates())) }

func TestWorkerFollowsTheModel(t *testing.T) {
	w, db, s := fixture(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.world.Set(load(t, db))
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		if m := load(t, db); m.CertificateFor(m.Service(s.ID)) != nil {
			tick.Stop()
			break
		}
		if ctx.Err() != nil {
			t.Fatal("no certificate")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

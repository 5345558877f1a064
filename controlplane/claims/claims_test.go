package claims

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// zones is a DNS that says what belongs to whom.
type zones struct {
	mu    sync.Mutex
	owner map[string]model.OrgID
	asked map[string]int
}

func (z *zones) Owned(_ context.Context, apex string, org model.OrgID) (bool, string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked[apex]++
	if z.owner[apex] == org {
		return true, "", nil
	}
	return false, "no record", nil
}

func TestClaims(t *testing.T) {
	db, ctx := storetest.New(t), t.Context()
	tenant, rival, house := &model.Organization{ID: model.OrgID{}.New(), Name: "tenant"}, &model.Organization{ID: model.OrgID{}.New(), Name: "rival"},
		&model.Organization{ID: model.OrgID{}.New(), Name: "house", Trusted: true}
	pool := &model.Pool{ID: model.PoolID{}.New(), Name: "p"}
	domains := map[string]*model.Domain{}
	_, err := db.Tx(ctx, "test", func(tx *store.Tx) error {
		for _, o := range []*model.Organization{tenant, rival, house} {
			if err := tx.CreateOrganization(ctx, o); err != nil {
				return err
			}
		}
		if err := tx.CreatePool(ctx, pool); err != nil {
			return err
		}
		for _, d := range []*model.Domain{
			{Org: tenant.ID, Name: "a.test", Unproven: true}, {Org: rival.ID, Name: "b.a.test", Unproven: true}, {Org: house.ID, Name: "house.test", Unproven: true},
			{Org: rival.ID, Name: "r.test"}, {Org: rival.ID, Name: "below.r.test", Unproven: true},
		} {
			d.ID, d.Pool = model.DomainID{}.New(), pool.ID
			domains[d.Name] = d
			if err := tx.CreateDomain(ctx, d); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	dns := &zones{owner: map[string]model.OrgID{}, asked: map[string]int{}}
	w := New(db, model.NewCurrent(), dns, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	now := time.Now().Add(time.Second)
	// look lets two replicas look, and returns what is claimed then, with why.
	look := func(after time.Duration) map[string]string {
		t.Helper()
		now = now.Add(after)
		for range 2 {
			b, err := db.Changes(ctx, 0, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Look(ctx, model.Empty().Apply(b), now); err != nil {
				t.Fatal(err)
			}
		}
		out := map[string]string{}
		if err := db.View(ctx, func(tx *store.Tx) error {
			found, err := tx.AllDomainFindings(ctx)
			for name, d := range domains {
				is, e := tx.GetDomain(ctx, d.ID)
				if e != nil {
					return e
				}
				if is.Unproven {
					out[name] = ""
					if f := found[d.ID]; f != nil {
						out[name] = f.Problem
					}
				} else if found[d.ID] != nil {
					t.Errorf("%s is proved, and the claim's finding is there", name)
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := look(0); len(got) != 2 || got["a.test"] != "no record" || got["b.a.test"] != "no record" {
		t.Errorf("at first: %v", got)
	}
	if dns.asked["house.test"]+dns.asked["below.r.test"] > 0 || dns.asked["a.test"] != 1 {
		t.Errorf("asked %v", dns.asked)
	}
	dns.owner["a.test"], dns.owner["b.a.test"] = tenant.ID, rival.ID
	if got := look(again / 2); len(got) != 2 || dns.asked["a.test"] != 1 {
		t.Errorf("too soon: %v, asked %v", got, dns.asked)
	}
	dns.owner["b.a.test"] = tenant.ID
	if got := look(again); len(got) != 1 || got["b.a.test"] != "no record" {
		t.Errorf("the owner has written the record: %v", got)
	}
	dns.owner["b.a.test"] = rival.ID // what is below another organization's domain stays a claim, whoever may write there
	if got := look(again); len(got) != 1 || got["b.a.test"] != "it is within, or above, a domain of another organization" {
		t.Errorf("two who have it: %v", got)
	}
	asked := dns.asked["b.a.test"]
	now = now.Add(young)
	look(0)
	if look(2 * again); dns.asked["b.a.test"] != asked+1 {
		t.Errorf("an old claim was asked about %d times", dns.asked["b.a.test"]-asked)
	}
	if _, err := db.Tx(ctx, "test", func(tx *store.Tx) error { return tx.RecheckDomains(ctx, rival.ID, []string{"b.a.test"}, now) }); err != nil {
		t.Fatal(err)
	}
	if look(0); dns.asked["b.a.test"] != asked+2 {
		t.Error("whoever asks for it is not heard")
	}
}

package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/policy"
)

// follower reads one step after the other.
type follower struct {
	t  *testing.T
	s  *store.Store
	at model.Revision
}

// step reads the next step, which is one revision.
func (f *follower) step() model.Batch {
	f.t.Helper()
	b, err := f.s.Changes(f.t.Context(), f.at, 100)
	if err != nil || b.To != f.at+1 || b.CommittedAt.IsZero() {
		f.t.Fatalf("%+v, %v; want revision %d", b, err, f.at+1)
	}
	f.at = b.To
	return b
}

// still expects that there is nothing new.
func (f *follower) still(why string) {
	f.t.Helper()
	if b, err := f.s.Changes(f.t.Context(), f.at, 100); err != nil || b.Reload || b.To != f.at {
		f.t.Fatalf("%s: %+v, %v; want nothing after %d", why, b, err, f.at)
	}
}

func follow(t *testing.T) (f *follower, w *world, sql func(string)) {
	t.Helper()
	dsn := storetest.DSN(t)
	s, w := storetest.Open(t, dsn), newWorld(t)
	w.create(t, s)
	conn := connect(t, dsn)
	return &follower{t, s, 1}, w, func(q string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// Whoever changes a row, and however: the step carries the row as it is then.
func TestChanges(t *testing.T) {
	f, w, sql := follow(t)
	sql("UPDATE services SET hostname = 'new.example.org' WHERE kind = 'http'")
	if b := f.step(); b.Services[w.svc.ID].Hostname != "new.example.org" || len(b.Sites)+len(b.Nodes)+len(b.Targets) != 0 {
		t.Errorf("%+v", b)
	}
	sql("UPDATE services SET hostname = hostname, updated_at = now()")
	f.still("an update of nothing")
	sql("UPDATE services SET hostname = 'x.example.org' WHERE name = 'none'")
	f.still("an update of no rows")
	sql("BEGIN; UPDATE sites SET tunnels = 8; ROLLBACK")
	f.still("a transaction rolled back")
	sql("BEGIN; UPDATE sites SET tunnels = 5; UPDATE pools SET name = 'other'; UPDATE sites SET tunnels = 6; COMMIT")
	if b := f.step(); b.Sites[w.site.ID].Tunnels != 6 || b.Pools[w.pool.ID].Name != "other" {
		t.Errorf("%+v", b)
	}
	sql("BEGIN; UPDATE pools SET name = 'kept'; SAVEPOINT a; UPDATE sites SET tunnels = 1; ROLLBACK TO a; COMMIT")
	if b := f.step(); b.Pools[w.pool.ID].Name != "kept" || len(b.Sites) != 0 {
		t.Errorf("half of it rolled back: %+v", b)
	}
	sql("INSERT INTO pools (id, name) VALUES ('" + w.pool.ID.UUID.String() + "', 'upserted') ON CONFLICT (id) DO UPDATE SET name = excluded.name")
	if b := f.step(); b.Pools[w.pool.ID].Name != "upserted" {
		t.Errorf("upsert: %+v", b)
	}
	sql("SET search_path = ''; UPDATE public.sites SET tunnels = 7; RESET search_path")
	if b := f.step(); b.Sites[w.site.ID].Tunnels != 7 {
		t.Errorf("with another search path: %+v", b)
	}
	moved := w.region.ID.New()
	sql("BEGIN; UPDATE nodes SET region_id = NULL; UPDATE sites SET region_id = NULL; UPDATE regions SET id = '" + moved.UUID.String() + "'; COMMIT")
	if b := f.step(); b.Nodes[w.node.ID] == nil || b.Regions[moved] == nil || !gone(b.Regions, w.region.ID) {
		t.Errorf("another key: %+v", b)
	}
	sql("DELETE FROM services")
	if b := f.step(); !gone(b.Services, w.svc.ID) || !gone(b.Targets, w.target.ID) {
		t.Errorf("deleted, and what went along: %+v", b)
	}
	sql("UPDATE authorities SET cert_pem = 'other'")
	if b := f.step(); string(b.Authorities["web"]) != "other" {
		t.Errorf("%+v", b.Authorities)
	}
	sql("DELETE FROM authorities")
	if b := f.step(); b.Authorities["web"] != nil || len(b.Authorities) != 1 {
		t.Errorf("%+v", b.Authorities)
	}
	sql("TRUNCATE certificates")
	if b := f.step(); !b.Reload || len(b.Certificates) != 0 || len(b.Sites) != 1 {
		t.Errorf("after TRUNCATE: %+v", b)
	}
	sql("UPDATE api_keys SET name = 'x'; UPDATE join_tokens SET name = 'x'; DELETE FROM join_tokens; TRUNCATE api_keys")
	f.still("credentials are not configuration")
}

func gone[K comparable, V any](rows map[K]*V, id K) bool {
	v, ok := rows[id]
	return ok && v == nil
}

// A transaction that makes its constraints immediate and goes on takes a second revision; both come at once,
// in order.
func TestImmediateConstraints(t *testing.T) {
	f, w, sql := follow(t)
	sql("BEGIN; UPDATE sites SET tunnels = 5; SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; UPDATE pools SET name = 'other'; COMMIT")
	b, err := f.s.Changes(t.Context(), f.at, 100)
	if err != nil || b.To != 3 || b.Sites[w.site.ID].Tunnels != 5 || b.Pools[w.pool.ID].Name != "other" {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestTooFarBehind(t *testing.T) {
	f, _, sql := follow(t)
	ctx := t.Context()
	sql("UPDATE sites SET tunnels = 5")
	sql("BEGIN; UPDATE sites SET tunnels = 6; UPDATE pools SET name = 'other'; COMMIT")
	if b, err := f.s.Changes(ctx, 1, 2); err != nil || b.Reload || b.To != 3 {
		t.Errorf("two changed rows, two allowed: %+v, %v", b, err)
	}
	if b, err := f.s.Changes(ctx, 1, 1); err != nil || !b.Reload || b.To != 3 || len(b.Sites) != 1 {
		t.Errorf("two changed rows, one allowed: %+v, %v", b, err)
	}
	if b, err := f.s.Changes(ctx, 99, 100); err != nil || !b.Reload || b.To != 3 {
		t.Errorf("a follower ahead of a restored database: %+v, %v", b, err)
	}
}

func TestPrune(t *testing.T) {
	f, _, sql := follow(t)
	ctx := t.Context()
	for range 5 { // revisions 2 to 6
		sql("UPDATE sites SET tunnels = 1 + tunnels % 8")
	}
	sql(`UPDATE revisions SET committed_at = now() - CASE WHEN rev = 2 THEN interval '1 minute' -- the clock was set back after it
		WHEN rev <= 4 THEN interval '1 hour' ELSE interval '1 minute' END`)
	prune := func(age time.Duration, want int64) {
		t.Helper()
		if n, err := f.s.Prune(ctx, time.Now().Add(-age)); err != nil || n != want {
			t.Errorf("pruned %d, %v; want %d", n, err, want)
		}
	}
	reload := func(after model.Revision, want bool) {
		t.Helper()
		if b, err := f.s.Changes(ctx, after, 100); err != nil || b.Reload != want || b.To != 6 {
			t.Errorf("after %d: %+v, %v; want reload %v", after, b, err, want)
		}
	}
	prune(30*time.Minute, 1) // revision 1; 2 is young, so all from there on stay
	reload(0, true)
	reload(1, false)
	prune(-time.Hour, 4) // all but the newest
	reload(4, true)
	reload(5, false)
	reload(6, false)
	prune(-time.Hour, 0)
	err := f.s.View(ctx, func(tx *store.Tx) error {
		if _, err := tx.Revision(ctx, 3); fault.Of(err) != fault.NotFound {
			t.Errorf("a pruned revision: %v", err)
		}
		_, err := tx.Revision(ctx, 6)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestActor(t *testing.T) {
	f, w, sql := follow(t)
	ctx := t.Context()
	sql("UPDATE sites SET tunnels = 8")
	sql("BEGIN; SELECT set_config('warren.actor', 'import', true); UPDATE sites SET tunnels = 7; COMMIT")
	sql("UPDATE sites SET tunnels = 6") // the setting was the transaction's
	rev, err := f.s.Tx(ctx, "key_1", func(tx *store.Tx) error {
		_, err := tx.UpdateSite(ctx, &w.site)
		return err
	})
	if err != nil || rev != 5 {
		t.Fatal(rev, err)
	}
	err = f.s.View(ctx, func(tx *store.Tx) error {
		for rev, want := range map[model.Revision]string{1: "test", 2: "sql:warren", 3: "import", 4: "sql:warren", 5: "key_1"} {
			if r, err := tx.Revision(ctx, rev); err != nil || r.Actor != want || r.CommittedAt.IsZero() {
				t.Errorf("revision %d: %+v, %v; want %s", rev, r, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Tx tells the revision that it made, also when the same connection made another before.
func TestRevisionOfTx(t *testing.T) {
	s, w, ctx := storetest.New(t), newWorld(t), t.Context()
	w.create(t, s)
	update := func() (model.Revision, error) {
		return s.Tx(ctx, "test", func(tx *store.Tx) error { _, err := tx.UpdateSite(ctx, &w.site); return err })
	}
	if rev, err := update(); err != nil || rev != 0 {
		t.Errorf("an update of nothing: revision %d, %v", rev, err)
	}
	for want := model.Revision(2); want < 5; want++ {
		w.site.Tunnels = int(want) + 2
		if rev, err := update(); err != nil || rev != want {
			t.Errorf("revision %d, %v; want %d", rev, err, want)
		}
		if rev, err := update(); err != nil || rev != 0 {
			t.Errorf("an update of nothing: revision %d, %v", rev, err)
		}
	}
}

// Transactions that lose against each other run again, and make one revision each.
func TestTxRunsAgain(t *testing.T) {
	s, ctx := storetest.New(t), t.Context()
	ids := []model.RegionID{model.RegionID{}.New(), model.RegionID{}.New()}
	_, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		return errors.Join(tx.CreateRegion(ctx, &model.Region{ID: ids[0], Name: "a"}), tx.CreateRegion(ctx, &model.Region{ID: ids[1], Name: "b"}))
	})
	if err != nil {
		t.Fatal(err)
	}
	// Each takes the row that the other wants next: PostgreSQL ends one of them.
	met := make(chan struct{}, 2)
	runs := [2]int{}
	cross := func(ctx context.Context, me int) error {
		_, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
			runs[me]++
			for i, id := range []model.RegionID{ids[me], ids[1-me]} {
				if i == 1 && runs[me] == 1 {
					met <- struct{}{}
					for len(met) < 2 && ctx.Err() == nil {
						if _, err := tx.GetRegion(ctx, id); err != nil {
							return err
						}
					}
				}
				name := strings.Repeat(string(rune('a'+2*me+i)), 3+me)
				if _, err := tx.UpdateRegion(ctx, &model.Region{ID: id, Name: name}); err != nil {
					return err
				}
			}
			return nil
		})
		return err
	}
	errs := make(chan error, 2)
	for me := range 2 {
		go func() { errs <- cross(ctx, me) }()
	}
	if err := errors.Join(<-errs, <-errs); err != nil {
		t.Fatal(err)
	}
	if runs[0]+runs[1] < 3 {
		t.Errorf("runs: %v, want one to run again", runs)
	}
	if b, err := s.Load(ctx); err != nil || b.To != 3 {
		t.Errorf("revision %d, %v", b.To, err)
	}
}

// Changes from nothing at all are the same as a load.
func TestChangesFromTheBeginning(t *testing.T) {
	f, _, _ := follow(t)
	_, err := f.s.Tx(t.Context(), "test", func(tx *store.Tx) error {
		org := &model.Organization{ID: model.OrgID{}.New(), Name: "policies"}
		p := &model.Policy{ID: model.PolicyID{}.New(), Org: org.ID, Name: "staff", Rules: []policy.Rule{{Action: policy.Allow, Conditions: policy.Conditions{Paths: []string{"/a"}}}}}
		err := errors.Join(tx.CreateOrganization(t.Context(), org), tx.CreatePolicy(t.Context(), p),
			tx.CreateShareLink(t.Context(), &model.ShareLink{ID: model.ShareLinkID{}.New(), Policy: p.ID, Hash: [32]byte{1}}),
			tx.CreateServiceToken(t.Context(), &model.ServiceToken{ID: model.ServiceTokenID{}.New(), Policy: p.ID, Name: "probe", Hash: [32]byte{2}}))
		if err != nil {
			return err
		}
		return tx.CreateIssuer(t.Context(), &model.Issuer{ID: model.IssuerID{}.New(), Name: "ca", DirectoryURL: "https://ca.example/directory", CAAIdentities: []string{"ca.example"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	load, err := f.s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, err := f.s.Changes(t.Context(), 0, 100)
	if err != nil || all.Reload {
		t.Fatalf("%+v, %v", all, err)
	}
	load.Reload = false
	for _, p := range load.Policies {
		if len(p.Rules) != 1 || len(p.ShareLinks) != 1 || len(p.ServiceTokens) != 1 {
			t.Errorf("policy %+v", p)
		}
	}
	if diff := cmp.Diff(load, all, byValue); diff != "" {
		t.Error(diff)
	}
}

// A reader that is held up half-way still gets one moment: nothing of what is committed meanwhile.
func TestBatchIsOneMoment(t *testing.T) {
	for name, read := range map[string]func(context.Context, *store.Store) (model.Batch, error){
		"load":    func(ctx context.Context, s *store.Store) (model.Batch, error) { return s.Load(ctx) },
		"changes": func(ctx context.Context, s *store.Store) (model.Batch, error) { return s.Changes(ctx, 0, 100) },
	} {
		t.Run(name, func(t *testing.T) {
			dsn := storetest.DSN(t)
			s, w, ctx := storetest.Open(t, dsn), newWorld(t), t.Context()
			w.create(t, s)
			obstacle, writer := connect(t, dsn), connect(t, dsn)
			if _, err := obstacle.Exec(ctx, "BEGIN; LOCK TABLE services"); err != nil {
				t.Fatal(err)
			}
			type result struct {
				b   model.Batch
				err error
			}
			done := make(chan result, 1)
			go func() {
				b, err := read(ctx, s)
				done <- result{b, err}
			}()
			until(t, "the reader stands at the lock", func() bool {
				var n int
				err := writer.QueryRow(ctx, "SELECT count(*) FROM pg_locks WHERE relation = 'services'::regclass AND NOT granted").Scan(&n)
				if err != nil {
					t.Fatal(err)
				}
				return n == 1
			})
			// Tables that it has read, and tables that it has still to read.
			if _, err := writer.Exec(ctx, "BEGIN; UPDATE sites SET tunnels = 8; UPDATE domains SET name = 'example.net'; DELETE FROM certificates; COMMIT"); err != nil {
				t.Fatal(err)
			}
			if _, err := obstacle.Exec(ctx, "ROLLBACK"); err != nil {
				t.Fatal(err)
			}
			r := <-done
			if r.err != nil || r.b.To != 1 || r.b.Sites[w.site.ID].Tunnels != 3 || r.b.Domains[w.domain.ID].Name != "example.org" || r.b.Certificates[w.cert.ID] == nil {
				t.Errorf("%+v, %v", r.b, r.err)
			}
		})
	}
}

// until asks again and again, within the deadline.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.After(deadline)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not in time: %s", what)
		}
	}
}

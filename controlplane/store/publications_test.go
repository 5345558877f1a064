package store_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/warrenedge/warren/controlplane/audit"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

func TestPublications(t *testing.T) {
	s, w, ctx := storetest.New(t), newWorld(t), t.Context()
	w.create(t, s)
	p := &model.Publication{
		Connector: w.conn.ID, Org: w.org.ID, Site: w.site.ID, Name: w.conn.Name, Engine: "e", Anywhere: true, Partial: true, Held: []string{"h"},
		Services: []model.PublishedService{{Name: "shop", Kind: "http", Targets: []model.PublishedTarget{{Container: "c", Address: "a", Port: 80, HealthCheck: &model.PublishedCheck{Kind: "tcp"}}}}},
		Problems: []model.PublishProblem{{Service: "h", Message: "<&>"}},
	}
	shown := &model.Published{Site: w.site.ID, Org: w.org.ID, Services: []string{"shop"}, Problems: p.Problems}
	ignore := cmpopts.IgnoreFields(model.Publication{}, "Said", "Meta")
	rev, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		if err := errors.Join(tx.PutPublication(ctx, p), tx.PutPublished(ctx, shown)); err != nil {
			return err
		}
		list, err := tx.ListPublications(ctx, w.site.ID)
		if diff := cmp.Diff([]*model.Publication{p}, list, ignore); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		trouble := *p
		trouble.Trouble = "away"
		if err := tx.PutTrouble(ctx, &trouble); err != nil {
			return err
		}
		list, err = tx.ListPublications(ctx, w.site.ID)
		if diff := cmp.Diff([]*model.Publication{&trouble}, list, ignore); err != nil || diff != "" {
			t.Errorf("%v, in trouble:\n%s", err, diff)
		}
		got, err := tx.GetPublished(ctx, w.site.ID)
		if diff := cmp.Diff(shown, got); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		had, err := tx.DeletePublication(ctx, w.conn.ID)
		again, err2 := tx.DeletePublication(ctx, w.conn.ID)
		if !had || again || err != nil || err2 != nil {
			t.Errorf("deleted %v, %v, then %v, %v", had, err, again, err2)
		}
		if err := tx.DeletePublished(ctx, w.site.ID); err != nil {
			return err
		}
		if _, err := tx.GetPublished(ctx, w.site.ID); fault.Of(err) != fault.NotFound {
			t.Errorf("after it was deleted: %v", err)
		}
		return nil
	})
	if err != nil || rev != 0 {
		t.Errorf("revision %d, %v: nodes hear nothing of publications", rev, err)
	}
}

// An attempt that fails leaves nothing, and what was before and comes after stays.
func TestAttempt(t *testing.T) {
	s, ctx := storetest.New(t), t.Context()
	pool := func(name string) *model.Pool { return &model.Pool{ID: model.PoolID{}.New(), Name: name} }
	failed := errors.New("failed")
	_, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		make := func(name string, end error) func() error {
			return func() error {
				tx.Audit(audit.Entry{Actor: "test", Action: "pool.create", ObjectName: name, Result: audit.Done})
				return errors.Join(tx.CreatePool(ctx, pool(name)), end)
			}
		}
		if err := tx.Attempt(ctx, make("before", nil)); err != nil {
			return err
		}
		if err := tx.Attempt(ctx, make("not", failed)); !errors.Is(err, failed) {
			t.Errorf("%v, want what failed", err)
		}
		if err := tx.Attempt(ctx, make("before", nil)); fault.Of(err) != fault.Conflict { // the database itself refuses it
			t.Errorf("%v, want a conflict", err)
		}
		return tx.Attempt(ctx, make("after", nil))
	})
	if err != nil {
		t.Fatal(err)
	}
	var names, logged []string
	err = s.View(ctx, func(tx *store.Tx) error {
		pools, err := tx.ListPools(ctx, store.Page{Limit: 10})
		for _, p := range pools {
			names = append(names, p.Name)
		}
		log, err2 := tx.RecentAudit(ctx, model.OrgID{}, 10)
		for _, e := range log {
			logged = append(logged, e.ObjectName)
		}
		return errors.Join(err, err2)
	})
	if want := []string{"after", "before"}; err != nil || !cmp.Equal(names, want) || !cmp.Equal(logged, want) {
		t.Errorf("pools %v, logged %v, %v, want %v", names, logged, err, want)
	}
}

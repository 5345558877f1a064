package gossipkey

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/feed"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/wgkey"
)

// fleet is one node whose standing a test says.
type fleet struct {
	mu       sync.Mutex
	standing presence.Standing
	asked    []model.Revision
}

func (f *fleet) Standing(_ time.Time, nodes []model.NodeID, rev model.Revision) map[model.NodeID]presence.Standing {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, rev)
	out := map[model.NodeID]presence.Standing{}
	for _, n := range nodes {
		out[n] = f.standing
	}
	return out
}

func (f *fleet) set(s presence.Standing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.standing = s
}

type fixture struct {
	t      *testing.T
	db     *store.Store
	world  *model.Current
	sealer *authority.Sealer
	fleet  *fleet
	log    bytes.Buffer
}

func setup(t *testing.T) *fixture {
	t.Helper()
	kek, err := authority.NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, db: storetest.New(t), world: model.NewCurrent(), fleet: &fleet{}}
	if f.sealer, err = authority.NewSealer(kek); err != nil {
		t.Fatal(err)
	}
	f.tx(func(ctx context.Context, tx *store.Tx) error {
		pool := model.Pool{ID: model.PoolID{}.New(), Name: "p"}
		if err := tx.CreatePool(ctx, &pool); err != nil {
			return err
		}
		return tx.CreateNode(ctx, &model.Node{ID: model.NodeID{}.New(), Name: "n1", Pool: pool.ID, Lifecycle: model.Active, WireGuardKey: wgkey.Public{1}})
	})
	return f
}

func (f *fixture) tx(do func(context.Context, *store.Tx) error) model.Revision {
	f.t.Helper()
	rev, err := f.db.Tx(f.t.Context(), "test", func(tx *store.Tx) error { return do(f.t.Context(), tx) })
	if err != nil {
		f.t.Fatal(err)
	}
	return rev
}

// worker is that of a replica that has just started.
func (f *fixture) worker() *Worker {
	return NewWorker(f.db, f.sealer, f.world, f.fleet, slog.New(slog.NewTextHandler(&f.log, nil)), prometheus.NewRegistry())
}

// follow brings the model up to date.
func (f *fixture) follow() *model.Model {
	f.t.Helper()
	b, err := f.db.Load(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	f.world.Set(f.world.Get().Apply(b))
	return f.world.Get()
}

func (f *fixture) keys() []*model.GossipKey { return slices.Collect(f.follow().GossipKeys()) }

func (f *fixture) want(what, want string) {
	f.t.Helper()
	if got := states(f.keys()); got != want {
		f.t.Fatalf("%s: keys are %q, want %q", what, got, want)
	}
}

func (f *fixture) ask() {
	f.t.Helper()
	f.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.CreateGossipKey(ctx, &model.GossipKey{ID: model.GossipKeyID{}.New(), State: model.GossipKeyAsked})
	})
}

// Each step is taken by another process, which has seen nothing of the ones before.
func TestRotationIsResumed(t *testing.T) {
	f, now := setup(t), time.Now()
	f.worker().Look(t.Context(), f.world.Get(), now)
	f.want("before the configuration is read", "")
	f.worker().Look(t.Context(), f.follow(), now)
	f.want("first start", "seals")
	first := f.keys()[0]
	f.worker().Look(t.Context(), f.follow(), now)
	f.want("second start", "seals")

	f.ask()
	f.worker().Look(t.Context(), f.follow(), now)
	f.want("begun", "seals opens")
	for range 3 {
		f.worker().Look(t.Context(), f.follow(), now)
		f.want("the node is behind", "seals opens")
	}
	f.fleet.set(presence.Ready)
	f.worker().Look(t.Context(), f.follow(), now)
	f.want("the node has the new key", "retired seals")
	f.fleet.set(presence.Away)
	f.worker().Look(t.Context(), f.follow(), time.Now())
	f.want("the node is away", "retired seals")
	f.worker().Look(t.Context(), f.follow(), time.Now().Add(presence.Patience+time.Minute))
	f.want("it is away for long", "seals")
	if last := f.keys()[0]; last.ID == first.ID || bytes.Equal(last.SealedKey, first.SealedKey) {
		t.Error("the old key is left")
	}
	f.worker().Look(t.Context(), f.follow(), now)
	f.want("at rest", "seals")

	key, err := f.sealer.Open(f.keys()[0].SealedKey, f.keys()[0].ID.String())
	if err != nil || len(key) != 32 || bytes.Contains(f.log.Bytes(), key) {
		t.Errorf("%d bytes, %v", len(key), err)
	}
}

// Two workers that decide on the same state take its step once.
func TestStepsAreTakenOnce(t *testing.T) {
	f, now := setup(t), time.Now()
	f.fleet.set(presence.Ready)
	m := f.follow()
	a, b := f.worker(), f.worker()
	a.Look(t.Context(), m, now)
	b.Look(t.Context(), m, now)
	f.want("both make the first key", "seals")
	f.ask()
	m = f.follow()
	a.Look(t.Context(), m, now)
	b.Look(t.Context(), m, now)
	f.want("both begin", "seals opens")
	m = f.follow()
	a.Look(t.Context(), m, now)
	f.fleet.set(presence.Behind) // by what a did
	b.Look(t.Context(), m, now)
	b.Look(t.Context(), f.follow(), now)
	f.want("one was quicker, the other must wait anew", "retired seals")
}

// What nodes have to apply is the revision at which the state was first seen, however many there are after it.
func TestNewRevisionsDontKeepItUp(t *testing.T) {
	f, now := setup(t), time.Now()
	w := f.worker()
	w.Look(t.Context(), f.follow(), now)
	f.ask()
	w.Look(t.Context(), f.follow(), now)
	w.Look(t.Context(), f.follow(), now)
	for i := range 3 {
		f.tx(func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateRegion(ctx, &model.Region{ID: model.RegionID{}.New(), Name: "r" + string(rune('0'+i))})
		})
		w.Look(t.Context(), f.follow(), now)
	}
	if got := slices.Compact(slices.Clone(f.fleet.asked)); len(got) != 1 || len(f.fleet.asked) != 4 {
		t.Errorf("asked about revisions %v", f.fleet.asked)
	}
}

func TestKeysThatCantBeOpenedAreReplaced(t *testing.T) {
	f := setup(t)
	f.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.CreateGossipKey(ctx, &model.GossipKey{ID: model.GossipKeyID{}.New(), State: model.GossipKeySeals, SealedKey: []byte("torn")})
	})
	for range 2 {
		f.worker().Look(t.Context(), f.follow(), time.Now())
	}
	f.want("replaced", "seals")
	if k := f.keys()[0]; !(vault{f.sealer}).readable(k) {
		t.Error("it can't be opened either")
	}
	if !bytes.Contains(f.log.Bytes(), []byte("ERROR")) {
		t.Errorf("nobody is told: %s", f.log.String())
	}
}

// Run rotates by itself, beside another one.
func TestRun(t *testing.T) {
	f := setup(t)
	f.fleet.set(presence.Ready)
	ctx, cancel := context.WithCancel(t.Context())
	changes := feed.New(f.db, func(b model.Batch) { f.world.Set(f.world.Get().Apply(b)) }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	var wg sync.WaitGroup
	log := slog.New(slog.DiscardHandler)
	for _, run := range []func(context.Context) error{
		changes.Run,
		NewWorker(f.db, f.sealer, f.world, f.fleet, log, prometheus.NewRegistry()).Run, NewWorker(f.db, f.sealer, f.world, f.fleet, log, prometheus.NewRegistry()).Run,
	} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	until := func(what string, ok func([]*model.GossipKey) bool) {
		t.Helper()
		for {
			m := f.world.Get()
			if ok(slices.Collect(m.GossipKeys())) {
				return
			}
			if _, err := f.world.Wait(t.Context(), m.Revision()+1); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	done := func(not model.GossipKeyID) func([]*model.GossipKey) bool {
		return func(keys []*model.GossipKey) bool { return states(keys) == "seals" && keys[0].ID != not }
	}
	until("first key", done(model.GossipKeyID{}))
	first := slices.Collect(f.world.Get().GossipKeys())[0].ID
	f.ask()
	until("rotation", done(first))
	cancel()
	wg.Wait()
}

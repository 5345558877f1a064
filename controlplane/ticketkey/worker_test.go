package ticketkey

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/wgkey"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// fleet is nodes whose standing a test says, all alike.
type fleet struct {
	standing presence.Standing
	asked    []model.Revision
}

func (f *fleet) Standing(_ time.Time, nodes []model.NodeID, rev model.Revision) map[model.NodeID]presence.Standing {
	f.asked = append(f.asked, rev)
	out := map[model.NodeID]presence.Standing{}
	for _, n := range nodes {
		out[n] = f.standing
	}
	return out
}

type fixture struct {
	t      *testing.T
	db     *store.Store
	world  *model.Current
	sealer *authority.Sealer
	fleet  *fleet
	pool   model.PoolID
	log    bytes.Buffer
}

func setup(t *testing.T) *fixture {
	t.Helper()
	kek, err := authority.NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, db: storetest.New(t), world: model.NewCurrent(), fleet: &fleet{}, pool: model.PoolID{}.New()}
	if f.sealer, err = authority.NewSealer(kek); err != nil {
		t.Fatal(err)
	}
	f.tx(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.CreatePool(ctx, &model.Pool{ID: f.pool, Name: "p"}); err != nil {
			return err
		}
		if err := tx.CreatePool(ctx, &model.Pool{ID: f.pool.New(), Name: "empty"}); err != nil {
			return err
		}
		return tx.CreateNode(ctx, &model.Node{ID: model.NodeID{}.New(), Name: "n1", Pool: f.pool, Lifecycle: model.Active, WireGuardKey: wgkey.Public{1}})
	})
	return f
}

func (f *fixture) tx(do func(context.Context, *store.Tx) error) {
	f.t.Helper()
	if _, err := f.db.Tx(f.t.Context(), "test", func(tx *store.Tx) error { return do(f.t.Context(), tx) }); err != nil {
		f.t.Fatal(err)
	}
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

func (f *fixture) keys() []*model.TicketKey { return slices.Collect(f.follow().TicketKeysOf(f.pool)) }

func (f *fixture) want(what, want string) {
	f.t.Helper()
	var got []string
	for _, k := range f.keys() {
		got = append(got, string(k.State))
	}
	if strings.Join(got, " ") != want {
		f.t.Fatalf("%s: keys are %q, want %q", what, got, want)
	}
}

// A rotation from the first key on, each step by a replica that has just started: what is where is in the rows.
func TestRotation(t *testing.T) {
	f := setup(t)
	now := time.Now()
	step := func(after time.Duration) { f.worker().Look(t.Context(), f.follow(), now.Add(after)) }
	step(0)
	f.want("no key", "seals")
	step(Seals - time.Minute)
	f.want("a young key", "seals")
	step(Seals + time.Minute)
	f.want("an old key", "seals opens")
	step(Seals + time.Minute)
	f.want("a node has not learnt it", "seals opens")
	f.fleet.standing = presence.Away
	step(time.Second) // since it was taught, by the database's clock
	f.want("a node is away for a moment", "seals opens")
	f.fleet.standing = presence.Ready
	step(time.Second)
	f.want("all have learnt it", "retired seals")
	step(Opens - time.Minute - Seals)
	f.want("tickets of the old key are in use", "retired seals")
	step(Opens + time.Minute)
	f.want("nobody's ticket is that old", "seals")
	if n := len(slices.Collect(f.world.Get().Pools())); n != 2 {
		t.Errorf("%d pools", n)
	}
	all, err := f.db.Load(t.Context())
	if err != nil || len(all.TicketKeys) != 1 {
		t.Errorf("%d keys in all, %v: a pool without nodes needs none", len(all.TicketKeys), err)
	}
}

// Who is away for long is not waited for.
func TestAwayForLong(t *testing.T) {
	f := setup(t)
	f.worker().Look(t.Context(), f.follow(), time.Now())
	f.worker().Look(t.Context(), f.follow(), time.Now().Add(Seals+time.Minute))
	f.fleet.standing = presence.Away
	f.worker().Look(t.Context(), f.follow(), time.Now().Add(presence.Patience+time.Minute))
	f.want("away for long", "retired seals")
}

// A key that can't be opened is replaced, and said so; no key is ever in the log.
func TestTornKey(t *testing.T) {
	f := setup(t)
	f.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.CreateTicketKey(ctx, &model.TicketKey{ID: model.TicketKeyID{}.New(), Pool: f.pool, State: model.TicketKeySeals, SealedKey: []byte("torn")})
	})
	f.worker().Look(t.Context(), f.follow(), time.Now())
	f.want("discarded", "")
	f.worker().Look(t.Context(), f.follow(), time.Now())
	f.want("begun", "seals")
	if !strings.Contains(f.log.String(), "level=ERROR") {
		t.Errorf("log %s", f.log.String())
	}
	k := f.keys()[0]
	key, err := f.sealer.Open(k.SealedKey, k.ID.String())
	if err != nil || len(key) != keySize || strings.Contains(f.log.String(), string(key)) {
		t.Errorf("%d bytes, %v", len(key), err)
	}
	// Bound to its row: another row's does not open.
	if _, err := f.sealer.Open(k.SealedKey, k.ID.New().String()); err == nil {
		t.Error("opens for another row")
	}
}

// Of two replicas that decide the same at once, one does it.
func TestTwoReplicas(t *testing.T) {
	f := setup(t)
	m := f.follow()
	f.worker().Look(t.Context(), m, time.Now())
	f.worker().Look(t.Context(), m, time.Now())
	f.want("two replicas", "seals")
}

// The database keeps one key that seals and one that opens for each pool, and forgets them with it.
func TestRows(t *testing.T) {
	f := setup(t)
	f.worker().Look(t.Context(), f.follow(), time.Now())
	_, err := f.db.Tx(t.Context(), "test", func(tx *store.Tx) error {
		return tx.CreateTicketKey(t.Context(), &model.TicketKey{ID: model.TicketKeyID{}.New(), Pool: f.pool, State: model.TicketKeySeals, SealedKey: []byte("x")})
	})
	if err == nil {
		t.Error("two keys seal")
	}
	f.tx(func(ctx context.Context, tx *store.Tx) error { return tx.DeleteTicketKey(ctx, f.keys()[0].ID) })
	f.want("removed", "")
}

package accesskey

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
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

func (f *fixture) want(what, want string) {
	f.t.Helper()
	var got []string
	for k := range f.follow().AccessKeys() {
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
	f.want("no key", "current")
	step(Signs - time.Minute)
	f.want("a young key", "current")
	step(Signs + time.Minute)
	f.want("an old key", "current next")
	step(Signs + time.Minute)
	f.want("a node does not know the next one", "current next")
	f.fleet.standing = presence.Ready
	step(time.Second)
	f.want("all know it", "retired current")
	step(Verifies - time.Minute)
	f.want("tokens of the old key are good", "retired current")
	step(Verifies + time.Minute)
	f.want("none is", "current")
}

// Who is away for long is not waited for.
func TestAwayForLong(t *testing.T) {
	f := setup(t)
	f.worker().Look(t.Context(), f.follow(), time.Now())
	f.worker().Look(t.Context(), f.follow(), time.Now().Add(Signs+time.Minute))
	f.fleet.standing = presence.Away
	f.worker().Look(t.Context(), f.follow(), time.Now().Add(presence.Patience+time.Minute))
	f.want("away for long", "retired current")
}

// A key that can't be opened signs nothing, and is said so; what it has signed stays good. No key is ever in the log.
func TestTornKey(t *testing.T) {
	f := setup(t)
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	f.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.CreateAccessKey(ctx, &model.AccessKey{ID: model.AccessKeyID{}.New(), State: model.AccessKeyCurrent, Public: public, SealedKey: []byte("torn")})
	})
	f.worker().Look(t.Context(), f.follow(), time.Now())
	f.want("retired", "retired")
	f.worker().Look(t.Context(), f.follow(), time.Now())
	f.want("begun", "retired current")
	if !strings.Contains(f.log.String(), "level=ERROR") {
		t.Errorf("log %s", f.log.String())
	}
	k := slices.Collect(f.follow().AccessKeys())[1]
	private, err := Open(k, f.sealer.Open)
	if err != nil || !private.Public().(ed25519.PublicKey).Equal(k.Public) || strings.Contains(f.log.String(), string(private.Seed())) {
		t.Errorf("%v", err)
	}
	other := *k
	other.ID = k.ID.New()
	if _, err := Open(&other, f.sealer.Open); err == nil {
		t.Error("opens for another row")
	}
	other = *k
	other.Public = public
	if _, err := Open(&other, f.sealer.Open); err == nil {
		t.Error("opens beside another public half")
	}
}

// Of two replicas that decide the same at once, one does it.
func TestTwoReplicas(t *testing.T) {
	f := setup(t)
	m := f.follow()
	f.worker().Look(t.Context(), m, time.Now())
	f.worker().Look(t.Context(), m, time.Now())
	f.want("two replicas", "current")
}

// Revocations and codes are kept as long as they matter.
func TestPrune(t *testing.T) {
	f := setup(t)
	f.tx(func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.Revoke(ctx, "session_1", "user_1"), tx.Revoke(ctx, "", "user_2"))
	})
	w := f.worker()
	w.prune(t.Context(), time.Now().Add(Verifies-time.Minute))
	if n := len(slices.Collect(f.follow().Revocations())); n != 2 {
		t.Errorf("%d revocations, want 2", n)
	}
	for r := range f.world.Get().Revocations() {
		if (r.Session == "session_1") == (r.Subject == "user_2") {
			t.Errorf("%+v", r)
		}
	}
	w.prune(t.Context(), time.Now().Add(Verifies)) // at most once a minute
	w.prune(t.Context(), time.Now().Add(Verifies+2*time.Minute))
	if n := len(slices.Collect(f.follow().Revocations())); n != 0 {
		t.Errorf("%d revocations, want none", n)
	}
}

package keyring

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var silent = slog.New(slog.DiscardHandler)

func newKEK(t *testing.T) *authority.KEK {
	t.Helper()
	b, err := authority.NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	k, err := authority.ParseKEK(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// openRing is a replica with a pool of its own, as every replica has.
func openRing(t *testing.T, dsn string, kek *authority.KEK) *Ring {
	t.Helper()
	r, err := Open(t.Context(), storetest.Open(t, dsn), kek, silent)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// world is a cluster with an organization to put certificates in.
type world struct {
	dsn string
	db  *store.Store
	kek *authority.KEK
	org model.OrgID
}

func makeWorld(t *testing.T, kek *authority.KEK) *world {
	dsn := storetest.DSN(t)
	return &world{dsn: dsn, db: storetest.Open(t, dsn), kek: kek, org: model.OrgID{}.New()}
}

func newWorld(t *testing.T) (*world, *Ring) {
	w := makeWorld(t, newKEK(t))
	r := openRing(t, w.dsn, w.kek)
	w.fill(t, r.Sealer())
	return w, r
}

func (w *world) fill(t *testing.T, s *authority.Sealer) {
	t.Helper()
	if _, err := admin.Bootstrap(t.Context(), w.db, s); err != nil {
		t.Fatal(err)
	}
	w.tx(t, func(tx *store.Tx) error {
		return tx.CreateOrganization(t.Context(), &model.Organization{ID: w.org, Name: "acme"})
	})
}

func (w *world) tx(t *testing.T, fn func(*store.Tx) error) {
	t.Helper()
	if _, err := w.db.Tx(t.Context(), "test", fn); err != nil {
		t.Fatal(err)
	}
}

func (w *world) put(ctx context.Context, r *Ring, plain string) (model.CertificateID, error) {
	id := model.CertificateID{}.New()
	_, err := r.store.Tx(ctx, "test", func(tx *store.Tx) error {
		sealed, err := r.sealer.Seal([]byte(plain), id.String())
		if err != nil {
			return err
		}
		return tx.CreateCertificate(ctx, &model.Certificate{ID: id, Org: w.org, Names: []string{"a.example.org"}, ChainPEM: []byte("x"), SealedKey: sealed})
	})
	return id, err
}

func (w *world) sealed(t *testing.T, id model.CertificateID) (sealed []byte) {
	t.Helper()
	w.tx(t, func(tx *store.Tx) error {
		c, err := tx.GetCertificate(t.Context(), id)
		if err == nil {
			sealed = c.SealedKey
		}
		return err
	})
	return sealed
}

func (w *world) mustOpen(t *testing.T, s *authority.Sealer, id model.CertificateID, want string) {
	t.Helper()
	if got, err := s.Open(w.sealed(t, id), id.String()); err != nil || string(got) != want {
		t.Fatalf("opened %q, %v; want %q", got, err, want)
	}
}

// rotation is one that doesn't wait.
func (w *world) rotation(kek *authority.KEK) (*Rotation, *bytes.Buffer) {
	var said bytes.Buffer
	return &Rotation{Store: w.db, KEK: kek, Settle: 1, Say: func(s string) { said.WriteString(s + "\n") }}, &said
}

func TestReplicasShareOneKeyset(t *testing.T) {
	db, kek := storetest.New(t), newKEK(t)
	rings := make([]*Ring, 4)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			r, err := Open(t.Context(), db, kek, silent)
			if err != nil {
				t.Error(err)
				return
			}
			rings[i] = r
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	sealed, err := rings[0].Sealer().Seal([]byte("secret"), "row")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rings {
		if got, err := r.Sealer().Open(sealed, "row"); err != nil || string(got) != "secret" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := Open(t.Context(), db, newKEK(t), silent); err == nil || !strings.Contains(err.Error(), "key-encryption key is not the one") {
		t.Errorf("another key-encryption key: %v", err)
	}
}

// T24: rows whose sealed keys were swapped don't open, and the database alone opens nothing.
func TestT24_SwappedRowsDoNotOpen(t *testing.T) {
	w, r := newWorld(t)
	a, _ := w.put(t.Context(), r, "of a")
	b, err := w.put(t.Context(), r, "of b")
	if err != nil {
		t.Fatal(err)
	}
	w.tx(t, func(tx *store.Tx) error {
		col := store.SealedColumns[1]
		ra, rb := store.SealedRow{Key: a.UUID.String(), Sealed: w.sealed(t, b)}, store.SealedRow{Key: b.UUID.String(), Sealed: w.sealed(t, a)}
		if err := tx.UpdateSealed(t.Context(), col, ra); err != nil {
			return err
		}
		return tx.UpdateSealed(t.Context(), col, rb)
	})
	for _, id := range []model.CertificateID{a, b} {
		if got, err := r.Sealer().Open(w.sealed(t, id), id.String()); err == nil {
			t.Errorf("opened %q", got)
		}
	}
}

func TestRotatingTheDataKey(t *testing.T) {
	w, before := newWorld(t)
	id, err := w.put(t.Context(), before, "secret")
	if err != nil {
		t.Fatal(err)
	}
	was := w.sealed(t, id)
	rot, said := w.rotation(w.kek)
	if err := rot.Data(t.Context()); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(was, w.sealed(t, id)) {
		t.Fatal("the row is sealed as before")
	}
	for _, line := range []string{"a new data key seals", "authorities: 2 rows", "certificates: 1 rows", "the old data key is gone"} {
		if !strings.Contains(said.String(), line) {
			t.Errorf("not said: %q in\n%s", line, said)
		}
	}
	// A replica that has not heard of it opens and writes.
	w.mustOpen(t, before.Sealer(), id, "secret")
	stale := openRing(t, w.dsn, w.kek)
	if err := rot.Data(t.Context()); err != nil {
		t.Fatal(err)
	}
	next, err := w.put(t.Context(), stale, "written with a retired key")
	if err != nil {
		t.Fatal(err)
	}
	fresh := openRing(t, w.dsn, w.kek)
	w.mustOpen(t, fresh.Sealer(), next, "written with a retired key")
	if got, err := fresh.Sealer().Open(was, id.String()); err == nil {
		t.Errorf("what was sealed with the old key still opens: %q", got)
	}
	if _, err := admin.Bootstrap(t.Context(), w.db, fresh.Sealer()); err != nil {
		t.Errorf("the authorities don't open: %v", err)
	}
}

// A rotation that ends between two steps is finished by the next call, and everything opens all the time.
func TestACutOffRotationGoesOn(t *testing.T) {
	w, r := newWorld(t)
	id, err := w.put(t.Context(), r, "secret")
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"a new data key", "authorities", "certificates"} {
		ctx, stop := context.WithCancel(t.Context())
		rot, _ := w.rotation(w.kek)
		rot.Say = func(s string) {
			if strings.HasPrefix(s, end) {
				stop()
			}
		}
		if err := rot.Data(ctx); err == nil {
			t.Fatalf("%s: not cut off", end)
		}
		stop()
		w.mustOpen(t, r.Sealer(), id, "secret")
		w.mustOpen(t, openRing(t, w.dsn, w.kek).Sealer(), id, "secret")
		rot, said := w.rotation(w.kek)
		if err := rot.Data(t.Context()); err != nil || !strings.Contains(said.String(), "cut off") || !strings.Contains(said.String(), "gone") {
			t.Fatalf("%s: %v\n%s", end, err, said)
		}
		w.mustOpen(t, openRing(t, w.dsn, w.kek).Sealer(), id, "secret")
	}
}

// Replicas write while keys come and go: nothing is refused, and everything opens in the end.
func TestRotatingWhileReplicasWrite(t *testing.T) {
	w, r := newWorld(t)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	written := make([][]model.CertificateID, 3)
	for i := range written {
		s := openRing(t, w.dsn, w.kek)
		wg.Go(func() {
			for ctx.Err() == nil && len(written[i]) < 500 { // each row is opened in the end
				id, err := w.put(t.Context(), s, "secret")
				if err != nil {
					t.Error(err)
					return
				}
				written[i] = append(written[i], id)
			}
		})
	}
	rot, _ := w.rotation(w.kek)
	for range 4 {
		if err := rot.Data(t.Context()); err != nil {
			t.Error(err)
		}
	}
	stop()
	wg.Wait()
	for _, ids := range written {
		if len(ids) == 0 {
			t.Error("nothing was written meanwhile")
		}
		for _, id := range ids {
			w.mustOpen(t, r.Sealer(), id, "secret")
		}
	}
}

func TestReplacingTheKEK(t *testing.T) {
	w, old := newWorld(t)
	id, err := w.put(t.Context(), old, "secret")
	if err != nil {
		t.Fatal(err)
	}
	next := newKEK(t)
	rot, _ := w.rotation(w.kek)
	for range 2 { // it may be said again
		if err := rot.AddKEK(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
	if err := rot.AddKEK(t.Context(), newKEK(t)); err == nil || !strings.Contains(err.Error(), "--finish") {
		t.Errorf("a third key-encryption key: %v", err)
	}
	if err := rot.Data(t.Context()); err == nil || !strings.Contains(err.Error(), "--finish") {
		t.Errorf("a data key between: %v", err)
	}
	// Replicas with the old and the new key serve beside each other.
	both := openRing(t, w.dsn, next)
	w.mustOpen(t, both.Sealer(), id, "secret")
	w.mustOpen(t, openRing(t, w.dsn, w.kek).Sealer(), id, "secret")
	other, err := w.put(t.Context(), both, "another")
	if err != nil {
		t.Fatal(err)
	}
	w.mustOpen(t, old.Sealer(), other, "another")

	rot, _ = w.rotation(next)
	for range 2 {
		if err := rot.FinishKEK(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(t.Context(), w.db, w.kek, silent); err == nil {
		t.Error("the old key-encryption key still opens the data keys")
	}
	if err := rot.Data(t.Context()); err != nil {
		t.Error(err)
	}
	w.mustOpen(t, openRing(t, w.dsn, next).Sealer(), id, "secret")
}

// A cluster of the version before has rows that are sealed with the key-encryption key itself: both versions
// serve beside each other until the data key is replaced.
func TestAClusterFromBefore(t *testing.T) {
	b, err := authority.NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	kek, err := authority.ParseKEK(b)
	if err != nil {
		t.Fatal(err)
	}
	before, err := authority.NewSealer(b) // what a replica of the version before has
	if err != nil {
		t.Fatal(err)
	}
	w := makeWorld(t, kek)
	w.fill(t, before)
	id, err := w.put(t.Context(), &Ring{store: w.db, sealer: before}, "old")
	if err != nil {
		t.Fatal(err)
	}
	now := openRing(t, w.dsn, kek)
	w.mustOpen(t, now.Sealer(), id, "old")
	next, err := w.put(t.Context(), now, "new")
	if err != nil {
		t.Fatal(err)
	}
	w.mustOpen(t, before, next, "new")
	if _, err := w.put(t.Context(), &Ring{store: w.db, sealer: before}, "old again"); err != nil {
		t.Fatal(err)
	}
	rot, _ := w.rotation(kek)
	if err := rot.Data(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.mustOpen(t, openRing(t, w.dsn, kek).Sealer(), id, "old")
	if got, err := before.Open(w.sealed(t, id), id.String()); err == nil {
		t.Errorf("still sealed with the key-encryption key itself: %q", got)
	}
}

func TestARowThatNobodyCanOpenKeepsTheOldKey(t *testing.T) {
	w, r := newWorld(t)
	id, err := w.put(t.Context(), r, "secret")
	if err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(w.sealed(t, id))
	broken[len(broken)-1] ^= 1
	w.tx(t, func(tx *store.Tx) error {
		return tx.UpdateSealed(t.Context(), store.SealedColumns[1], store.SealedRow{Key: id.UUID.String(), Sealed: broken})
	})
	rot, _ := w.rotation(w.kek)
	if err := rot.Data(t.Context()); err == nil || !strings.Contains(err.Error(), id.UUID.String()) {
		t.Errorf("%v, want the row by name", err)
	}
	if _, err := admin.Bootstrap(t.Context(), w.db, openRing(t, w.dsn, w.kek).Sealer()); err != nil {
		t.Errorf("the other rows: %v", err)
	}
}

package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

// Who retires a key waits for those who seal with it now, and for nobody who comes later: those wait in turn, and are
// refused.
func TestRetiringAKeyIsNotStarved(t *testing.T) {
	dsn := storetest.DSN(t)
	s, ctx := storetest.Open(t, dsn), t.Context()
	const key = uint32(0xfedcba98) // as a number of the database it is below zero
	if _, err := s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.AllowDataKey(ctx, key) }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.AllowDataKey(ctx, 1) }); err != nil {
		t.Fatal(err)
	}
	seal := func(i int, id uint32) string {
		return fmt.Sprintf("INSERT INTO gossip_keys (id, state, sealed_key) VALUES (gen_random_uuid(), 'retired', '\\x01%08x%02x')", id, i)
	}
	look := connect(t, dsn)
	waiting := func(n int) {
		t.Helper()
		deadline := time.Now().Add(30 * time.Second)
		for have := -1; have != n; time.Sleep(5 * time.Millisecond) {
			if err := look.QueryRow(ctx, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7310010 AND NOT granted").Scan(&have); err != nil {
				t.Fatal(err)
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d wait, want %d", have, n)
			}
		}
	}
	now := connect(t, dsn) // seals, and takes its time
	tx, err := now.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, seal(1, key)); err != nil {
		t.Fatal(err)
	}
	retired, refused := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.RetireDataKey(ctx, key) })
		retired <- err
	}()
	waiting(1)
	later := connect(t, dsn)
	go func() {
		_, err := later.Exec(ctx, seal(2, key))
		refused <- err
	}()
	waiting(2)
	if _, err := connect(t, dsn).Exec(ctx, seal(3, 1)); err != nil { // another key is nobody's matter
		t.Errorf("with another key: %v", err)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-retired; err != nil {
		t.Errorf("retire: %v", err)
	}
	if err := <-refused; err == nil || !strings.Contains(err.Error(), "retired") {
		t.Errorf("who came later: %v", err)
	}
}

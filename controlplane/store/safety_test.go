package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

// The database says how it is kept safe, without any privilege; here nobody archives or follows.
func TestSafety(t *testing.T) {
	db := storetest.New(t)
	begun := time.Now().Add(-time.Minute)
	if _, err := db.Tx(t.Context(), "test", func(tx *store.Tx) error {
		return tx.CreateDataKeyset(t.Context(), store.DataKeyset{ID: uuid.Must(uuid.NewV7()), Generation: 1, Wrapped: []byte("x")})
	}); err != nil {
		t.Fatal(err)
	}
	var got store.Safety
	if err := db.View(t.Context(), func(tx *store.Tx) (err error) { got, err = tx.Safety(t.Context()); return err }); err != nil {
		t.Fatal(err)
	}
	if got.Database == "" || got.Server == "" || got.Size <= 0 || got.Archiving || !got.Archived.IsZero() || !got.ArchiveFailed.IsZero() || got.Standbys != 0 || got.KeySince.Before(begun) {
		t.Errorf("%+v", got)
	}
}

package store_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

// A sealed column that rotate-key does not know would be lost with the old key.
func TestEverySealedColumnIsKnown(t *testing.T) {
	conn := connect(t, storetest.DSN(t))
	rows, err := conn.Query(t.Context(), `
		SELECT r.relname || '.' || a.attname FROM pg_class r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
		 WHERE r.relnamespace = 'public'::regnamespace AND r.relkind = 'r' AND a.attname LIKE 'sealed\_%' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, c := range store.SealedColumns {
		known = append(known, c.Table+"."+c.Column)
		var guarded bool
		err := conn.QueryRow(t.Context(), `
			SELECT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = $1::text::regclass AND tgname = 'sealed' AND pg_get_triggerdef(oid) LIKE '%''' || $2 || '''%')`,
			c.Table, c.Column).Scan(&guarded)
		if err != nil || !guarded {
			t.Errorf("%s.%s: no trigger keeps retired keys away (%v)", c.Table, c.Column, err)
		}
	}
	slices.Sort(known)
	if !slices.Equal(known, there) {
		t.Errorf("store.SealedColumns has %v, the schema has %v", known, there)
	}
}

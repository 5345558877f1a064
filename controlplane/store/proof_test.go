package store_test

import (
	"database/sql"
	"os"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/warrenedge/warren/controlplane/store/storetest"
)

// An installation of before domains had to be proved, be it one that has later steps, keeps what it serves: its domains are
// proved, and its first organization is trusted.
func TestDomainsOfBeforeProofs(t *testing.T) {
	dsn, ctx := storetest.DSN(t), t.Context()
	pool, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	steps, err := goose.NewProvider(goose.DialectPostgres, pool, os.DirFS("migrations"), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := steps.ApplyVersion(ctx, 27, false); err != nil {
		t.Fatal(err)
	}
	c := connect(t, dsn)
	if _, err := c.Exec(ctx, `
		INSERT INTO organizations (id, name, created_at) VALUES ('01900000-0000-7000-8000-000000000002', 'first', now() - interval '1 day'), ('01900000-0000-7000-8000-000000000001', 'second', now());
		INSERT INTO pools (id, name) VALUES ('01900000-0000-7000-8000-000000000003', 'p');
		INSERT INTO domains (id, org_id, name, pool_id) SELECT gen_random_uuid(), id, name || '.example', '01900000-0000-7000-8000-000000000003' FROM organizations`); err != nil {
		t.Fatal(err)
	}
	db := storetest.Open(t, dsn)
	if err := db.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	b, err := db.Load(ctx)
	if err != nil || len(b.Domains) != 2 {
		t.Fatalf("%d domains, %v", len(b.Domains), err)
	}
	for _, d := range b.Domains {
		if d.Unproven {
			t.Errorf("%s has to be proved now", d.Name)
		}
	}
	for _, o := range b.Organizations {
		if o.Trusted != (o.Name == "first") {
			t.Errorf("%s: trusted is %v", o.Name, o.Trusted)
		}
	}
}

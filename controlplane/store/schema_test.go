package store_test

import (
	"flag"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/warrenedge/warren/controlplane/store/storetest"
)

var update = flag.Bool("update", false, "write testdata/schema.golden")

// describe lists the schema, a line for each thing in it. What versions of PostgreSQL print differently is left
// out (NOT NULL as a constraint of its own, since 18).
const describe = `
SELECT line FROM (
	SELECT 1 AS part, t.typname AS name, 0 AS nr, format('type %s %s', t.typname, pg_get_constraintdef(c.oid)) AS line
	  FROM pg_type t JOIN pg_constraint c ON c.contypid = t.oid WHERE t.typnamespace = 'public'::regnamespace AND c.contype = 'c'
	UNION ALL
	SELECT 2, r.relname, 0, format('table %s', r.relname)
	  FROM pg_class r WHERE r.relnamespace = 'public'::regnamespace AND r.relkind IN ('r', 'p')
	UNION ALL
	SELECT 2, r.relname, a.attnum, concat_ws(' ', '   ', a.attname, format_type(a.atttypid, a.atttypmod),
	       CASE WHEN a.attnotnull THEN 'not null' END, CASE a.attidentity WHEN 'a' THEN 'identity' END, 'default ' || pg_get_expr(d.adbin, d.adrelid))
	  FROM pg_class r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
	  LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
	 WHERE r.relnamespace = 'public'::regnamespace AND r.relkind IN ('r', 'p')
	UNION ALL
	SELECT 2, r.relname, 1000, format('    %s: %s', c.conname, pg_get_constraintdef(c.oid))
	  FROM pg_class r JOIN pg_constraint c ON c.conrelid = r.oid WHERE r.relnamespace = 'public'::regnamespace AND c.contype NOT IN ('n', 't')
	UNION ALL
	SELECT 2, r.relname, 2000, '    ' || replace(pg_get_indexdef(i.indexrelid), 'public.', '')
	  FROM pg_class r JOIN pg_index i ON i.indrelid = r.oid
	 WHERE r.relnamespace = 'public'::regnamespace AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid)
	UNION ALL
	SELECT 2, r.relname, 3000, '    ' || replace(pg_get_triggerdef(g.oid), 'public.', '')
	  FROM pg_class r JOIN pg_trigger g ON g.tgrelid = r.oid WHERE r.relnamespace = 'public'::regnamespace AND NOT g.tgisinternal
) s WHERE name <> 'goose_db_version' ORDER BY part, name, nr, line`

// The schema that the migrations end in is the one that was reviewed. "go test -update" writes it anew.
func TestSchema(t *testing.T) {
	rows, err := connect(t, storetest.DSN(t)).Query(t.Context(), describe)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(lines, "\n") + "\n"
	const golden = "testdata/schema.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

// Every table is either followed by the feed or named here as one that is not configuration.
func TestEveryTableIsFollowed(t *testing.T) {
	apart := []string{
		"api_keys", "change_log", "goose_db_version", "join_tokens", "revision_counter", "revisions", "settings", "data_keys", "data_keysets",
		"budgets", "managed_certificates", "order_events", "orders",
		"access_codes", "access_mail_codes", "visitors", "claimed_roles", "refused_claims", "publications", "published", "audit_anchors", "audit_head", "audit_log",
		"budgets", "managed_certificates", "order_events", "orders", "events", "webhooks", "webhook_attempts", "webhook_deliveries",
		"membership_roles", "memberships", "roles", "service_account_roles", "service_accounts", "user_group_members", "user_groups", "user_sessions", "users",
		"budgets", "issuer_limits", "managed_certificates", "order_events", "orders", "domain_findings", "revocations", "compromised_keys",
		"device_logins", "identity_providers", "invitation_roles", "invitations", "organization_security", "signin_flows", "user_backup_codes", "user_identities", "user_passkeys",
		"user_passwords", "user_totps", "share_link_uses", "traffic_5m", "request_log_settings", "alert_rules", "alerts", "alert_rounds", "alert_mails", "object_labels", "passing_sets", "manifest_sets",
	}
	rows, err := connect(t, storetest.DSN(t)).Query(t.Context(), `
		SELECT r.relname || ' ' || count(g.oid) FROM pg_class r LEFT JOIN pg_trigger g ON g.tgrelid = r.oid AND g.tgname LIKE 'log\_%'
		 WHERE r.relnamespace = 'public'::regnamespace AND r.relkind = 'r' AND r.relname <> ALL ($1) GROUP BY r.relname`, apart)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) != 20 {
		t.Errorf("%d tables: %v", len(tables), tables)
	}
	for _, table := range tables {
		if name, n, _ := strings.Cut(table, " "); n != "4" {
			t.Errorf("%s has %s of the 4 triggers of the feed", name, n)
		}
	}
}

// Several replicas that start at once migrate an empty database once; one more start changes nothing.
func TestMigrateAtOnce(t *testing.T) {
	dsn := storetest.EmptyDSN(t)
	var wg sync.WaitGroup
	for range 4 {
		s := storetest.Open(t, dsn)
		wg.Go(func() {
			if err := s.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if b, err := storetest.Open(t, dsn).Load(t.Context()); err != nil || !b.Reload || b.To != 0 {
		t.Errorf("%+v, %v", b, err)
	}
	var steps, times int
	if err := connect(t, dsn).QueryRow(t.Context(), "SELECT count(DISTINCT version_id), count(*) FROM goose_db_version").Scan(&steps, &times); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir("migrations"); err != nil || steps != len(files)+1 || times != steps { // goose counts a step 0
		t.Errorf("%d steps ran %d times, there are %d, %v", steps, times, len(files), err)
	}
}

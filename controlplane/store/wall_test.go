package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warrenedge/warren/controlplane/audit"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

// Every table with an organization has the wall, and through it nobody sees, changes, removes or plants a row of
// another one, whatever he asks for.
func TestT37SecondWall(t *testing.T) {
	dsn := storetest.DSN(t)
	s, w, p := storetest.Open(t, dsn), newWorld(t), newPeople()
	w.create(t, s)
	p.org, p.user.Email = model.Organization{ID: model.OrgID{}.New(), Name: "rival"}, "rival@example.org"
	p.role.Org, p.member.Org, p.group.Org, p.account.Org = p.org.ID, p.org.ID, p.org.ID, p.org.ID
	p.create(t, s)
	conn := connect(t, dsn)
	query := func(sql string, args ...any) []string {
		t.Helper()
		rows, err := conn.Query(t.Context(), sql, args...)
		if err != nil {
			t.Fatal(err)
		}
		out, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if open := query(`SELECT r.relname FROM pg_class r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attname = 'org_id'
		WHERE r.relnamespace = 'public'::regnamespace AND r.relkind = 'r' AND NOT (r.relrowsecurity AND r.relforcerowsecurity)`); len(open) > 0 {
		t.Errorf("no wall around %v", open)
	}
	if open := query(`SELECT r.relname FROM pg_class r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attname IN ('user_id', 'session_id')
		WHERE r.relnamespace = 'public'::regnamespace AND r.relkind = 'r' AND NOT (r.relrowsecurity AND r.relforcerowsecurity)`); len(open) > 0 {
		t.Errorf("no wall around %v, which are of users", open)
	}
	signsIn(t, conn, p.user.ID)
	walled := query(`SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relrowsecurity ORDER BY relname`)
	if len(walled) < 20 {
		t.Fatalf("walls around %v only: this test looks at nothing", walled)
	}
	// As the store does it for a caller of a third organization.
	asStranger := func(sql string) (n int64) {
		t.Helper()
		err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), "SELECT set_config('warren.organizations', $1, true), set_config('role', 'warren_caller', true)", "{"+model.OrgID{}.New().UUID.String()+"}"); err != nil {
				return err
			}
			tag, err := tx.Exec(t.Context(), sql)
			n = tag.RowsAffected()
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		return n
	}
	full := 0
	for _, table := range walled {
		if all := query(fmt.Sprintf("SELECT count(*)::text FROM %s", table)); all[0] != "0" {
			full++
		}
		where := ""
		if table == "roles" {
			where = " WHERE NOT builtin"
		}
		if n := asStranger(fmt.Sprintf("SELECT FROM %s%s", table, where)); n != 0 {
			t.Errorf("a stranger sees %d rows of %s", n, table)
		}
		if table == "audit_log" {
			continue
		}
		if n := asStranger(fmt.Sprintf("DELETE FROM %s", table)); n != 0 {
			t.Errorf("a stranger removes %d rows of %s", n, table)
		}
	}
	if full < 12 {
		t.Errorf("only %d tables have rows: this test looks at nothing", full)
	}
	// By the store's own ways, as a member of one of two.
	own := store.As{Actor: "test", Orgs: []model.OrgID{p.org.ID}}
	err := s.ViewAs(t.Context(), own, func(tx *store.Tx) error {
		if _, err := tx.GetOrganization(t.Context(), p.org.ID); err != nil {
			t.Errorf("his own: %v", err)
		}
		if _, err := tx.GetUser(t.Context(), p.user.ID); err != nil {
			t.Errorf("a member of his own: %v", err)
		}
		if _, err := tx.GetSite(t.Context(), w.site.ID); fault.Of(err) != fault.NotFound {
			t.Errorf("a site of another: %v", err)
		}
		if l, err := tx.ListSites(t.Context(), w.org.ID, store.Page{}); err != nil || len(l) > 0 {
			t.Errorf("sites of another: %v, %v", l, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	planted := w.site
	planted.ID, planted.Name = model.SiteID{}.New(), "trojan"
	if _, err := s.TxAs(t.Context(), own, func(tx *store.Tx) error { return tx.CreateSite(t.Context(), &planted) }); err == nil {
		t.Error("a site was planted in another organization")
	}
	// A domain within another's is refused, though it can't be seen.
	inside := model.Domain{ID: model.DomainID{}.New(), Org: p.org.ID, Name: "a." + w.domain.Name, Pool: w.pool.ID}
	if _, err := s.TxAs(t.Context(), own, func(tx *store.Tx) error { return tx.CreateDomain(t.Context(), &inside) }); fault.Of(err) != fault.Conflict {
		t.Errorf("a domain within another's: %v", err)
	}
}

// ofSignIn are the tables that say how people sign in, with what a row of a user needs.
var ofSignIn = map[string]string{
	"user_passwords":    "(user_id, hash) VALUES ($1, '$argon2id$x')",
	"user_totps":        "(user_id, sealed_secret) VALUES ($1, '')",
	"user_backup_codes": "(user_id, hash) VALUES ($1, sha256('a'))",
	"user_passkeys":     "(id, user_id, credential_id, name, record) VALUES (gen_random_uuid(), $1, 'c', 'laptop', '')",
	"signin_flows":      "(hash, kind, user_id, expires_at) VALUES (sha256('b'), 'reset', $1, now() + interval '1 hour')",
	"device_logins":     "(id, hash, user_code, user_id, expires_at) VALUES (gen_random_uuid(), sha256('c'), 'BCDFGHJK', $1, now() + interval '1 hour')",
	"user_identities":   "(provider_id, issuer, subject, user_id) SELECT id, issuer, 'x', $1 FROM identity_providers",
	"access_codes":      "(hash, host, binding, session_id) SELECT sha256('d'), 'wiki.example.org', repeat('x', 43), id FROM user_sessions WHERE user_id = $1 LIMIT 1",
	"access_mail_codes": "(id, hash, mail, host, binding) SELECT $1, sha256('e'), 'a@example.org', 'wiki.example.org', repeat('x', 43)",
}

// signsIn gives a user a row in each of them.
func signsIn(t *testing.T, conn *pgx.Conn, id model.UserID) {
	t.Helper()
	do := func(sql string) {
		t.Helper()
		if tag, err := conn.Exec(t.Context(), sql, id.UUID); err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("%s: %v, %v", sql, tag, err)
		}
	}
	if _, err := conn.Exec(t.Context(), "SET session_replication_role = replica"); err != nil { // a secret that is sealed is another test's
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "INSERT INTO identity_providers (id, name, issuer, client_id) VALUES (gen_random_uuid(), 'sso', 'https://id.example', 'x')"); err != nil {
		t.Fatal(err)
	}
	for table, row := range ofSignIn {
		do("INSERT INTO " + table + " " + row)
	}
	if _, err := conn.Exec(t.Context(), "SET session_replication_role = origin"); err != nil {
		t.Fatal(err)
	}
}

// What somebody signs in with is behind the wall for everybody but him: neither another member of his organization nor who
// manages it sees or changes it, even where nothing else would stop him. He himself sees his own.
func TestT37SecondWallAroundSignIn(t *testing.T) {
	dsn := storetest.DSN(t)
	s, p := storetest.Open(t, dsn), newPeople()
	p.create(t, s)
	conn := connect(t, dsn)
	signsIn(t, conn, p.user.ID)
	as := func(user model.UserID, sql string) (n int64) {
		t.Helper()
		err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), "SELECT set_config('warren.organizations', $1, true), set_config('warren.user', $2, true), set_config('role', 'warren_caller', true)",
				"{"+p.org.ID.UUID.String()+"}", user.UUID.String()); err != nil {
				return err
			}
			tag, err := tx.Exec(t.Context(), sql)
			n = tag.RowsAffected()
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		return n
	}
	colleague := model.UserID{}.New()
	for table := range ofSignIn {
		own := int64(1)
		if table == "access_mail_codes" { // of guests, who are no users
			own = 0
		}
		if n := as(p.user.ID, "SELECT FROM "+table); n != own {
			t.Errorf("he himself sees %d rows of %s", n, table)
		}
		for _, sql := range []string{"SELECT FROM ", "DELETE FROM "} {
			if n := as(colleague, sql+table); n != 0 {
				t.Errorf("a colleague: %s%s: %d rows", sql, table, n)
			}
		}
	}
	// Who manages the organization takes a role from him, without seeing at which providers he has an account.
	ctx := t.Context()
	if _, err := s.TxAs(ctx, store.As{Actor: "test", User: colleague, Orgs: []model.OrgID{p.org.ID}}, func(tx *store.Tx) error {
		return tx.RefuseClaims(ctx, p.user.ID, p.org.ID, p.role.ID)
	}); err != nil {
		t.Fatal(err)
	}
	if n := as(colleague, "SELECT FROM refused_claims WHERE role_id = '"+p.role.ID.UUID.String()+"'"); n != 1 {
		t.Errorf("%d refusals, want 1", n)
	}
}

// The account that the program is installed with need be no superuser: the wall holds for it as the owner of the tables.
func TestSecondWallOfAnOrdinaryAccount(t *testing.T) {
	dsn := storetest.EmptyDSN(t)
	admin := connect(t, dsn)
	var database string
	if err := admin.QueryRow(t.Context(), "SELECT current_database()").Scan(&database); err != nil {
		t.Fatal(err)
	}
	role := "ordinary_" + database // accounts are of the server, which has other databases when the test runs again
	if _, err := admin.Exec(t.Context(), fmt.Sprintf("CREATE ROLE %[1]s; GRANT ALL ON SCHEMA public TO %[1]s; GRANT ALL ON DATABASE %[2]s TO %[1]s", role, database)); err != nil {
		t.Fatal(err)
	}
	s := storetest.Open(t, dsn+"&options=-c%20role%3D"+role)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.create(t, s)
	err := s.ViewAs(t.Context(), store.As{Orgs: []model.OrgID{model.OrgID{}.New()}}, func(tx *store.Tx) error {
		if l, err := tx.ListSites(t.Context(), w.org.ID, store.Page{}); err != nil || len(l) > 0 {
			t.Errorf("sites of another: %v, %v", l, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func act(ctx context.Context, s *store.Store, name string) error {
	_, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		tx.Audit(audit.Entry{Actor: "user:x", ActorName: "ünï", Action: "site.create", Object: "site_x", ObjectName: name, Result: audit.Done, Organization: model.OrgID{}.New().String()})
		return tx.CreateOrganization(ctx, &model.Organization{ID: model.OrgID{}.New(), Name: name})
	})
	return err
}

func verify(t *testing.T, s *store.Store, heads ...audit.Head) error {
	t.Helper()
	var v audit.Verifier
	for _, h := range heads {
		if err := v.Expect(h); err != nil {
			return err
		}
	}
	var entries []*audit.Entry
	if err := s.View(t.Context(), func(tx *store.Tx) (err error) {
		entries, err = tx.ListAudit(t.Context(), model.OrgID{}, 0, 1000)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := v.Next(e); err != nil {
			return err
		}
	}
	return v.Finish()
}

// Whoever can write to the database, and turns the triggers off, can't change, remove or cut off what was recorded.
func TestT35Tampering(t *testing.T) {
	dsn := storetest.DSN(t)
	s := storetest.Open(t, dsn)
	for i := range 5 {
		if err := act(t.Context(), s, fmt.Sprintf("o%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	var head audit.Head
	if err := s.View(t.Context(), func(tx *store.Tx) (err error) { head, err = tx.AuditHead(t.Context()); return err }); err != nil {
		t.Fatal(err)
	}
	if err := verify(t, s, head); err != nil || head.Seq != 5 {
		t.Fatalf("untouched: %v at %d", err, head.Seq)
	}
	conn := connect(t, dsn)
	for _, sql := range []string{"UPDATE audit_log SET detail = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"} {
		if _, err := conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "only added to") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	rehash := ` ; UPDATE audit_head SET seq = 0, hash = decode(repeat('00', 32), 'hex'); CREATE TEMP TABLE kept AS SELECT * FROM audit_log ORDER BY seq; DELETE FROM audit_log;
		ALTER TABLE audit_log ENABLE TRIGGER audit_chain; INSERT INTO audit_log SELECT * FROM kept ORDER BY seq`
	for name, tc := range map[string]struct{ sql, want string }{
		"edited":            {"UPDATE audit_log SET actor = 'somebody else' WHERE seq = 3", "entry 3 was changed"},
		"moved":             {"UPDATE audit_log SET org_id = NULL WHERE seq = 2", "entry 2 was changed"},
		"removed":           {"DELETE FROM audit_log WHERE seq = 3", "entries are missing"},
		"cut off":           {"DELETE FROM audit_log WHERE seq > 3; UPDATE audit_head SET seq = 3", "cut off"},
		"emptied":           {"TRUNCATE audit_log", "cut off"},
		"written anew":      {"UPDATE audit_log SET actor = 'somebody else' WHERE seq = 3" + rehash, "written anew"},
		"removed and anew":  {"DELETE FROM audit_log WHERE seq = 3" + rehash, "cut off"},
		"nothing, for once": {"SELECT 1", ""},
	} {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "ALTER TABLE audit_log DISABLE TRIGGER ALL; "+tc.sql); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		rows, err := tx.Query(t.Context(), "SELECT seq, at, actor, actor_name, action, org_id, object, object_name, revision, hash FROM audit_log ORDER BY seq")
		if err != nil {
			t.Fatal(err)
		}
		err = chain(rows, head)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// chain verifies rows that are not committed.
func chain(rows pgx.Rows, head audit.Head) error {
	var v audit.Verifier
	defer rows.Close()
	if err := v.Expect(head); err != nil {
		return err
	}
	for rows.Next() {
		e := audit.Entry{Result: audit.Done}
		var org *string
		var hash []byte
		if err := rows.Scan(&e.Seq, &e.At, &e.Actor, &e.ActorName, &e.Action, &org, &e.Object, &e.ObjectName, &e.Revision, &hash); err != nil {
			return err
		}
		copy(e.Hash[:], hash)
		if org != nil {
			e.Organization = *org
		}
		if err := v.Next(&e); err != nil {
			return err
		}
	}
	return v.Finish()
}

// Entries are numbered in the order of the commits, with the revision that each made, whoever is at it at once; one
// whose transaction fails is not there.
func TestAuditAtOnce(t *testing.T) {
	s := storetest.New(t)
	const writers, each = 8, 10
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range writers {
		wg.Go(func() {
			for j := range each {
				if err := act(t.Context(), s, fmt.Sprintf("o%d-%d", i, j)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d writes by %d writers in %v", writers*each, writers, time.Since(begin))
	if err := act(t.Context(), s, "o0-0"); fault.Of(err) != fault.Conflict {
		t.Errorf("a name that is taken: %v", err)
	}
	if err := verify(t, s); err != nil {
		t.Error(err)
	}
	err := s.View(t.Context(), func(tx *store.Tx) error {
		entries, err := tx.ListAudit(t.Context(), model.OrgID{}, 0, 1000)
		if len(entries) != writers*each {
			t.Errorf("%d entries, want %d", len(entries), writers*each)
		}
		for i, e := range entries {
			if e.Revision != uint64(i+1) {
				t.Errorf("entry %d has revision %d", e.Seq, e.Revision)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

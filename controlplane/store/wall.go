package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/warrenedge/warren/controlplane/model"
)

// As is on whose behalf a transaction acts, and what the database lets it see for that: the second wall, behind the
// checks of package access. The zero As sees no organization at all.
type As struct {
	Actor string // recorded with the revision
	User  model.UserID
	Orgs  []model.OrgID
	All   bool // every organization: the cluster's own parts, and those who administer it
}

// callerRole has no privilege to pass over the policies of tables; who has puts it on.
const callerRole = "warren_caller"

// Whether the account of the connections passes over policies.
const (
	wallUnknown = iota
	wallHolds
	wallBypassed
)

// begin tells the database on whose behalf a transaction acts.
func (s *Store) begin(ctx context.Context, tx pgx.Tx, as As) (walled bool, err error) {
	if as.All {
		if as.Actor == "" {
			return false, nil // it only reads
		}
		_, err := tx.Exec(ctx, "SELECT set_config('warren.actor', $1, true)", as.Actor)
		return false, err
	}
	bypassed, err := s.bypassed(ctx, tx)
	if err != nil {
		return false, err
	}
	user := ""
	if !as.User.IsZero() {
		user = as.User.UUID.String()
	}
	sql := "SELECT set_config('warren.actor', $1, true), set_config('warren.organizations', $2, true), set_config('warren.user', $3, true)"
	if bypassed {
		sql += ", set_config('role', '" + callerRole + "', true)"
	}
	_, err = tx.Exec(ctx, sql, as.Actor, array(as.Orgs), user)
	if bypassed && hasCode(err, invalidParameter) {
		return false, fmt.Errorf("the database account passes over row security, and there is no role %s to put on instead: an account that may create roles has to migrate the schema: %w", callerRole, err)
	}
	return bypassed, err
}

// array writes ids as PostgreSQL does; none is "{}".
func array(ids []model.OrgID) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(id.UUID.String())
	}
	b.WriteByte('}')
	return b.String()
}

// bypassed reports whether row security says nothing to the account that the connections use: it is a superuser, as
// the one of the server that "warren up" starts.
func (s *Store) bypassed(ctx context.Context, tx pgx.Tx) (bool, error) {
	switch s.wall.Load() {
	case wallHolds:
		return false, nil
	case wallBypassed:
		return true, nil
	}
	var bypassed bool
	if err := tx.QueryRow(ctx, "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user").Scan(&bypassed); err != nil {
		return false, err
	}
	if bypassed {
		s.wall.Store(wallBypassed)
	} else {
		s.wall.Store(wallHolds)
	}
	return bypassed, nil
}

// behind runs fn as the program itself: for what callers bring about and may not touch, such as jobs.
func (t *Tx) behind(ctx context.Context, fn func() error) error {
	if !t.walled {
		return fn()
	}
	if _, err := t.tx.Exec(ctx, "SELECT set_config('role', 'none', true)"); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return err // the transaction is over
	}
	_, err := t.tx.Exec(ctx, "SELECT set_config('role', '"+callerRole+"', true)")
	return err
}

// raiseWalls puts the wall around tables that migrations have made since, and gives the caller's role what it needs.
func (s *Store) raiseWalls(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, "SELECT raise_walls()")
	if err != nil {
		return fmt.Errorf("walls between organizations: %w", err)
	}
	return nil
}

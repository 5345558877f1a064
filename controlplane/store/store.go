// Package store keeps the configuration in PostgreSQL; it is the only package that speaks SQL.
//
// Reads and writes happen in transactions that may run twice. Every committed change of configuration
// gets a dense Revision from the database itself, whoever made it; changes.go reads them back in commit
// order.
package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/riverqueue/river"

	"github.com/warrenedge/warren/controlplane/audit"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
	"github.com/warrenedge/warren/shared/backoff"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options are the bounds of a Store. The zero value is usable.
type Options struct {
	MaxConns         int32         // 10 if zero
	StatementTimeout time.Duration // 5 s if zero
	Log              *slog.Logger
}

// Store is a pool of connections to one database. Safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	cfg  *pgxpool.Config
	jobs *river.Client[pgx.Tx]
	log  *slog.Logger

	retired atomic.Pointer[func()]
	wall    atomic.Int32 // whether policies say anything to the account, as far as it is known
}

// OnRetired sets what is called before a transaction runs again because it had sealed something with a key that
// is retired: whoever seals may learn of the new key then.
func (s *Store) OnRetired(fn func()) { s.retired.Store(&fn) }

// Open prepares a Store for a connection string (libpq URL or keywords). It connects on first use.
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("database connection string: %w", err)
	}
	if cfg.MaxConns = o.MaxConns; cfg.MaxConns == 0 {
		cfg.MaxConns = 10
	}
	timeout := o.StatementTimeout
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := cfg.ConnConfig.RuntimeParams
	p["application_name"] = "warren-control"
	p["timezone"] = "UTC"
	p["statement_timeout"] = fmt.Sprint(timeout.Milliseconds())
	p["idle_in_transaction_session_timeout"] = fmt.Sprint((4 * timeout).Milliseconds())
	cfg.ConnConfig.ConnectTimeout = timeout
	cfg.AfterConnect = func(_ context.Context, c *pgx.Conn) error {
		// Times come back in UTC, so that equal rows are equal values whatever the machine's zone is.
		c.TypeMap().RegisterType(&pgtype.Type{Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC}})
		return nil
	}
	jobs, err := newJobs()
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	return &Store{pool: pool, cfg: cfg, jobs: jobs, log: o.Log}, nil
}

// Close ends all connections.
func (s *Store) Close() { s.pool.Close() }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return classify(err, "ping")
	}
	return nil
}

// Migrate brings the schema to what this program needs. Any number of replicas may call it at once: a
// session lock lets one of them work while the others wait. It is Unavailable when the database does not answer.
func (s *Store) Migrate(ctx context.Context) error {
	return classify(s.migrate(ctx), "migrate")
}

func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	cfg := s.cfg.ConnConfig.Copy()
	delete(cfg.RuntimeParams, "statement_timeout") // a migration may take its time
	conn := stdlib.OpenDB(*cfg)
	defer conn.Close()
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120))
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, conn, files, goose.WithSessionLocker(locker), goose.WithLogger(goose.NopLogger()),
		goose.WithAllowOutofOrder(true)) // steps are numbered when work on them begins: a database may have a later one already
	if err != nil {
		return err
	}
	done, err := p.Up(ctx)
	if err != nil {
		return err
	}
	for _, r := range done {
		s.log.Info("schema migrated", "step", r.Source.Path, "dur", r.Duration)
	}
	if err := s.raiseWalls(ctx); err != nil {
		return err
	}
	return s.migrateQueue(ctx)
}

// Tx is one transaction. It must not be kept beyond the function it is given to.
type Tx struct {
	tx      pgx.Tx
	q       *db.Queries
	jobs    *river.Client[pgx.Tx]
	walled  bool          // it has put on the role of callers
	entries []audit.Entry // of the audit log, to be written at the end
}

// attempts bounds how often a transaction runs that lost against another one.
const attempts = 5

// Tx runs fn in a transaction that sees everything and returns the revision that it made, 0 if it changed no
// configuration. fn may run several times: it must have no other effects. actor is recorded with the revision.
func (s *Store) Tx(ctx context.Context, actor string, fn func(*Tx) error) (model.Revision, error) {
	return s.TxAs(ctx, As{Actor: actor, All: true}, fn)
}

// TxAs is Tx on somebody's behalf: what he may not see is not there.
func (s *Store) TxAs(ctx context.Context, as As, fn func(*Tx) error) (model.Revision, error) {
	var rev model.Revision
	err := s.run(ctx, pgxDefault, as, func(t *Tx) error {
		if err := fn(t); err != nil {
			return err
		}
		var err error
		if rev, err = t.stamp(ctx); err != nil {
			return err
		}
		return t.writeEntries(ctx, rev)
	})
	if err != nil {
		return 0, err
	}
	return rev, nil
}

// Stamp gives what the transaction has changed its revision before it ends, for a row that is to hold it; 0 if it
// changed no configuration. Nothing may be changed after it but what takes no revision.
func (t *Tx) Stamp(ctx context.Context) (model.Revision, error) {
	rev, err := t.stamp(ctx)
	return rev, classify(err, "revision")
}

// stamp does now what the commit would do: the counter row stays locked until the commit.
func (t *Tx) stamp(ctx context.Context) (rev model.Revision, err error) {
	if _, err := t.tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return 0, err
	}
	err = t.tx.QueryRow(ctx, "SELECT coalesce(nullif(current_setting('warren.revision', true), ''), '0')::bigint").Scan(&rev)
	return rev, err
}

// View runs fn in a read-only transaction that sees one moment.
func (s *Store) View(ctx context.Context, fn func(*Tx) error) error {
	return s.ViewAs(ctx, As{All: true}, fn)
}

// ViewAs is View on somebody's behalf: what he may not see is not there.
func (s *Store) ViewAs(ctx context.Context, as As, fn func(*Tx) error) error {
	return s.run(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, as, fn)
}

// run runs fn in a transaction, again if it lost against others. It pauses before, or it would take the row
// back that the winner of a deadlock has just been given.
func (s *Store) run(ctx context.Context, o pgx.TxOptions, as As, fn func(*Tx) error) error {
	pause := backoff.Backoff{Min: 20 * time.Millisecond, Max: 500 * time.Millisecond}
	for n := 1; ; n++ {
		var own error // what fn itself returned
		err := pgx.BeginTxFunc(ctx, s.pool, o, func(tx pgx.Tx) error {
			walled, err := s.begin(ctx, tx, as)
			if err != nil {
				return err
			}
			own = fn(&Tx{tx: tx, q: db.New(tx), jobs: s.jobs, walled: walled})
			return own
		})
		switch {
		case err == nil:
			return nil
		case n < attempts && retryable(err) && pause.Wait(ctx):
			if fn := s.retired.Load(); fn != nil && hasCode(err, sealedRetired) {
				(*fn)()
			}
		case own != nil && !isDatabase(own):
			return own // the caller's own, or classified already
		default:
			return classify(err, "transaction")
		}
	}
}

func isDatabase(err error) bool {
	_, ok := errors.AsType[*pgconn.PgError](err)
	return ok
}

// pgxDefault is the isolation of writes: row locks and constraints guard what must not race.
var pgxDefault = pgx.TxOptions{IsoLevel: pgx.ReadCommitted}

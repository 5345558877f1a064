package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// QueueSchema is the schema that River keeps its jobs in, apart from ours.
const QueueSchema = "river"

// queueLock is the advisory lock under which one replica brings River's schema up to date.
const queueLock = 7310005

// migrateQueue does what River asks for, as often as it likes: its steps come with its module. One that River has
// taken is not taken again.
func (s *Store) migrateQueue(ctx context.Context) error {
	cfg := s.cfg.Copy()
	cfg.MaxConns = 2
	delete(cfg.ConnConfig.RuntimeParams, "statement_timeout")
	delete(cfg.ConnConfig.RuntimeParams, "idle_in_transaction_session_timeout")
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	defer pool.Close()
	lock, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	defer lock.Release()
	if _, err := lock.Exec(ctx, "SELECT pg_advisory_lock($1)", queueLock); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	defer func() { _, _ = lock.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", queueLock) }()
	if _, err := lock.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+QueueSchema); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: QueueSchema, Logger: s.log})
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	done, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	for _, v := range done.Versions {
		s.log.Info("schema of the queue migrated", "step", v.Version, "dur", v.Duration)
	}
	return nil
}

package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/config"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/keyring"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/backoff"
)

// askDatabaseMost is between two tries to reach the database while a replica starts.
const askDatabaseMost = 5 * time.Second

// found is what a replica has of the database when it starts.
type found struct {
	replicas *replicaLock
	ring     *keyring.Ring
	cluster  *admin.Cluster
}

// awaitDatabase brings the schema up to date and reads what a replica starts from. A database that does not answer is waited for:
// after an outage of a whole room all machines start at once, and nobody should have to start this one again. Whatever
// waiting can't mend, a wrong password for one, is an error.
func awaitDatabase(ctx context.Context, cfg *config.Config, db *store.Store, kek *authority.KEK, log *slog.Logger) (*found, error) {
	wait := backoff.Backoff{Min: 200 * time.Millisecond, Max: askDatabaseMost}
	for {
		f, err := begin(ctx, cfg, db, kek, log)
		if err == nil || fault.Of(err) != fault.Unavailable {
			return f, err
		}
		log.Warn("waiting for the database", "err", err)
		if !wait.Wait(ctx) {
			return nil, err
		}
	}
}

// begin is one try.
func begin(ctx context.Context, cfg *config.Config, db *store.Store, kek *authority.KEK, log *slog.Logger) (*found, error) {
	if err := db.Migrate(ctx); err != nil {
		return nil, err
	}
	exclusive := cfg.ValkeyURL == ""
	lock, err := db.ReplicaLock(ctx, exclusive)
	if err != nil {
		return nil, err
	}
	f := &found{replicas: &replicaLock{db: db, lock: lock, exclusive: exclusive, log: log}}
	if f.ring, err = keyring.Open(ctx, db, kek, log); err == nil {
		f.cluster, err = admin.Bootstrap(ctx, db, f.ring.Sealer())
	}
	if err != nil {
		f.replicas.release()
		return nil, err
	}
	return f, nil
}

// replicaLock keeps the lock that tells replicas with and without a presence bus apart.
type replicaLock struct {
	db        *store.Store
	lock      *store.Lock
	exclusive bool
	log       *slog.Logger
}

// String names the task.
func (r *replicaLock) String() string { return "replica lock" }

// Run takes the lock again whenever the database lost it. While the database is away this replica serves
// on; that another one took its place meanwhile ends it.
func (r *replicaLock) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.lock.Lost():
		}
		r.log.Warn("replica lock lost, the database is away")
		wait := backoff.Backoff{Max: 5 * time.Second}
		for {
			if !wait.Wait(ctx) {
				return nil
			}
			next, err := r.db.ReplicaLock(ctx, r.exclusive)
			if err == nil {
				r.lock = next
				r.log.Info("replica lock taken again")
				break
			}
			if fault.Of(err) == fault.Conflict {
				return err
			}
		}
	}
}

func (r *replicaLock) release() { r.lock.Release() }

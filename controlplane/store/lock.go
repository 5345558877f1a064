package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/warrenedge/warren/controlplane/fault"
)

// replicaLock is the advisory lock by which replicas see each other.
const replicaLock = 7310002

// Lock is held until Release, or until its connection breaks.
type Lock struct {
	conn *pgx.Conn
	lost chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

// lockWait is how long a replica that starts waits for one that has just been killed: the database takes a
// moment to notice.
const lockWait = 2 * time.Second

// probe is how often a lock's connection is asked whether it lives, and how long it may take to answer.
const probe = 2 * time.Second

// ReplicaLock tells the replicas on one database apart: exclusive is for one that can share nothing with
// others, shared for those that have a presence bus. It is a Conflict when the other kind is running. The lock
// needs a session of its own: no transaction pooler may stand between.
func (s *Store) ReplicaLock(ctx context.Context, exclusive bool) (*Lock, error) {
	cfg := s.cfg.ConnConfig.Copy()
	cfg.RuntimeParams["lock_timeout"] = fmt.Sprint(lockWait.Milliseconds())
	delete(cfg.RuntimeParams, "statement_timeout")
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, classify(err, "replica lock")
	}
	query := "SELECT pg_advisory_lock_shared($1)"
	if exclusive {
		query = "SELECT pg_advisory_lock($1)"
	}
	if _, err := conn.Exec(ctx, query, int64(replicaLock)); err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		if pe, ok := errors.AsType[*pgconn.PgError](err); !ok || pe.Code != lockNotAvailable {
			return nil, classify(err, "replica lock")
		}
		if exclusive {
			return nil, fault.New(fault.Conflict, "another warren-control is running on this database: replicas need a Valkey or Redis server to share presence, set valkey_url on all of them")
		}
		return nil, fault.New(fault.Conflict, "a warren-control without valkey_url is running on this database: give it the same valkey_url, or stop it")
	}
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &Lock{conn: conn, lost: make(chan struct{}), stop: stop, done: make(chan struct{})}
	go l.watch(watch)
	return l, nil
}

// Lost closes when the lock is no longer held because its connection broke.
func (l *Lock) Lost() <-chan struct{} { return l.lost }

// Release gives the lock back. It may be called again, and after the loss.
func (l *Lock) Release() {
	l.stop()
	<-l.done
}

// watch asks the connection now and then whether it lives; the lock lives as long as the session.
func (l *Lock) watch(ctx context.Context) {
	defer close(l.done)
	defer func() {
		end, cancel := context.WithTimeout(context.Background(), probe)
		defer cancel()
		_ = l.conn.Close(end)
	}()
	tick := time.NewTicker(probe)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ask, cancel := context.WithTimeout(ctx, probe)
		err := l.conn.Ping(ask)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			close(l.lost)
			return
		}
	}
}

// Listen waits for announcements on a connection of its own and calls wake for each, and once at the
// start. It returns when the connection breaks or ctx ends; the caller connects again.
func (s *Store) Listen(ctx context.Context, wake func()) error {
	cfg := s.cfg.ConnConfig.Copy()
	delete(cfg.RuntimeParams, "statement_timeout")
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return classify(err, "listen")
	}
	defer func() {
		end, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(end)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+NotifyChannel); err != nil {
		return classify(err, "listen")
	}
	for {
		wake() // what was committed before LISTEN took effect is not announced
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return classify(err, "listen")
		}
	}
}

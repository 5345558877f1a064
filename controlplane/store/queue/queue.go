// Package queue has work done at a time by whichever replica is free: jobs of River in a schema of their own.
//
// A bell is a hint. Who hears it looks for what is due, as it does now and then anyway: a job that is lost or comes
// twice costs nothing but time. Deliveries of events are no hints: see deliver.go.
package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/backoff"
)

// Options say how a Queue works.
type Options struct {
	Replica  string
	PollOnly bool // no LISTEN: for databases behind a transaction pooler
	Log      *slog.Logger

	Bell     func()                      // rung by Wake, here or at another replica
	Plan     func()                      // called for store.PlanJob
	Upkeep   func(context.Context) error // called once in each Every, and by a replica that begins to lead
	Every    time.Duration               // a minute if zero
	Deliver  Deliver                     // nil: receivers are told of events by other replicas
	Mail     Mail                        // nil: alerts are mailed by other replicas
	Patience time.Duration               // how often jobs are looked for without LISTEN; a second if zero
}

// maxConns is of the queue's own pool: one that other work has emptied would end its elections.
const maxConns = 4

// Queue is one replica's part in the queue.
type Queue struct {
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
	log    *slog.Logger
}

// New makes a Queue on a migrated database; Run takes part in it.
func New(ctx context.Context, dsn string, o Options) (*Queue, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("queue: database connection string: %w", err)
	}
	cfg.MaxConns = maxConns
	cfg.ConnConfig.RuntimeParams["application_name"] = "warren-control queue"
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	if o.Every == 0 {
		o.Every = time.Minute
	}
	if o.Patience == 0 {
		o.Patience = time.Second
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(context.Context, *river.Job[bell]) error { o.Bell(); return nil }))
	river.AddWorker(workers, river.WorkFunc(func(context.Context, *river.Job[store.PlanJob]) error { o.Plan(); return nil }))
	river.AddWorker(workers, river.WorkFunc(func(ctx context.Context, _ *river.Job[upkeep]) error { return o.Upkeep(ctx) }))
	queues := map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2}}
	if o.Deliver != nil {
		river.AddWorker(workers, &courier{deliver: o.Deliver})
		queues[store.DeliveryQueue] = river.QueueConfig{MaxWorkers: deliveries}
	}
	if o.Mail != nil {
		river.AddWorker(workers, &postman{mail: o.Mail})
		queues[store.MailQueue] = river.QueueConfig{MaxWorkers: mails}
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		ID: o.Replica, Schema: store.QueueSchema, Logger: quiet(o.Log), PollOnly: o.PollOnly, FetchPollInterval: o.Patience, FetchCooldown: min(o.Patience, 100*time.Millisecond),
		Queues: queues, Workers: workers, RescueStuckJobsAfter: rescueAfter,
		PeriodicJobs: []*river.PeriodicJob{river.NewPeriodicJob(river.PeriodicInterval(o.Every), func() (river.JobArgs, *river.InsertOpts) {
			return upkeep{}, &river.InsertOpts{MaxAttempts: 1, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: unfinished}}
		}, &river.PeriodicJobOpts{RunOnStart: true})},
	})
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("queue: %w", err)
	}
	return &Queue{pool, client, o.Log}, nil
}

// bell is rung at its time; there is one at most for each second.
type bell struct {
	At int64 `json:"at"`
}

// Kind names the job.
func (bell) Kind() string { return "bell" }

// upkeep is the work of one replica at a time.
type upkeep struct{}

// Kind names the job.
func (upkeep) Kind() string { return "upkeep" }

// unfinished are the states in which a job keeps others like it away.
var unfinished = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
}

// Wake has the bell of some replica rung at a time, rounded up to a second.
func (q *Queue) Wake(ctx context.Context, at time.Time) error {
	at = at.Truncate(time.Second).Add(time.Second)
	_, err := q.client.Insert(ctx, bell{at.Unix()}, &river.InsertOpts{
		ScheduledAt: at, MaxAttempts: 1, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: unfinished},
	})
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	return nil
}

// String names the task.
func (q *Queue) String() string { return "queue" }

// Run takes part until ctx ends. While the database is away it tries again.
func (q *Queue) Run(ctx context.Context) error {
	defer q.pool.Close()
	wait := backoff.Backoff{Min: time.Second}
	for {
		err := q.client.Start(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return nil
		}
		q.log.Warn("queue not started", "err", err)
		if !wait.Wait(ctx) {
			return nil
		}
	}
	<-ctx.Done()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := q.client.Stop(end); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("queue: %w", err)
	}
	return nil
}

// quiet leaves out what the queue says about itself while nothing is wrong.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(above{log.Handler()}) }

type above struct{ slog.Handler }

// Enabled implements slog.Handler.
func (a above) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && a.Handler.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (a above) WithAttrs(attrs []slog.Attr) slog.Handler { return above{a.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (a above) WithGroup(name string) slog.Handler { return above{a.Handler.WithGroup(name)} }

package store

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/warrenedge/warren/controlplane/model"
)

// DeliveryQueue is the queue of DeliveryJobs: receivers that are slow hold up nothing else.
const DeliveryQueue = "webhooks"

// DeliveryJob is to tell a receiver of an event.
type DeliveryJob struct {
	Webhook model.WebhookID `json:"webhook"`
	Event   model.EventID   `json:"event"`
}

// Kind names the job.
func (DeliveryJob) Kind() string { return "deliver" }

// PlanJob is to look at once which certificates are due. Like a bell it is a hint: the planner looks by itself, too.
type PlanJob struct{}

// Kind names the job.
func (PlanJob) Kind() string { return "plan" }

// PlanCertificates has some replica look which certificates are due, once this is committed.
func (t *Tx) PlanCertificates(ctx context.Context) error {
	err := t.behind(ctx, func() error {
		_, err := t.jobs.InsertTx(ctx, t.tx, PlanJob{}, &river.InsertOpts{MaxAttempts: 1})
		return err
	})
	return classify(err, "plan certificates")
}

// newJobs makes what adds jobs to the queue within transactions; it works on none.
func newJobs() (*river.Client[pgx.Tx], error) {
	c, err := river.NewClient(riverpgxv5.New(nil), &river.Config{Schema: QueueSchema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	return c, nil
}

func (t *Tx) enqueue(ctx context.Context, e *model.Event, to []uuid.UUID) error {
	if len(to) == 0 {
		return nil
	}
	jobs := make([]river.InsertManyParams, len(to))
	for i, id := range to {
		jobs[i] = river.InsertManyParams{
			Args:       DeliveryJob{model.WebhookID{UUID: id}, e.ID},
			InsertOpts: &river.InsertOpts{Queue: DeliveryQueue, MaxAttempts: len(model.WebhookRetries) + 1},
		}
	}
	err := t.behind(ctx, func() error {
		_, err := t.jobs.InsertManyFastTx(ctx, t.tx, jobs)
		return err
	})
	return classify(err, "create delivery")
}

package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

const (
	deliveries  = 8                // at once by a replica
	deliverTime = 30 * time.Second // of one, rows included
	rescueAfter = 5 * time.Minute  // when a job whose replica was killed is done by another one; above what any may take
)

// Deliver tells a receiver of an event, attempt counting from 1. After an error it is called again at the next of
// model.WebhookRetries, after ErrBusy in a moment.
type Deliver func(ctx context.Context, webhook model.WebhookID, event model.EventID, attempt int) error

// ErrBusy is returned by a Deliver that would do too much at once: it does not count as an attempt.
var ErrBusy = errors.New("too many deliveries to one receiver")

const busyPause = time.Second

// courier is the worker of deliveries. A delivery that was done and whose replica was killed is done again: receivers
// know events by their ids.
type courier struct {
	river.WorkerDefaults[store.DeliveryJob]
	deliver Deliver
}

// Work implements river.Worker.
func (c *courier) Work(ctx context.Context, job *river.Job[store.DeliveryJob]) error {
	err := c.deliver(ctx, job.Args.Webhook, job.Args.Event, job.Attempt)
	if errors.Is(err, ErrBusy) {
		return river.JobSnooze(busyPause)
	}
	return err
}

// NextRetry implements river.Worker. Retries scatter over a tenth of the time.
func (c *courier) NextRetry(job *river.Job[store.DeliveryJob]) time.Time { return retryAt(job.Attempt) }

func retryAt(attempt int) time.Time {
	d := model.WebhookRetries[min(max(attempt, 1), len(model.WebhookRetries))-1]
	return time.Now().Add(d + time.Duration(rand.Float64()*float64(d)/10))
}

// Timeout implements river.Worker.
func (c *courier) Timeout(*river.Job[store.DeliveryJob]) time.Duration { return deliverTime }

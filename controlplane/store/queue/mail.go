package queue

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

const (
	mails    = 2           // at once by a replica
	mailTime = time.Minute // of one
)

// Mail sends an event to an address, attempt counting from 1. After an error it is called again as a Deliver is.
type Mail func(ctx context.Context, event model.EventID, address string, attempt int) error

// postman is the worker of mail.
type postman struct {
	river.WorkerDefaults[store.MailJob]
	mail Mail
}

// Work implements river.Worker.
func (p *postman) Work(ctx context.Context, job *river.Job[store.MailJob]) error {
	return p.mail(ctx, job.Args.Event, job.Args.Address, job.Attempt)
}

// NextRetry implements river.Worker.
func (p *postman) NextRetry(job *river.Job[store.MailJob]) time.Time { return retryAt(job.Attempt) }

// Timeout implements river.Worker.
func (p *postman) Timeout(*river.Job[store.MailJob]) time.Duration { return mailTime }

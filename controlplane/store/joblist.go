package store

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// JobFilter chooses jobs.
type JobFilter struct {
	State string // "": any
	Kind  string // "": any
}

// ListJobs returns jobs before a number, the newest first, at most limit; before is 0 for the newest of all.
func (t *Tx) ListJobs(ctx context.Context, f JobFilter, before int64, limit int) (out []*model.Job, err error) {
	p := river.NewJobListParams().First(limit).OrderBy(river.JobListOrderByID, river.SortOrderDesc)
	if f.State != "" {
		p = p.States(rivertype.JobState(f.State))
	}
	if f.Kind != "" {
		p = p.Kinds(f.Kind)
	}
	if before > 0 {
		p = p.Where("id < @before", river.NamedArgs{"before": before})
	}
	err = t.behind(ctx, func() error {
		r, err := t.jobs.JobListTx(ctx, t.tx, p)
		if err == nil {
			out = convert(r.Jobs, job)
		}
		return err
	})
	return out, classify(err, "list jobs")
}

// GetJob returns a job by its number.
func (t *Tx) GetJob(ctx context.Context, id int64) (*model.Job, error) {
	return t.oneJob(ctx, func() (*rivertype.JobRow, error) { return t.jobs.JobGetTx(ctx, t.tx, id) })
}

// RetryJob has a job done as soon as somebody is free, once more if it is over. One that is running goes on.
func (t *Tx) RetryJob(ctx context.Context, id int64) (*model.Job, error) {
	return t.oneJob(ctx, func() (*rivertype.JobRow, error) { return t.jobs.JobRetryTx(ctx, t.tx, id) })
}

// CancelJob ends a job; whoever works on it is told. One that is over stays as it is.
func (t *Tx) CancelJob(ctx context.Context, id int64) (*model.Job, error) {
	return t.oneJob(ctx, func() (*rivertype.JobRow, error) { return t.jobs.JobCancelTx(ctx, t.tx, id) })
}

func (t *Tx) oneJob(ctx context.Context, get func() (*rivertype.JobRow, error)) (out *model.Job, err error) {
	err = t.behind(ctx, func() error {
		r, err := get()
		if err == nil {
			out = job(r)
		}
		return err
	})
	if errors.Is(err, rivertype.ErrNotFound) {
		return nil, fault.New(fault.NotFound, "no such job")
	}
	return out, classify(err, "job")
}

func job(r *rivertype.JobRow) *model.Job {
	out := &model.Job{
		ID: r.ID, Kind: r.Kind, State: string(r.State), Attempt: r.Attempt, Attempts: r.MaxAttempts, Created: r.CreatedAt, Scheduled: r.ScheduledAt,
		About: about(r.Kind, r.EncodedArgs),
	}
	if r.AttemptedAt != nil {
		out.Attempted = *r.AttemptedAt
	}
	if r.FinalizedAt != nil {
		out.Finished = *r.FinalizedAt
	}
	if n := len(r.AttemptedBy); n > 0 {
		out.Replica = r.AttemptedBy[n-1]
	}
	if n := len(r.Errors); n > 0 {
		out.Problem = r.Errors[n-1].Error
	}
	return out
}

// about says what a job is about, of the kinds whose arguments are known to be nobody's secret; of others nothing.
func about(kind string, args []byte) string {
	switch kind {
	case DeliveryJob{}.Kind():
		var a DeliveryJob
		if json.Unmarshal(args, &a) == nil {
			return "event " + a.Event.String() + " to webhook " + a.Webhook.String()
		}
	case MailJob{}.Kind():
		var a MailJob
		if json.Unmarshal(args, &a) == nil {
			return "event " + a.Event.String() + " to " + a.Address
		}
	}
	return ""
}

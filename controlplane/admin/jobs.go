package admin

import (
	"context"
	"strconv"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Job is work in the queue, or that was in it lately. What it works with is not shown, but in words that are nobody's secret.
type Job struct {
	ID          string     `json:"id"`
	Kind        string     `json:"kind" doc:"deliver: tell a webhook of an event; alert_mail; plan, bell, upkeep: look for certificates that are due"`
	State       string     `json:"state" enum:"available,scheduled,pending,running,retryable,completed,cancelled,discarded"`
	About       string     `json:"about,omitempty"`
	Attempt     int        `json:"attempt" doc:"The last one; 0: none yet"`
	MaxAttempts int        `json:"max_attempts"`
	CreatedAt   time.Time  `json:"created_at"`
	ScheduledAt time.Time  `json:"scheduled_at" doc:"It is not done before"`
	AttemptedAt *time.Time `json:"attempted_at,omitempty"`
	FinishedAt  *time.Time `json:"finished_at,omitempty"`
	Replica     string     `json:"replica,omitempty" doc:"That attempted it last"`
	Problem     string     `json:"problem,omitempty" doc:"What the last attempt which failed ended with"`
}

func viewJob(j *model.Job) Job {
	return Job{
		ID: strconv.FormatInt(j.ID, 10), Kind: j.Kind, State: j.State, About: j.About, Attempt: j.Attempt, MaxAttempts: j.Attempts,
		CreatedAt: j.Created.UTC(), ScheduledAt: j.Scheduled.UTC(), AttemptedAt: when(j.Attempted), FinishedAt: when(j.Finished), Replica: j.Replica, Problem: j.Problem,
	}
}

// Jobs lists jobs before a number, the newest first.
func (a *Admin) Jobs(ctx context.Context, p access.Principal, f store.JobFilter, before int64, limit int) (out []Job, err error) {
	err = a.read(ctx, p, func(c *call) error {
		out = []Job{}
		if !p.Can(access.JobsRead, model.OrgID{}) {
			return access.Refused(access.JobsRead)
		}
		rows, err := c.tx.ListJobs(c, f, before, limit)
		for _, j := range rows {
			out = append(out, viewJob(j))
		}
		return err
	})
	return out, err
}

// Job shows one job.
func (a *Admin) Job(ctx context.Context, p access.Principal, ref string) (out Job, err error) {
	err = a.read(ctx, p, func(c *call) error {
		if !p.Can(access.JobsRead, model.OrgID{}) {
			return access.Refused(access.JobsRead)
		}
		id, err := jobID(ref)
		if err != nil {
			return err
		}
		j, err := c.tx.GetJob(c, id)
		if err == nil {
			out = viewJob(j)
		}
		return err
	})
	return out, err
}

// RetryJob has a job done now, once more if it is over.
func (a *Admin) RetryJob(ctx context.Context, p access.Principal, ref string) (Job, error) {
	return a.changeJob(ctx, p, ref, "retry", func(c *call, j *model.Job) (*model.Job, error) {
		if j.State == "running" {
			return nil, fault.New(fault.Conflict, "job %d is running", j.ID)
		}
		return c.tx.RetryJob(c, j.ID)
	})
}

// CancelJob ends a job that is not over.
func (a *Admin) CancelJob(ctx context.Context, p access.Principal, ref string) (Job, error) {
	return a.changeJob(ctx, p, ref, "cancel", func(c *call, j *model.Job) (*model.Job, error) {
		if j.Over() {
			return nil, fault.New(fault.Conflict, "job %d is over: %s", j.ID, j.State)
		}
		return c.tx.CancelJob(c, j.ID)
	})
}

func (a *Admin) changeJob(ctx context.Context, p access.Principal, ref, verb string, fn func(c *call, j *model.Job) (*model.Job, error)) (out Job, err error) {
	_, err = a.write(ctx, p, action("job", verb), func(c *call) error {
		if !p.Can(access.JobsManage, model.OrgID{}) {
			return access.Refused(access.JobsManage)
		}
		id, err := jobID(ref)
		if err != nil {
			return err
		}
		j, err := c.tx.GetJob(c, id)
		if err == nil {
			j, err = fn(c, j)
		}
		if err != nil {
			return err
		}
		out = viewJob(j)
		c.did(out.ID, out.Kind)
		return nil
	})
	return out, err
}

func jobID(ref string) (int64, error) {
	id, err := strconv.ParseInt(ref, 10, 64)
	if err != nil || id <= 0 {
		return 0, fault.New(fault.NotFound, "no such job")
	}
	return id, nil
}

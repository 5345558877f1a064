package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/store"
)

type jobsInput struct {
	PageQuery
	State string `query:"state" enum:"available,scheduled,pending,running,retryable,completed,cancelled,discarded" doc:"Only jobs in this state"`
	Kind  string `query:"kind" maxLength:"63" doc:"Only jobs of this kind"`
}

// jobs are the queue of the cluster.
func (a *API) jobs() {
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/jobs", "list-jobs", "What is in the queue, and what was in it lately, the newest first", "jobs", access.JobsRead, 200),
		func(ctx context.Context, in *jobsInput) (*answer[page[admin.Job]], error) {
			filter := store.JobFilter{State: in.State, Kind: in.Kind}
			return numbered(ctx, a, "jobs/"+in.State+"/"+in.Kind, in.PageQuery, func(before uint64, most int) ([]admin.Job, error) {
				return a.Admin.Jobs(ctx, caller(ctx), filter, int64(before), most)
			}, func(j admin.Job) string { return j.ID })
		})
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/jobs/{name}", "get-job", "Show a job", "jobs", access.JobsRead, 200),
		func(ctx context.Context, in *oneInput) (*answer[admin.Job], error) {
			return a.job(ctx)(a.Admin.Job(ctx, caller(ctx), in.Name))
		})
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/jobs/{name}/retry", "retry-job", "Do a job now, once more if it is over", "jobs", access.JobsManage, 200),
		func(ctx context.Context, in *oneInput) (*answer[admin.Job], error) {
			return a.job(ctx)(a.Admin.RetryJob(ctx, caller(ctx), in.Name))
		})
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/jobs/{name}/cancel", "cancel-job", "End a job that is not over; who works on it is told", "jobs", access.JobsManage, 200),
		func(ctx context.Context, in *oneInput) (*answer[admin.Job], error) {
			return a.job(ctx)(a.Admin.CancelJob(ctx, caller(ctx), in.Name))
		})
}

func (a *API) job(ctx context.Context) func(v admin.Job, err error) (*answer[admin.Job], error) {
	return func(v admin.Job, err error) (*answer[admin.Job], error) {
		if err != nil {
			return nil, a.failed(ctx, err)
		}
		return &answer[admin.Job]{Status: http.StatusOK, Body: v}, nil
	}
}

package console

import (
	"strconv"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/store"
)

// jobStates are the states of a job, as people say them.
var jobStates = []Option{
	{"", "any"}, {"available", "waits for its turn"}, {"scheduled", "for later"}, {"running", "at work"}, {"retryable", "to be tried again"}, {"completed", "done"},
	{"cancelled", "cancelled"}, {"discarded", "given up"},
}

func jobBadge(v admin.Job) Badge {
	tone := map[string]string{"running": good, "completed": good, "retryable": warn, "discarded": bad}[v.State]
	for _, o := range jobStates {
		if o.Value == v.State {
			return Badge{tone, o.Text, v.State}
		}
	}
	return Badge{tone, v.State, ""}
}

// over says whether nobody works on a job any more.
func over(v admin.Job) bool { return v.FinishedAt != nil }

// listJobs is the queue of the cluster, the newest first.
func listJobs(q *Request) (*Page, error) {
	f := filterOf(q, "state", "kind")
	before := int64(0)
	if text := q.URL.Query().Get("before"); text != "" {
		var err error
		if before, err = strconv.ParseInt(text, 10, 64); err != nil || before <= 0 {
			return nil, fault.New(fault.NotFound, "There is no such place in this list.")
		}
	}
	filter := store.JobFilter{State: f.Get("state"), Kind: f.Get("kind")}
	known := false
	for _, o := range jobStates {
		known = known || o.Value == filter.State
	}
	if !known {
		return nil, fault.New(fault.NotFound, "There is no state %q.", filter.State)
	}
	list, err := q.Admin.Jobs(q.Context(), q.Who, filter, before, perPage+1)
	if err != nil {
		return nil, err
	}
	l := listed(q, f, list, func(v admin.Job) string { return v.ID })
	return &Page{Title: "Jobs", Top: jobsFilter(f), Live: jobsView(q, l)}, nil
}

func showJob(q *Request) (*Page, error) {
	v, err := q.Admin.Job(q.Context(), q.Who, q.PathValue("job"))
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Job " + v.ID, Crumbs: []Crumb{{"Jobs", q.ToCluster("jobs")}}, Actions: jobActions(q, v), Live: jobView(q, v)}, nil
}

func retryJob(q *Request) (*Done, error) {
	v, err := q.Admin.RetryJob(q.Context(), q.Who, q.PathValue("job"))
	return &Done{To: q.ToCluster("jobs", v.ID), Said: "It is done now, as soon as it has its turn."}, err
}

func cancelJob(q *Request) (*Done, error) {
	v, err := q.Admin.CancelJob(q.Context(), q.Who, q.PathValue("job"))
	return &Done{To: q.ToCluster("jobs", v.ID), Said: "It is cancelled. Who works on it is told."}, err
}

func (c *Console) jobRoutes(cluster string) {
	c.page(cluster+"/jobs", access.JobsRead, listJobs)
	c.page(cluster+"/jobs/{job}", access.JobsRead, showJob)
	c.form(cluster+"/jobs/{job}/retry", access.JobsManage, retryJob)
	c.form(cluster+"/jobs/{job}/cancel", access.JobsManage, cancelJob)
}

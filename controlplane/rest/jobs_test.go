package rest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// What is in the queue is shown without what it works with, is done again and ended; by operators of the cluster alone.
func TestJobs(t *testing.T) {
	w := newWorld(t)
	w.must(http.StatusCreated, http.MethodPost, org+"/webhooks", `{"name":"ops","url":"https://hooks.example/hush"}`)
	w.must(http.StatusOK, http.MethodPost, org+"/webhooks/ops/test", "")
	plan := w.job()
	list := func(query string) (jobs []admin.Job, body string) {
		t.Helper()
		var p page[admin.Job]
		r := w.must(http.StatusOK, http.MethodGet, "/api/v1/jobs"+query, "")
		r.into(t, &p)
		return p.Items, string(r.body)
	}
	all, body := list("")
	if len(all) < 2 || all[0].ID != plan || strings.Contains(body, "hush") || strings.Contains(body, "hooks.example") {
		t.Errorf("jobs, the newest first: %s", body)
	}
	told, body := list("?kind=deliver&state=available")
	if len(told) != 1 || told[0].MaxAttempts < 2 || !strings.HasPrefix(told[0].About, "event ") || !strings.Contains(told[0].About, " to webhook webhook_") {
		t.Fatalf("deliveries: %s", body)
	}
	if none, body := list("?state=discarded"); len(none) != 0 || !strings.Contains(body, `"items":[]`) {
		t.Errorf("discarded: %s", body)
	}

	// Pages follow each other without a gap.
	var first page[admin.Job]
	w.must(http.StatusOK, http.MethodGet, "/api/v1/jobs?page_size=1", "").into(t, &first)
	var second page[admin.Job]
	w.must(http.StatusOK, http.MethodGet, "/api/v1/jobs?page_size=1&page_token="+first.Next, "").into(t, &second)
	if len(second.Items) != 1 || first.Items[0].ID != all[0].ID || second.Items[0].ID != all[1].ID {
		t.Errorf("pages: %+v, %+v", first, second)
	}

	at := "/api/v1/jobs/" + told[0].ID
	state := func(path string, status int) string {
		t.Helper()
		method := http.MethodPost
		if path == "" {
			method = http.MethodGet
		}
		var j admin.Job
		w.must(status, method, at+path, "").into(t, &j)
		return j.State
	}
	if got := state("/cancel", http.StatusOK); got != "cancelled" || state("", http.StatusOK) != "cancelled" {
		t.Errorf("a job that was ended is %s", got)
	}
	state("/cancel", http.StatusConflict)
	if got := state("/retry", http.StatusOK); got != "available" {
		t.Errorf("a job that is to be done again is %s", got)
	}
	for _, ref := range []string{"999999999", "0", "-1", "x", "9223372036854775808"} {
		for _, action := range []string{"/retry", "/cancel"} {
			w.must(http.StatusNotFound, http.MethodPost, "/api/v1/jobs/"+ref+action, "")
		}
		w.must(http.StatusNotFound, http.MethodGet, "/api/v1/jobs/"+ref, "")
	}
	w.must(http.StatusUnprocessableEntity, http.MethodGet, "/api/v1/jobs?state=lost", "")
	if log := w.must(http.StatusOK, http.MethodGet, "/api/v1/audit?page_size=500", ""); !strings.Contains(string(log.body), `"job.cancel"`) || !strings.Contains(string(log.body), `"job.retry"`) {
		t.Error("the audit log does not say who has ended the job, and had it done again")
	}

	owner := w.signIn("ann@example.com", "default", model.RoleOwner)
	for _, path := range []string{"", "/retry", "/cancel"} {
		method := http.MethodPost
		if path == "" {
			method = http.MethodGet
		}
		if r := w.as(owner, method, at+path, ""); r.status != http.StatusForbidden {
			t.Errorf("the owner of an organization: %s: %d", path, r.status)
		}
	}
}

// A kind of job that nobody has thought of is shown without a word about what it works with.
func TestJobsOfOtherKindsSayNothing(t *testing.T) {
	w := newWorld(t)
	if _, err := w.db.Tx(t.Context(), "test", func(tx *store.Tx) error { return tx.PlanCertificates(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	var p page[admin.Job]
	w.must(http.StatusOK, http.MethodGet, "/api/v1/jobs?kind=plan", "").into(t, &p)
	if len(p.Items) != 1 || p.Items[0].About != "" {
		t.Errorf("%+v", p.Items)
	}
}

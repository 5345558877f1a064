package console

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/push"
)

// A report is what helps whoever looks for a fault, in one file: what this replica knows, what it stands on, who is connected in
// which state, what each lacks. Nothing in it is secret; names and addresses are.

// readerReport is how far a node or connector is.
type readerReport struct {
	Kind     string              `json:"kind"`
	ID       string              `json:"id"`
	Required model.Revision      `json:"required,omitempty"`
	Applied  model.Revision      `json:"applied,omitempty"`
	Problem  string              `json:"problem,omitempty"`
	Rejected []presence.Rejected `json:"rejected,omitempty"`
}

// reportParts are the files of a report, in their order.
func (q *Request) reportParts() []reportPart {
	ctx, cancel := context.WithTimeout(q.Context(), checkTime)
	defer cancel()
	d := q.diagnose()
	parts := []reportPart{
		{"about.json", map[string]any{"at": q.Now.UTC(), "version": d.Version, "replica": q.Presence.Replica(), "replicas": d.Replicas, "hears_others": d.Shared, "revision": d.Revision, "database_age_seconds": d.Database.Seconds()}},
		{"connected.json", q.Presence.List()}, {"pools.json", d.Pools}, {"broken_services.json", d.Broken}, {"between_nodes.json", q.between()},
	}
	if q.Diagnose != nil {
		parts = append(parts, reportPart{"checks.json", q.Diagnose(ctx)})
	}
	var problems []map[string]string
	for _, p := range d.Problems {
		problems = append(problems, map[string]string{"type": p.Ref.TypeURL, "name": p.Ref.Name, "why": p.Err.Error()})
	}
	return append(parts, reportPart{"problems.json", problems}, reportPart{"readers.json", q.readers()})
}

type reportPart struct {
	name string
	v    any
}

// readers is how far each connected node and connector is.
func (q *Request) readers() (out []readerReport) {
	for _, e := range q.Presence.List() {
		v := readerReport{Kind: string(e.Kind), ID: e.ID, Applied: e.Applied, Rejected: e.Rejected}
		need, err := q.Push.Required(push.Reader{Kind: e.Kind, ID: e.ID}, q.Push.Published())
		if v.Required = need; err != nil {
			v.Problem = err.Error()
		}
		out = append(out, v)
	}
	return out
}

// packed are the parts as one tar.gz.
func packed(parts []reportPart, at time.Time) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	t := tar.NewWriter(z)
	for _, p := range parts {
		text, err := json.MarshalIndent(p.v, "", "  ")
		if err == nil {
			err = t.WriteHeader(&tar.Header{Name: "warren-report/" + p.name, Mode: 0o600, Size: int64(len(text)), ModTime: at})
		}
		if err == nil {
			_, err = t.Write(text)
		}
		if err != nil {
			return nil, err
		}
	}
	err := errors.Join(t.Close(), z.Close())
	return out.Bytes(), err
}

// report is the file that is downloaded.
func (c *Console) report(w http.ResponseWriter, r *http.Request) {
	q, ok := c.begin(w, r)
	if !ok {
		return
	}
	_, err := c.allowed(q, access.ClusterManage)
	var file []byte
	if err == nil {
		file, err = packed(q.reportParts(), q.Now)
	}
	if err != nil {
		c.show(w, q, c.failed(w, q, err))
		return
	}
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("Content-Disposition", `attachment; filename="warren-report-`+q.Now.UTC().Format("20060102-150405")+`.tar.gz"`)
	_, _ = w.Write(file) // who reads is gone
}

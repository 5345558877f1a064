package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/audit"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/fault/httpfault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Listed is a part of a list of what has happened, the newest first.
type Listed[V any] struct {
	Items       []V
	Next, First string // addresses; "" at the end, and on the first page
}

// listed cuts a list, of which there is one more than is shown if there are more, and says how it goes on.
func listed[V any](q *Request, f Form, items []V, mark func(V) string) Listed[V] {
	out := Listed[V]{Items: items}
	if len(items) > perPage {
		out.Items = items[:perPage]
		v := url.Values{"before": {mark(items[perPage-1])}}
		for name, values := range f.Values {
			v[name] = values
		}
		out.Next = withQuery(q.URL.Path, v)
	}
	if q.URL.Query().Has("before") {
		out.First = withQuery(q.URL.Path, f.Values)
	}
	return out
}

// filterOf is what an address says of some parameters, without what is empty.
func filterOf(q *Request, names ...string) Form {
	f := Form{Values: url.Values{}}
	for _, name := range names {
		if v := strings.TrimSpace(q.URL.Query().Get(name)); v != "" {
			f.Set(name, v)
		}
	}
	return f
}

func listEvents(q *Request) (*Page, error) {
	f := filterOf(q, "type")
	at, id, err := openMark(q.URL.Query().Get("before"))
	if err != nil {
		return nil, err
	}
	list, err := q.Admin.Events(q.Context(), q.Who, q.Org.ID.String(), eventTypes(f), store.EventMark{At: at, ID: model.EventID{UUID: id}}, store.EventMark{}, perPage+1)
	if err != nil {
		return nil, err
	}
	l := listed(q, f, list, func(e admin.Event) string {
		id, _ := model.EventID{}.Parse(e.ID) // it was made of one
		return e.At.Format(time.RFC3339Nano) + "_" + id.UUID.String()
	})
	p := &Page{Title: "Events", Actions: eventsActions(q, f), Top: eventsFilter(q, f), Live: eventsView(q, l)}
	if l.First != "" { // what is older stays as it is
		p.Top, p.Live = both(p.Top, p.Live), nil
	}
	return p, nil
}

// eventText is what happened, as people say it, and what it happened to.
func eventText(e admin.Event) (what, object, more string) {
	b, _ := json.Marshal(e.Data)
	var d struct {
		Names   []string `json:"names"`
		Problem string   `json:"problem"`
		Name    string   `json:"name"`
		Rule    string   `json:"rule"`
		Reason  string   `json:"reason"`
	}
	_ = json.Unmarshal(b, &d)
	words := map[model.EventType]string{
		model.CertificateIssued: "certificate issued", model.CertificateFailed: "certificate not issued", model.CertificateExpiring: "certificate comes to its end",
		model.AlertFiring: "alert", model.AlertResolved: "alert is over",
	}
	what = words[e.Type]
	if what == "" {
		what = string(e.Type)
	}
	object = strings.Join(d.Names, ", ")
	if object == "" {
		object = d.Name
	}
	if object == "" {
		object = e.Object
	}
	more = d.Problem
	if more == "" {
		more = d.Reason
	}
	return what, object, more
}

func eventTone(t model.EventType) string {
	switch t {
	case model.CertificateIssued, model.AlertResolved:
		return good
	case model.CertificateExpiring:
		return warn
	}
	return bad
}

// auditFilters are the parameters that select entries of the audit log.
var auditFilters = []string{"who", "action", "object", "result", "since", "until"}

func listAudit(q *Request) (*Page, error) {
	f := filterOf(q, auditFilters...)
	filter := audit.Filter{Who: f.Get("who"), Action: f.Get("action"), Object: f.Get("object"), Result: f.Get("result")}
	if text := q.URL.Query().Get("before"); text != "" {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil || n == 0 {
			return nil, fault.New(fault.NotFound, "There is no such place in this list.")
		}
		filter.Before = n
	}
	var list []*audit.Entry
	var err error
	if filter.Since, err = admin.Moment("since", f.Get("since"), q.Now); err == nil {
		filter.Until, err = admin.Moment("until", f.Get("until"), q.Now)
	}
	if err == nil {
		list, err = q.Admin.SearchAudit(q.Context(), q.Who, q.scope(), filter, perPage+1)
	}
	status := 0
	if err != nil {
		if status = f.refuse(err); status == 0 {
			return nil, err
		}
	}
	l := listed(q, f, list, func(e *audit.Entry) string { return strconv.FormatUint(e.Seq, 10) })
	return &Page{Title: "Audit log", Status: status, Actions: auditActions(q), Top: auditView(q, f, l)}, nil
}

// verifyAudit shows whether the whole log is as it was written.
func verifyAudit(q *Request) (*Page, error) {
	state, err := q.Admin.VerifyAudit(q.Context(), q.Who)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Audit log, verified", Crumbs: []Crumb{{"Audit log", q.ToCluster("audit")}}, Top: verifiedView(q, state)}, nil
}

// exportBatch is how many entries an export reads at once.
const exportBatch = 1000

// exportAudit writes the audit log of an organization, or of everything, as lines of JSON.
func (c *Console) exportAudit(w http.ResponseWriter, r *http.Request) {
	q, ok := c.begin(w, r)
	if !ok {
		return
	}
	if _, err := c.allowed(q, access.AuditRead); err != nil {
		c.show(w, q, c.failed(w, q, err))
		return
	}
	enc, out := json.NewEncoder(w), http.NewResponseController(w)
	for after := uint64(0); ; {
		list, err := q.Admin.Audit(q.Context(), q.Who, q.scope(), after, exportBatch)
		if err != nil && after == 0 {
			http.Error(w, c.said(err), httpfault.Status(err))
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler) // who reads must not take a part for all
		}
		if after == 0 {
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Header().Set("Content-Disposition", `attachment; filename="audit.ndjson"`)
		}
		_ = out.SetWriteDeadline(time.Now().Add(sendLimit))
		for _, e := range list {
			if err := enc.Encode(map[string]*audit.Entry{"entry": e}); err != nil {
				return
			}
			after = e.Seq
		}
		if len(list) < exportBatch {
			return
		}
	}
}

// who is who did something, and by which credential.
func who(e *audit.Entry) string {
	if e.ActorName != "" {
		return e.ActorName
	}
	return fmt.Sprintf("%.24s", e.Actor)
}

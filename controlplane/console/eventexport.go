package console

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/fault/httpfault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// mostExported is how many events an export has at most.
const mostExported = 1_000_000

// eventTypes are those that a filter selects; none: all.
func eventTypes(f Form) []model.EventType {
	if t := model.EventType(f.Get("type")); slices.Contains(model.EventTypes, t) {
		return []model.EventType{t}
	}
	return nil
}

// eventExportURL is where the events of a filter are to be had.
func eventExportURL(q *Request, f Form, format string) string {
	v := url.Values{"format": {format}}
	for name, values := range f.Values {
		v[name] = values
	}
	return withQuery(q.To("events", "export"), v)
}

// eventWriter writes events in one of the formats of an export.
type eventWriter interface {
	write(list []admin.Event) error
}

type eventLines struct{ *json.Encoder }

func (e eventLines) write(list []admin.Event) error {
	for _, v := range list {
		if err := e.Encode(v); err != nil {
			return err
		}
	}
	return nil
}

type eventTable struct{ *csv.Writer }

func (t eventTable) write(list []admin.Event) error {
	for _, v := range list {
		what, object, more := eventText(v)
		row := []string{v.At.Format(time.RFC3339Nano), v.ID, string(v.Type), v.Object, what, object, more}
		for i, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				row[i] = "'" + cell // spreadsheets would take it for a formula
			}
		}
		_ = t.Write(row) // Error says it
	}
	t.Flush()
	return t.Error()
}

// exportEvents writes what has happened in an organization as CSV or as lines of JSON, the newest first.
func (c *Console) exportEvents(w http.ResponseWriter, r *http.Request) {
	q, ok := c.begin(w, r)
	if !ok {
		return
	}
	_, err := c.allowed(q, access.EventsRead)
	format := q.URL.Query().Get("format")
	if err == nil && format != "csv" && format != "ndjson" {
		err = fault.New(fault.NotFound, "Events are to be had as csv or ndjson.")
	}
	types := eventTypes(filterOf(q, "type"))
	var list []admin.Event
	if err == nil {
		list, err = q.Admin.Events(q.Context(), q.Who, q.Org.ID.String(), types, store.EventMark{}, store.EventMark{}, exportBatch)
	}
	if err != nil {
		http.Error(w, c.said(err), httpfault.Status(err))
		return
	}
	w.Header().Set("Content-Disposition", `attachment; filename="events.`+format+`"`)
	w.Header().Set("Content-Type", "application/x-ndjson")
	var out eventWriter = eventLines{json.NewEncoder(w)}
	if format == "csv" {
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		t := eventTable{csv.NewWriter(w)}
		_ = t.Write([]string{"at", "id", "type", "object_id", "what", "object", "more"})
		out = t
	}
	for n := len(list); ; n += len(list) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendLimit))
		if out.write(list) != nil || len(list) < exportBatch || n >= mostExported {
			return
		}
		last := list[len(list)-1]
		id, _ := model.EventID{}.Parse(last.ID) // it was made of one
		if list, err = q.Admin.Events(q.Context(), q.Who, q.Org.ID.String(), types, store.EventMark{At: last.At, ID: id}, store.EventMark{}, exportBatch); err != nil {
			panic(http.ErrAbortHandler) // who reads must not take a part for all
		}
	}
}

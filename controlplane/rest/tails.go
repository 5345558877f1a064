package rest

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault/httpfault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Limits of calls that go on for longer than others.
const (
	maxTail    = 10 * time.Minute // who watches on asks again
	askEvery   = 5 * time.Second  // whether who watches may still do so
	aliveEvery = 15 * time.Second
	sendTime   = 15 * time.Second // that a caller may take for what is written at once
	lookEvery  = time.Second      // for events
	late       = 30 * time.Second // after which an event of a moment may still be committed
	maxExport  = 1_000_000        // requests
	exportPage = 1000
)

// long reports whether a call may take as long as maxTail.
func long(path string) bool {
	return strings.HasSuffix(path, "/tail") || strings.HasSuffix(path, "/export")
}

type TailQuery struct {
	For string `query:"for" maxLength:"16" default:"10m" doc:"How long, ten minutes at most; who wants to see more asks again"`
}

func (q *TailQuery) read() (time.Duration, error) {
	d, err := time.ParseDuration(q.For)
	if err != nil || d <= 0 {
		return 0, huma.Error422UnprocessableEntity("for is no duration", &huma.ErrorDetail{Message: "want a duration such as 30s or 10m", Location: "query.for", Value: q.For})
	}
	return min(d, maxTail), nil
}

// streaming is an operation whose answer is no JSON.
func streaming(op huma.Operation, types ...string) huma.Operation {
	content := map[string]*huma.MediaType{}
	for _, t := range types {
		content[t] = &huma.MediaType{Schema: &huma.Schema{Type: "string"}}
	}
	op.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: content}}
	return op
}

func (a *API) tails() {
	const events = "text/event-stream"
	huma.Register(a.huma, streaming(operation(http.MethodGet, "/api/v1/orgs/{org}/requests/tail", "tail-requests",
		"Requests as nodes tell of them, as server-sent events: request, gap (the log lacks some), dropped (this tail lacks some)", "requests", access.RequestsRead, 200), events),
		func(ctx context.Context, in *struct {
			OrgPath
			admin.RequestQuery
			TailQuery
		}) (*huma.StreamResponse, error) {
			f, err := in.Filter(time.Now())
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			most, err := in.read()
			if err != nil {
				return nil, err
			}
			t, err := a.Admin.TailRequests(ctx, caller(ctx), in.Org, f)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &huma.StreamResponse{Body: func(hc huma.Context) {
				defer t.Close()
				a.watch(hc, most, access.RequestsRead, in.Org, func(ctx context.Context, s *stream) bool { return tailRequests(ctx, t, s) })
			}}, nil
		})
	huma.Register(a.huma, streaming(operation(http.MethodGet, "/api/v1/orgs/{org}/events/tail", "tail-events",
		"What happens from now on in an organization, as server-sent events", "events", access.EventsRead, 200), events),
		func(ctx context.Context, in *struct {
			OrgPath
			EventQuery
			TailQuery
		}) (*huma.StreamResponse, error) {
			most, err := in.read()
			if err != nil {
				return nil, err
			}
			news := &news{seen: map[string]bool{}}
			look := func(ctx context.Context) ([]admin.Event, error) {
				list, err := a.Admin.Events(ctx, caller(ctx), in.Org, in.types(), store.EventMark{}, store.EventMark{At: time.Now().Add(-late)}, maxPage)
				return news.of(list), err
			}
			if _, err := look(ctx); err != nil {
				return nil, a.failed(ctx, err)
			}
			return &huma.StreamResponse{Body: func(hc huma.Context) {
				a.watch(hc, most, access.EventsRead, in.Org, func(ctx context.Context, s *stream) bool {
					select {
					case <-ctx.Done():
						return ctx.Err() == context.DeadlineExceeded
					case <-time.After(lookEvery):
					}
					list, err := look(ctx)
					for i := 0; i < len(list) && err == nil; i++ {
						err = s.event("event", list[i])
					}
					return err == nil || ctx.Err() == context.DeadlineExceeded
				})
			}}, nil
		})
	a.export()
}

// news are the events that were not there before.
type news struct{ seen map[string]bool }

// of leaves what is new of a list of the latest events, the oldest first.
func (n *news) of(list []admin.Event) (out []admin.Event) {
	now := make(map[string]bool, len(list))
	for i := len(list) - 1; i >= 0; i-- {
		if now[list[i].ID] = true; !n.seen[list[i].ID] {
			out = append(out, list[i])
		}
	}
	n.seen = now
	return out
}

// tailRequests sends what there is; it is false if that was the end.
func tailRequests(ctx context.Context, t *admin.RequestTail, s *stream) bool {
	i, ok := t.Next(ctx)
	var err error
	switch {
	case !ok:
		return ctx.Err() == context.DeadlineExceeded // nothing in this time
	case i.Request != nil:
		err = s.event("request", i.Request)
	case i.Gap != nil:
		err = s.event("gap", i.Gap)
	default:
		err = s.event("dropped", map[string]uint64{"requests": i.Dropped})
	}
	return err == nil
}

// stream is an answer of server-sent events.
type stream struct {
	w  io.Writer
	rc *http.ResponseController
}

func newStream(hc huma.Context, typ string) *stream {
	_, w := humago.Unwrap(hc)
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{}) // the server's bound is for other calls; not every ResponseWriter has one
	hc.SetHeader("Content-Type", typ)
	hc.SetStatus(http.StatusOK)
	return &stream{hc.BodyWriter(), rc}
}

// soon bounds what is written next.
func (s *stream) soon() { _ = s.rc.SetWriteDeadline(time.Now().Add(sendTime)) }

func (s *stream) event(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	s.soon()
	if _, err := fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", name, b); err != nil {
		return err
	}
	return s.rc.Flush()
}

func (s *stream) alive() error {
	s.soon()
	if _, err := io.WriteString(s.w, ": \n\n"); err != nil {
		return err
	}
	return s.rc.Flush()
}

// watch calls next, with time for a while, until it is false, time is over, or the caller may no longer see what he sees.
func (a *API) watch(hc huma.Context, most time.Duration, need access.Permission, org string, next func(context.Context, *stream) bool) {
	ctx, cancel := context.WithTimeout(hc.Context(), most)
	defer cancel()
	r, _ := humago.Unwrap(hc)
	s := newStream(hc, "text/event-stream")
	if s.alive() != nil {
		return
	}
	said, asked := time.Now(), time.Now()
	for ctx.Err() == nil {
		turn, done := context.WithTimeout(ctx, askEvery)
		more := next(turn, s)
		done()
		now := time.Now()
		if !more {
			return
		}
		if now.Sub(asked) >= askEvery {
			asked = now
			if !a.still(ctx, r, need, org) {
				return
			}
		}
		if now.Sub(said) >= aliveEvery {
			said = now
			if s.alive() != nil {
				return
			}
		}
	}
}

// still reports whether who has begun to watch may go on. While that can't be known he may.
func (a *API) still(ctx context.Context, r *http.Request, need access.Permission, org string) bool {
	p, err := a.identify(r.WithContext(ctx))
	if err == nil {
		err = a.Admin.May(ctx, p, org, need)
	}
	return err == nil || httpfault.Status(err) >= http.StatusInternalServerError
}

type ExportQuery struct {
	Format string `query:"format" enum:"csv,ndjson" default:"ndjson"`
}

func (a *API) export() {
	const csvType, linesType = "text/csv; charset=utf-8", "application/x-ndjson"
	huma.Register(a.huma, streaming(operation(http.MethodGet, "/api/v1/orgs/{org}/requests/export", "export-requests",
		"The request log as CSV or as lines of JSON, the newest first, a million requests at most", "requests", access.RequestsRead, 200), "text/csv", linesType),
		func(ctx context.Context, in *struct {
			OrgPath
			admin.RequestQuery
			ExportQuery
		}) (*huma.StreamResponse, error) {
			f, err := in.Filter(time.Now())
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			first, _, err := a.Admin.Requests(ctx, caller(ctx), in.Org, f, model.RequestMark{}, exportPage)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &huma.StreamResponse{Body: func(hc huma.Context) {
				typ := linesType
				if in.Format == "csv" {
					typ = csvType
				}
				hc.SetHeader("Content-Disposition", `attachment; filename="requests.`+in.Format+`"`)
				s := newStream(hc, typ)
				write := s.lines
				if in.Format == "csv" {
					write = s.table()
				}
				err := a.pages(hc.Context(), in.Org, f, first, func(l []admin.Request) error {
					s.soon()
					return write(l)
				})
				if err != nil {
					panic(http.ErrAbortHandler) // who reads must not take a part for all
				}
			}}, nil
		})
}

// pages yields the request log page by page, beginning with the first.
func (a *API) pages(ctx context.Context, org string, f model.RequestFilter, list []admin.Request, yield func([]admin.Request) error) error {
	for n := len(list); ; n += len(list) {
		if err := yield(list); err != nil || len(list) < exportPage || n >= maxExport {
			return err
		}
		var err error
		if list, _, err = a.Admin.Requests(ctx, caller(ctx), org, f, list[len(list)-1].MarkOf(), exportPage); err != nil {
			return err
		}
	}
}

func (s *stream) lines(list []admin.Request) error {
	e := json.NewEncoder(s.w)
	for _, r := range list {
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return s.rc.Flush()
}

// table writes CSV, with a head before the first.
func (s *stream) table() func([]admin.Request) error {
	w := csv.NewWriter(s.w)
	_ = w.Write([]string{"at", "id", "kind", "service", "node", "site", "client", "method", "host", "path", "user", "status", "bytes_in", "bytes_out", "decide_ms", "first_byte_ms", "total_ms", "decision", "reason", "error"}) // Flush says what went wrong
	float := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	return func(list []admin.Request) error {
		for _, r := range list {
			row := []string{
				r.At.Format(time.RFC3339Nano), r.ID, string(r.Kind), r.Service, r.Node, r.Site, r.Client, r.Method, r.Host, r.Path, r.User, strconv.Itoa(r.Status),
				strconv.FormatInt(r.In, 10), strconv.FormatInt(r.Out, 10), float(r.Decide), float(r.FirstByte), float(r.Total), r.Decision, r.Reason, r.Error,
			}
			for i, cell := range row {
				if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
					row[i] = "'" + cell // spreadsheets would take it for a formula
				}
			}
			_ = w.Write(row)
		}
		w.Flush()
		if err := w.Error(); err != nil {
			return err
		}
		return s.rc.Flush()
	}
}

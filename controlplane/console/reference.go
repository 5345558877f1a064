package console

import (
	"strings"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/reference"
)

// callsOf are the calls of one kind.
type callsOf struct {
	Tag   string
	Calls []reference.Operation
}

// listCalls is the reference of the API: what one may call, by kind.
func listCalls(q *Request) (*Page, error) {
	query := strings.TrimSpace(q.URL.Query().Get("q"))
	words := strings.Fields(strings.ToLower(query))
	var out []callsOf
	for _, op := range q.Reference {
		if !matches(words, op.ID, op, func(op reference.Operation) []string {
			return []string{op.Method, op.Path, op.Summary, op.Tag, op.Permission}
		}) {
			continue
		}
		if len(out) == 0 || out[len(out)-1].Tag != op.Tag {
			out = append(out, callsOf{Tag: op.Tag})
		}
		of := &out[len(out)-1]
		of.Calls = append(of.Calls, op)
	}
	return &Page{Title: "API", Top: finder(q, query, "Search calls"), Live: callsView(q, out)}, nil
}

func showCall(q *Request) (*Page, error) {
	for _, op := range q.Reference {
		if op.ID == q.PathValue("call") {
			return &Page{Title: op.Summary, Crumbs: []Crumb{{"API", q.To("api")}}, Top: callView(q, op)}, nil
		}
	}
	return nil, fault.New(fault.NotFound, "There is no such call.")
}

func numbers(list []int) string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = itoa(n)
	}
	return strings.Join(out, ", ")
}

// example is a call as one pastes it into a terminal, of this organization.
func (q *Request) example(op reference.Operation) string {
	path := strings.ReplaceAll(op.Path, "{org}", q.Org.Name)
	text := "curl -H \"Authorization: Bearer $WARREN_API_KEY\""
	if op.Method != "GET" {
		text += " -X " + op.Method
	}
	if len(op.Body) > 0 {
		text += " \\\n  -H 'Content-Type: application/json' -d '{…}'"
	}
	return text + " \\\n  " + q.base() + path
}

// base is where the API is, as the browser has found the console.
func (q *Request) base() string {
	scheme := "https"
	if q.TLS == nil && strings.HasPrefix(q.Host, "localhost") {
		scheme = "http"
	}
	return scheme + "://" + q.Host
}

package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/fault/httpfault"
)

// problem is an RFC 9457 document with the call's id.
type problem struct {
	huma.ErrorModel
	RequestID string `json:"request_id,omitempty" doc:"Also in X-Request-Id; the log knows it"`
}

// init makes problem the one type of errors, and "Pool" an unknown field: huma takes both from package variables.
func init() {
	huma.ValidateStrictCasing = true
	detailed := huma.NewError
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		e := detailed(status, msg, errs...)
		if m, ok := e.(*huma.ErrorModel); ok {
			return &problem{ErrorModel: *m}
		}
		return e
	}
}

// finish puts the call's id into a problem and bounds what it says.
func finish(ctx huma.Context, _ string, v any) (any, error) {
	if p, ok := v.(*problem); ok {
		if p.RequestID == "" {
			p.RequestID, _ = ctx.Context().Value(requestKey{}).(string)
		}
		p.shorten()
	}
	return v, nil
}

// Bounds of a problem document, in bytes before they are encoded: what was wrong with a megabyte is said in less.
const (
	maxDetail = 2000
	maxShown  = 200 // of a message, a location, a value
	maxErrors = 20
)

// shorten bounds what a problem repeats of a call.
func (p *problem) shorten() {
	p.Detail = cut(p.Detail, maxDetail)
	short := make([]*huma.ErrorDetail, 0, min(len(p.Errors), maxErrors+1))
	for i, e := range p.Errors {
		if i == maxErrors {
			short = append(short, &huma.ErrorDetail{Message: fmt.Sprintf("and %d more", len(p.Errors)-i)})
			break
		}
		short = append(short, &huma.ErrorDetail{Message: cut(e.Message, maxShown), Location: cut(e.Location, maxShown), Value: shown(e.Value)})
	}
	p.Errors = short
}

// shown is a value as far as it fits; what has parts is cut in its JSON text.
func shown(v any) any {
	if s, ok := v.(string); ok {
		return cut(s, maxShown)
	}
	b, err := json.Marshal(v)
	if err != nil || len(b) > maxShown {
		return cut(string(b), maxShown)
	}
	return v
}

// cut is the beginning of a text, marked as such if there is more of it.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s… (cut, %d bytes)", strings.ToValidUTF8(s[:most], ""), len(s))
}

// failed makes the answer to an error. Causes are for the log, not for the caller.
func (a *API) failed(ctx context.Context, err error) error {
	status := httpfault.Status(err)
	id, _ := ctx.Value(requestKey{}).(string)
	p := &problem{RequestID: id}
	p.Status, p.Title = status, http.StatusText(status)
	fe, ok := errors.AsType[*fault.Error](err)
	switch {
	case status >= http.StatusInternalServerError:
		a.Log.Error("call failed", "request", id, "err", err)
		p.Detail = "the server could not do this; its log knows the request id"
		if status == http.StatusServiceUnavailable {
			p.Detail = "not possible now, try again"
		}
	case ok:
		p.Detail = fe.Msg
		if fe.Field != "" {
			p.Errors = []*huma.ErrorDetail{{Message: fe.Msg, Location: "body." + fe.Field}}
		}
	default:
		p.Detail = err.Error()
	}
	if status == http.StatusServiceUnavailable {
		return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {"2"}})
	}
	return p
}

// writeProblem answers where huma has no part.
func writeProblem(w http.ResponseWriter, id string, status int, detail string) {
	p := problem{RequestID: id}
	p.Status, p.Title, p.Detail = status, http.StatusText(status), detail
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(p)
}

// onlyName refuses a body whose name is not the one of the path.
func onlyName(body, path string) error {
	if body != "" && !strings.EqualFold(body, path) && (!strings.Contains(path, "_") || strings.Contains(path, "@")) {
		return fault.Field("name", "%q, but the path says %q", body, path)
	}
	return nil
}

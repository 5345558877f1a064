package store

import (
	"encoding/json"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// checkRow is a health check as its column has it. Fields are only added; one that is not there is zero.
type checkRow struct {
	Kind               string        `json:"kind"`
	IntervalMS         int64         `json:"interval_ms"`
	TimeoutMS          int64         `json:"timeout_ms"`
	HealthyThreshold   int           `json:"healthy_threshold"`
	UnhealthyThreshold int           `json:"unhealthy_threshold"`
	Method             string        `json:"method,omitempty"`
	Path               string        `json:"path,omitempty"`
	Host               string        `json:"host,omitempty"`
	Headers            []checkHeader `json:"headers,omitempty"`
	Statuses           []checkStatus `json:"expected_statuses,omitempty"`
	BodyContains       string        `json:"body_contains,omitempty"`
	TLS                bool          `json:"tls,omitempty"`
}

type checkHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type checkStatus struct {
	First int `json:"first"`
	Last  int `json:"last"`
}

// checkDocument is a health check as it is stored; nil: none.
func checkDocument(h *model.HealthCheck) ([]byte, error) {
	if h == nil {
		return nil, nil
	}
	r := checkRow{
		Kind: string(h.Kind), IntervalMS: h.Interval.Milliseconds(), TimeoutMS: h.Timeout.Milliseconds(),
		HealthyThreshold: h.HealthyThreshold, UnhealthyThreshold: h.UnhealthyThreshold,
		Method: h.Method, Path: h.Path, Host: h.Host, BodyContains: h.BodyContains, TLS: h.TLS,
	}
	for _, e := range h.Headers {
		r.Headers = append(r.Headers, checkHeader(e))
	}
	for _, s := range h.Statuses {
		r.Statuses = append(r.Statuses, checkStatus(s))
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Internal, Msg: "health check", Err: err}
	}
	return b, nil
}

// healthCheck reads a stored health check. What was written by hand and can't be read, or makes no sense,
// counts as none: it must stop neither the feed nor the connectors of its site.
func healthCheck(b []byte) *model.HealthCheck {
	if b == nil {
		return nil
	}
	var r checkRow
	if json.Unmarshal(b, &r) != nil {
		return nil
	}
	h := &model.HealthCheck{
		Kind: model.CheckKind(r.Kind), Interval: time.Duration(r.IntervalMS) * time.Millisecond, Timeout: time.Duration(r.TimeoutMS) * time.Millisecond,
		HealthyThreshold: r.HealthyThreshold, UnhealthyThreshold: r.UnhealthyThreshold,
		Method: r.Method, Path: r.Path, Host: r.Host, BodyContains: r.BodyContains, TLS: r.TLS,
	}
	for _, e := range r.Headers {
		h.Headers = append(h.Headers, model.CheckHeader(e))
	}
	for _, s := range r.Statuses {
		h.Statuses = append(h.Statuses, model.StatusRange(s))
	}
	if h.Validate() != nil {
		return nil
	}
	return h
}

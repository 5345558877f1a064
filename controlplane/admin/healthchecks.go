package admin

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// HealthCheck is how a target is checked, as it is written and shown.
type HealthCheck struct {
	Kind               string `json:"kind" enum:"tcp,http" doc:"tcp: the target takes a connection; http: it answers as expected"`
	Interval           string `json:"interval,omitempty" maxLength:"20" example:"10s" doc:"From 1s to 1h; 10s if absent"`
	Timeout            string `json:"timeout,omitempty" maxLength:"20" example:"2s" doc:"Less than the interval; 2s if absent, or half of a shorter interval"`
	HealthyThreshold   int    `json:"healthy_threshold,omitempty" minimum:"1" maximum:"100" doc:"Successes in a row until it counts as healthy; 2 if absent"`
	UnhealthyThreshold int    `json:"unhealthy_threshold,omitempty" minimum:"1" maximum:"100" doc:"Failures in a row until it counts as unhealthy; 3 if absent"`

	Method           string            `json:"method,omitempty" maxLength:"20" doc:"Of http; GET if absent"`
	Path             string            `json:"path,omitempty" maxLength:"1024" doc:"Of http, with query if need be; / if absent"`
	Host             string            `json:"host,omitempty" maxLength:"255" doc:"Of http: the Host header; the target's address if absent"`
	Headers          map[string]string `json:"headers,omitempty" doc:"Of http"`
	ExpectedStatuses []string          `json:"expected_statuses,omitempty" maxItems:"16" example:"[\"200-399\"]" doc:"Of http: statuses and ranges of them; 200-399 if absent"`
	BodyContains     string            `json:"body_contains,omitempty" maxLength:"1024" doc:"Of http: a text in the first 64 KiB of the answer"`
	TLS              bool              `json:"tls,omitempty" doc:"Of http: over TLS; the target's certificate is not verified"`
}

// buildCheck brings a check into its one form, with defaults for what is not said.
func buildCheck(s *HealthCheck) (*model.HealthCheck, error) {
	if s == nil {
		return nil, nil
	}
	h := &model.HealthCheck{
		Kind: model.CheckKind(s.Kind), HealthyThreshold: s.HealthyThreshold, UnhealthyThreshold: s.UnhealthyThreshold,
		Method: s.Method, Path: s.Path, Host: s.Host, BodyContains: s.BodyContains, TLS: s.TLS,
	}
	var err error
	if h.Interval, err = span("interval", s.Interval, model.DefaultCheckInterval); err != nil {
		return nil, err
	}
	if h.Timeout, err = span("timeout", s.Timeout, min(model.DefaultCheckTimeout, h.Interval/2)); err != nil {
		return nil, err
	}
	if h.HealthyThreshold == 0 {
		h.HealthyThreshold = model.DefaultHealthyThreshold
	}
	if h.UnhealthyThreshold == 0 {
		h.UnhealthyThreshold = model.DefaultUnhealthyThreshold
	}
	h.Headers = buildHeaders(s.Headers)
	for i, text := range s.ExpectedStatuses {
		r, err := model.ParseStatus(text)
		if err != nil {
			return nil, fault.Field("health_check.expected_statuses["+itoa(i)+"]", "%v", err)
		}
		h.Statuses = append(h.Statuses, r)
	}
	h.Statuses = model.JoinStatuses(h.Statuses)
	if h.Kind == model.CheckHTTP {
		if h.Method == "" {
			h.Method = http.MethodGet
		}
		if h.Path == "" {
			h.Path = "/"
		}
		if len(h.Statuses) == 0 {
			h.Statuses = []model.StatusRange{{First: 200, Last: 399}}
		}
	}
	return h, h.Validate()
}

// span reads a duration; finer than a millisecond it is not kept.
func span(field, s string, otherwise time.Duration) (time.Duration, error) {
	if s == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fault.Field("health_check."+field, "%q is no duration: want one such as 500ms or 10s", s)
	}
	return d.Truncate(time.Millisecond), nil
}

func buildHeaders(m map[string]string) []model.CheckHeader {
	var out []model.CheckHeader
	for name, value := range m {
		out = append(out, model.CheckHeader{Name: http.CanonicalHeaderKey(name), Value: value})
	}
	slices.SortFunc(out, func(a, b model.CheckHeader) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func viewCheck(h *model.HealthCheck) *HealthCheck {
	out := &HealthCheck{
		Kind: string(h.Kind), Interval: h.Interval.String(), Timeout: h.Timeout.String(), HealthyThreshold: h.HealthyThreshold, UnhealthyThreshold: h.UnhealthyThreshold,
		Method: h.Method, Path: h.Path, Host: h.Host, BodyContains: h.BodyContains, TLS: h.TLS,
	}
	for _, e := range h.Headers {
		if out.Headers == nil {
			out.Headers = map[string]string{}
		}
		out.Headers[e.Name] = e.Value
	}
	for _, s := range h.Statuses {
		out.ExpectedStatuses = append(out.ExpectedStatuses, s.String())
	}
	return out
}

package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/warrenedge/warren/controlplane/fault"
)

// CheckKind is how a target is checked.
type CheckKind string

// Kinds of check.
const (
	CheckTCP  CheckKind = "tcp"  // the target takes a connection
	CheckHTTP CheckKind = "http" // the target answers a request as expected
)

// Limits and defaults of checks.
const (
	MinCheckInterval = time.Second
	MaxCheckInterval = time.Hour
	MinCheckTimeout  = 10 * time.Millisecond
	MaxThreshold     = 100
	MaxCheckHeaders  = 16
	MaxCheckStatuses = 16
	MaxCheckText     = 1024

	DefaultCheckInterval      = 10 * time.Second
	DefaultCheckTimeout       = 2 * time.Second
	DefaultHealthyThreshold   = 2
	DefaultUnhealthyThreshold = 3
)

// HealthCheck is how the connectors of a target's site find out whether it can serve. It has no defaults:
// whoever writes one fills them in.
type HealthCheck struct {
	Kind               CheckKind
	Interval           time.Duration
	Timeout            time.Duration
	HealthyThreshold   int // successes in a row
	UnhealthyThreshold int // failures in a row

	// Of HTTP checks only.
	Method       string
	Path         string        // origin-form, query included
	Host         string        // "": the target's address
	Headers      []CheckHeader // ordered by name
	Statuses     []StatusRange // ordered, apart; at least one
	BodyContains string
	TLS          bool
}

// CheckHeader is a header field of an HTTP check.
type CheckHeader struct{ Name, Value string }

// StatusRange has both ends in it.
type StatusRange struct{ First, Last int }

// ParseStatus reads a status, "200", or a range of them, "200-399".
func ParseStatus(s string) (StatusRange, error) {
	from, to, ranged := strings.Cut(s, "-")
	if !ranged {
		to = from
	}
	first, ferr := strconv.Atoi(from)
	last, lerr := strconv.Atoi(to)
	if ferr != nil || lerr != nil || !validStatus(first) || !validStatus(last) || first > last {
		return StatusRange{}, fmt.Errorf("%q, want a status from 100 to 599, or two as in 200-399", s)
	}
	return StatusRange{first, last}, nil
}

// JoinStatuses brings ranges into their one form: ordered and apart.
func JoinStatuses(list []StatusRange) []StatusRange {
	var joined []StatusRange
	for _, r := range slices.SortedFunc(slices.Values(list), func(a, b StatusRange) int { return a.First - b.First }) {
		if n := len(joined); n > 0 && r.First <= joined[n-1].Last+1 {
			joined[n-1].Last = max(joined[n-1].Last, r.Last)
			continue
		}
		joined = append(joined, r)
	}
	return joined
}

func validStatus(n int) bool { return n >= 100 && n <= 599 }

// String is the text form that ParseStatus reads.
func (r StatusRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Validate reports what is wrong, as a fault that names the field as a target has it.
func (h *HealthCheck) Validate() error {
	switch {
	case h.Kind != CheckTCP && h.Kind != CheckHTTP:
		return checkField("kind", "want %q or %q", CheckTCP, CheckHTTP)
	case h.Interval < MinCheckInterval || h.Interval > MaxCheckInterval:
		return checkField("interval", "%v, want %v to %v", h.Interval, MinCheckInterval, MaxCheckInterval)
	case h.Timeout < MinCheckTimeout:
		return checkField("timeout", "%v, want %v at least", h.Timeout, MinCheckTimeout)
	case h.Timeout >= h.Interval:
		return checkField("timeout", "%v, want less than the interval, %v", h.Timeout, h.Interval)
	case h.HealthyThreshold < 1 || h.HealthyThreshold > MaxThreshold:
		return checkField("healthy_threshold", "%d, want 1 to %d", h.HealthyThreshold, MaxThreshold)
	case h.UnhealthyThreshold < 1 || h.UnhealthyThreshold > MaxThreshold:
		return checkField("unhealthy_threshold", "%d, want 1 to %d", h.UnhealthyThreshold, MaxThreshold)
	}
	if h.Kind == CheckHTTP {
		return first(h.checkRequest(), h.checkHeaders(), h.checkAnswer())
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"method", h.Method != ""},
		{"path", h.Path != ""},
		{"host", h.Host != ""},
		{"headers", len(h.Headers) > 0},
		{"expected_statuses", len(h.Statuses) > 0},
		{"body_contains", h.BodyContains != ""},
		{"tls", h.TLS},
	} {
		if f.set {
			return checkField(f.name, "of %s checks only", CheckHTTP)
		}
	}
	return nil
}

func checkField(name, format string, args ...any) error {
	return fault.Field("health_check."+name, format, args...)
}

func (h *HealthCheck) checkRequest() error {
	switch {
	case !isMethod(h.Method):
		return checkField("method", "%q, want capital letters, as in GET", h.Method)
	case h.Method == "CONNECT" || h.Method == "TRACE":
		return checkField("method", "%s asks for a tunnel or an echo, which says nothing of health", h.Method)
	case h.Path == "" || h.Path[0] != '/':
		return checkField("path", "want a slash first")
	case len(h.Path) > MaxCheckText:
		return checkField("path", "%d characters, want %d at most", len(h.Path), MaxCheckText)
	case strings.ContainsFunc(h.Path, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }):
		return checkField("path", "want printable ASCII without spaces and \"#\", the rest escaped as %%20")
	case len(h.Host) > 255 || strings.ContainsFunc(h.Host, notInHost):
		return checkField("host", "want a name or address, with a port if need be")
	}
	return nil
}

func isMethod(s string) bool {
	return s != "" && len(s) <= 20 && !strings.ContainsFunc(s, func(r rune) bool { return r < 'A' || r > 'Z' })
}

func notInHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._:[]", r)
}

// framing are header fields that say how a message is cut, or that have a field of their own.
var framing = []string{"Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

func (h *HealthCheck) checkHeaders() error {
	if len(h.Headers) > MaxCheckHeaders {
		return checkField("headers", "%d headers, want %d at most", len(h.Headers), MaxCheckHeaders)
	}
	for i, e := range h.Headers {
		name := "headers." + e.Name
		switch {
		case !httpguts.ValidHeaderFieldName(e.Name) || len(e.Name) > 255:
			return checkField("headers", "%q is no name of a header", e.Name)
		case slices.Contains(framing, e.Name):
			return checkField(name, "is not yours to set; the host is health_check.host")
		case !httpguts.ValidHeaderFieldValue(e.Value) || !utf8.ValidString(e.Value):
			return checkField(name, "a character that no header may have")
		case len(e.Value) > MaxCheckText:
			return checkField(name, "%d characters, want %d at most", len(e.Value), MaxCheckText)
		case i > 0 && h.Headers[i-1].Name == e.Name:
			return checkField(name, "is there twice")
		case i > 0 && h.Headers[i-1].Name > e.Name:
			return checkField(name, "headers must be sorted")
		}
	}
	return nil
}

func (h *HealthCheck) checkAnswer() error {
	switch {
	case len(h.Statuses) == 0:
		return checkField("expected_statuses", "want one at least")
	case len(h.Statuses) > MaxCheckStatuses:
		return checkField("expected_statuses", "%d ranges, want %d at most", len(h.Statuses), MaxCheckStatuses)
	case len(h.BodyContains) > MaxCheckText:
		return checkField("body_contains", "%d bytes, want %d at most", len(h.BodyContains), MaxCheckText)
	case !utf8.ValidString(h.BodyContains) || strings.ContainsRune(h.BodyContains, 0):
		return checkField("body_contains", "want text")
	case h.Method == "HEAD" && h.BodyContains != "":
		return checkField("body_contains", "an answer to HEAD has no body")
	}
	for i, r := range h.Statuses {
		if !validStatus(r.First) || !validStatus(r.Last) || r.First > r.Last || i > 0 && r.First <= h.Statuses[i-1].Last {
			return checkField(fmt.Sprintf("expected_statuses[%d]", i), "%s, want statuses from 100 to 599, sorted and apart", r)
		}
	}
	return nil
}

package acme

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestClass(t *testing.T) {
	at := time.Now().Add(time.Hour)
	of := func(kind string, status int) error { return &Problem{Type: namespace + kind, Status: status} }
	both := func(kinds ...string) error {
		p := &Problem{Type: compound, Status: 403}
		for _, k := range kinds {
			p.Subproblems = append(p.Subproblems, Problem{Type: namespace + k})
		}
		return p
	}
	for want, errs := range map[Kind][]error{
		None: {nil},
		Retry: {
			errors.New("x"), context.Canceled, context.DeadlineExceeded, &url.Error{Op: "Post", Err: errors.New("connection refused")},
			of("badNonce", 400), of("serverInternal", 500), of("serverInternal", 0), of("unauthorized", 502), &Problem{Status: 503}, &Problem{Status: 403, html: true},
			&Problem{Status: 404, html: true}, &Problem{Status: 200}, &Problem{Status: 302}, both("serverInternal"), (*Problem)(nil),
			&NoRenewalInfo{Reason: &Problem{Status: 500}},
		},
		RateLimited: {
			of("rateLimited", 429), of("rateLimited", 0), of("rateLimited", 403), &Problem{Status: 429}, &Problem{Status: 503, RetryAfter: at},
			both("dns", "rateLimited"), of("malformed", 429),
		},
		Refused: {
			of("unauthorized", 403), of("unauthorized", 0), of("dns", 0), of("caa", 403), of("connection", 0), of("tls", 0), of("incorrectResponse", 0),
			of("invented", 400), both("dns", "serverInternal"), both(), both("compound"),
		},
		Terminal: {
			of("rejectedIdentifier", 400), of("unsupportedIdentifier", 400), of("malformed", 400), of("badCSR", 400), of("badPublicKey", 400),
			of("badSignatureAlgorithm", 400), of("invalidProfile", 400), of("invalidContact", 400), of("badRevocationReason", 400), both("dns", "rejectedIdentifier"),
		},
		AlreadyReplaced: {of("alreadyReplaced", 409)},
		OrderNotReady:   {of("orderNotReady", 403)},
		Gone:            {of("malformed", 404), &Problem{Status: 404}},
		AccountUnusable: {of("accountDoesNotExist", 400), of("userActionRequired", 403), of("externalAccountRequired", 403)},
	} {
		for _, err := range errs {
			if got := Class(err); got != want {
				t.Errorf("%v is %v, want %v", err, got, want)
			}
			if err != nil && Class(fmt.Errorf("order x: %w", err)) != want {
				t.Errorf("%v, wrapped: not %v", err, want)
			}
		}
	}
	if !RetryAfter(fmt.Errorf("x: %w", &Problem{RetryAfter: at})).Equal(at) || !RetryAfter(errors.New("x")).IsZero() {
		t.Error("RetryAfter")
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 500, time.UTC)
	week := 7 * 24 * time.Hour
	for v, want := range map[string]time.Duration{
		"0": 0, "1": time.Second, "007": 7 * time.Second, "010": 10 * time.Second, "86400": 24 * time.Hour,
		"604800": week, "604801": week, "99999999": week, "4294967295": week, "4294967296": week, "99999999999999999999999999": week,
		now.Add(time.Hour).Format(http.TimeFormat):            time.Hour - 500,
		now.Add(-time.Hour).Format(http.TimeFormat):           0,
		now.AddDate(40, 0, 0).Format(http.TimeFormat):         week,
		"Thursday, 26-Nov-26 12:00:10 GMT":                    10*time.Second - 500,
		strings.ToLower("Thu, 26 Nov 2026 12:00:10") + " GMT": 10*time.Second - 500,
	} {
		if got := RetryAt(http.Header{"Retry-After": {v}}, now); got.Sub(now) != want {
			t.Errorf("%q: %v, want %v", v, got.Sub(now), want)
		}
	}
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		date, after string
		want        time.Duration
	}{
		{at(3 * time.Hour), at(3*time.Hour + time.Minute), time.Minute},                       // their clock is ahead,
		{at(-3 * time.Hour), at(-3*time.Hour + time.Minute), time.Minute},                     // behind,
		{at(-50 * 365 * 24 * time.Hour), at(-50*365*24*time.Hour + time.Second), time.Second}, // was never set
		{at(time.Hour), at(time.Minute), 0},
		{at(-50 * 365 * 24 * time.Hour), at(time.Minute), week},
		{at(3 * time.Hour), "60", time.Minute}, // seconds are nobody's clock
		{"yesterday", at(time.Minute), time.Minute - 500},
	} {
		if got := RetryAt(http.Header{"Date": {c.date}, "Retry-After": {c.after}}, now); got.Sub(now) != c.want {
			t.Errorf("%q at %q: %v, want %v", c.after, c.date, got.Sub(now), c.want)
		}
	}
	for _, v := range []string{"", "-1", "1.5", "+5", " ", "soon", "1e3", "Thu, 26 Nov 2026"} {
		if got := RetryAt(http.Header{"Retry-After": {v}}, now); !got.IsZero() {
			t.Errorf("%q: %v", v, got)
		}
	}
}

func TestLinks(t *testing.T) {
	at, _ := url.Parse("https://ca.test/cert/1")
	r := &reply{url: at, header: http.Header{"Link": {
		`<https://ca.test/dir>;rel="index", <https://ca.test/cert/1/1>;rel="alternate"`, `</cert/1/2>; rel=alternate`, `<3>; title="a;b"; rel="alternate"`,
		`<https://ca.test/x>;rel="up"`, `<::>;rel="alternate"`, `rel="alternate"`,
	}}}
	want := []string{"https://ca.test/cert/1/1", "https://ca.test/cert/1/2", "https://ca.test/cert/3"}
	if got := r.links("alternate"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := r.links("next"); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func FuzzReply(f *testing.F) {
	f.Add(400, `{"type":"urn:ietf:params:acme:error:dns","detail":"x","subproblems":[{"type":"a","identifier":{"value":"b"}}]}`, "5", `<a>;rel="next"`)
	f.Add(502, "<html>\x1b[2J", "Thu, 26 Nov 2026 12:00:10 GMT", `<<>;;rel=`)
	f.Add(200, `{"suggestedWindow":{"start":"2026-01-02T00:00:00Z","end":"2026-01-03T00:00:00Z"}}`, "-", "")
	at, _ := url.Parse("https://ca.test/cert/1")
	f.Fuzz(func(t *testing.T, status int, body, after, link string) {
		r := &reply{url: at, status: status, body: []byte(body), header: http.Header{"Link": {link}, "Retry-After": {after}, "Content-Type": {after}}}
		now := time.Now()
		r.at = now
		if r.retryAfter = RetryAt(r.header, now); !r.retryAfter.IsZero() && (r.retryAfter.Before(now) || r.retryAfter.After(now.Add(limitMost))) {
			t.Errorf("Retry-After %q is %v", after, r.retryAfter)
		}
		text := parseProblem(r).Error()
		if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || utf8.RuneCountInString(text) > 12000 {
			t.Errorf("%d: %q", len(text), text)
		}
		_ = Class(parseProblem(r))
		_ = r.links("next")
		if chain, err := parseChain([]byte(body)); err == nil && len(chain) == 0 {
			t.Error("an empty chain")
		}
	})
}

package acme

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// How long a Retry-After is obeyed at most. Nothing that a CA says takes something out of its hands for good: when a bound has passed, it is asked
// again.
const (
	limitMost = 7 * 24 * time.Hour // of a rate limit (RFC 8555 §6.6): no CA's window is longer
	dayMost   = 24 * time.Hour     // of a refusal, whose cause somebody may have mended by then, and of 503: nobody is away for longer and knows it
	pollMost  = time.Hour          // of an order or authorization that is being worked on, and of failures: somebody waits, and one request an hour is no load
)

// RetryAt reads both forms of Retry-After (RFC 9110 §10.2.3) in a reply that came at now. A date is one of the CA's clock, and goes by the reply's
// own Date if there is one: what counts is how long it asks to wait. Zero: none that can be read. It is not before now, nor more than a week after.
func RetryAt(h http.Header, now time.Time) time.Time {
	v := h.Get("Retry-After")
	if v == "" {
		return time.Time{}
	}
	if !slices.ContainsFunc([]byte(v), func(b byte) bool { return b < '0' || b > '9' }) {
		if seconds, err := strconv.ParseUint(v, 10, 32); err == nil {
			return now.Add(min(time.Duration(seconds)*time.Second, limitMost))
		}
		return now.Add(limitMost)
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return time.Time{}
	}
	theirs, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		theirs = now
	}
	return now.Add(min(max(at.Sub(theirs), 0), limitMost))
}

// within is when a reply says to ask again, at most so long after it; zero: it does not say.
func (r *reply) within(most time.Duration) time.Time {
	if last := r.at.Add(most); r.retryAfter.After(last) {
		return last
	}
	return r.retryAfter
}

// most is how long the Retry-After that came with a problem is obeyed.
func (p *Problem) most() time.Duration {
	switch k := p.kind(); {
	case k == RateLimited && p.Status != http.StatusServiceUnavailable:
		return limitMost
	case k == RateLimited, k == Refused, k == Terminal:
		return dayMost
	}
	return pollMost
}

package certs

import (
	"math/rand/v2"
	"time"
)

// Lifetime is from when to when a certificate is valid.
type Lifetime struct{ NotBefore, NotAfter time.Time }

func (l Lifetime) length() time.Duration { return l.NotAfter.Sub(l.NotBefore) }

// shortLived is up to which length a certificate is renewed at half of its life: what fails is left with days
// in both cases.
const shortLived = 10 * 24 * time.Hour

// Choose returns a moment in a window with all alike, so that what was issued together is not renewed together.
// It is drawn once and stored. random is in [0,1).
func Choose(start, end time.Time, random float64) time.Time {
	return start.Add(time.Duration(float64(end.Sub(start)) * random)).Truncate(time.Second)
}

// Random draws what Choose needs.
func Random() float64 { return rand.Float64() }

// Window is when to renew a certificate whose authority suggests nothing: from two thirds of its life on, or
// from half of it if it is short-lived, for a twentieth of its life.
func Window(l Lifetime) (start, end time.Time) {
	at := l.length() * 2 / 3
	if l.length() <= shortLived {
		at = l.length() / 2
	}
	start = l.NotBefore.Add(at)
	return start, start.Add(l.length() / 20)
}

// latest is when renewal begins at the latest, whatever the authority suggests: a twelfth of the life is left for attempts
// that fail.
func (l Lifetime) latest() time.Time { return l.NotAfter.Add(-l.length() / 12) }

// Suggestion is what an authority says about renewal (RFC 9773 §4.2).
type Suggestion struct{ Start, End time.Time }

// slack is how long before a certificate begins a window may: "an hour ago" is said of one that is revoked at once.
const slack = 24 * time.Hour

// Sane reports whether a suggestion makes sense for a certificate: it begins before it ends and before it is too late,
// and lies within the certificate's life. One that does not counts as none, never as "now".
func (s Suggestion) Sane(l Lifetime) bool {
	return !s.Start.IsZero() && s.Start.Before(s.End) && !s.Start.Before(l.NotBefore.Add(-slack)) && !s.End.After(l.NotAfter) && s.Start.Before(l.latest())
}

// Renewal is when a certificate is renewed, and why then.
type Renewal struct {
	At     time.Time
	Window Suggestion // zero: the authority suggests none
}

// Suggest returns the renewal after an authority's answer; nil is no usable answer. What was drawn stays until
// the window changes, and no answer changes nothing but the moment at which an older window ends to count:
// without a suggestion, a stored time is kept. No window puts a renewal off until it is too late.
func (r Renewal) Suggest(l Lifetime, got *Suggestion, random float64) Renewal {
	kept := !r.At.IsZero() && r.At.Before(l.latest())
	if got == nil || !got.Sane(l) {
		if !kept {
			start, end := Window(l)
			r.At = Choose(start, end, random)
		}
		return r
	}
	if *got == r.Window && kept {
		return r
	}
	end := got.End
	if end.After(l.latest()) {
		end = l.latest()
	}
	return Renewal{Choose(got.Start, end, random), *got}
}

// Bounds of when an authority is asked again (RFC 9773 §4.3.2): its Retry-After within them.
const (
	pollLeast = time.Minute
	pollMost  = 24 * time.Hour
	pollElse  = 6 * time.Hour
)

// PollAt is when to ask again; after is the authority's Retry-After, zero if it said none.
func PollAt(now, after time.Time) time.Time {
	if after.IsZero() {
		return now.Add(pollElse)
	}
	return now.Add(min(max(after.Sub(now), pollLeast), pollMost))
}

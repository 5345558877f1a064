package certs

import (
	"maps"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

// ladder is how long to wait after failures in a row that the customer, or time, has to mend.
var ladder = [...]time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour}

// Terminal is how long to wait after what will not go away by itself: that somebody edits something resets it.
const Terminal = 24 * time.Hour

// Ladder returns how long to wait after the failure with this number, the first being 1. random, in [0,1), takes
// off up to a tenth, so that what failed together does not come back together.
func Ladder(step int, random float64) time.Duration {
	d := ladder[min(max(step, 1), len(ladder))-1]
	return d - time.Duration(random*float64(d)/10)
}

// Fail returns a managed certificate after an order of it has failed. until is the earliest moment of the next
// attempt that somebody else asks for, a Retry-After or a budget; zero: nobody does. There is always a next
// attempt.
func Fail(m model.ManagedCertificate, problem string, terminal bool, until, now time.Time, random float64) model.ManagedCertificate {
	m.LadderStep++
	wait := Ladder(m.LadderStep, random)
	if terminal {
		wait = Terminal
	}
	m.NextAttempt = now.Add(wait)
	if until.After(m.NextAttempt) {
		m.NextAttempt = until
	}
	if m.FailingSince.IsZero() {
		m.FailingSince = now
	}
	m.LastProblem = problem
	m.Held = maps.Clone(m.Held)
	maps.DeleteFunc(m.Held, func(_ model.IssuerID, h model.Hold) bool { return h.Why == model.HeldByCAA }) // next time all are asked
	return m
}

// Succeed returns a managed certificate with its new certificate, whose renewal is drawn.
func Succeed(m model.ManagedCertificate, id model.CertificateID, l Lifetime, ari bool, now time.Time, random float64) model.ManagedCertificate {
	m.Certificate, m.LadderStep, m.LastProblem, m.FailingSince = id, 0, "", time.Time{}
	r := Renewal{}.Suggest(l, nil, random)
	m.RenewAt, m.ARIStart, m.ARIEnd, m.ARIPollAt = r.At, time.Time{}, time.Time{}, time.Time{}
	if ari {
		m.ARIPollAt = now
	}
	m.NextAttempt = m.RenewAt
	return m
}

// Resuggest returns a managed certificate after its authority's answer about renewal; nil is no usable one. after
// is the Retry-After that came along. An attempt that somebody asked for, which is before the renewal, stays.
func Resuggest(m model.ManagedCertificate, l Lifetime, got *Suggestion, after, now time.Time, random float64) model.ManagedCertificate {
	before := Renewal{m.RenewAt, Suggestion{m.ARIStart, m.ARIEnd}}
	r, asked := before.Suggest(l, got, random), m.NextAttempt.Before(m.RenewAt)
	m.RenewAt, m.ARIStart, m.ARIEnd = r.At, r.Window.Start, r.Window.End
	m.ARIPollAt = PollAt(now, after)
	if m.LadderStep == 0 && !asked { // else the ladder says when
		m.NextAttempt = m.RenewAt
	}
	return m
}

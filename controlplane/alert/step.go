// Package alert tells people what is wrong, once, and that it is over.
//
// What is so of each thing that a rule watches follows from the configuration and what was seen, in conditions.go; what
// becomes of an alert follows from that and its row alone, here. The rows of all rules are carried on by one replica at a
// time, in the transaction that claims the round.
package alert

import (
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

// minClear is how long what fired has to be over before that is told, at least: what comes and goes is one alert.
const minClear = 30 * time.Second

// Condition is whether what a rule watches is so of one thing.
type Condition struct {
	Object string // typed id
	Name   string
	Bad    bool
	Known  bool // or nothing can be said: the alert stays as it is
	Reason string
}

// Notice is what people are told.
type Notice string

// Notices. Silence is none.
const (
	Silence  Notice = ""
	Firing   Notice = "firing"
	Resolved Notice = "resolved"
)

// Step carries one alert on. was is nil if there is none; next is nil if there is none any more.
func Step(r *model.AlertRule, was *model.Alert, c Condition, now time.Time) (next *model.Alert, tell Notice) {
	switch {
	case was == nil && (!c.Known || !c.Bad):
		return nil, Silence
	case was == nil:
		next = &model.Alert{Rule: r.ID, Org: r.Org, Object: c.Object, Name: c.Name, Since: now, Reason: c.Reason}
	default:
		v := *was
		next = &v
	}
	switch {
	case !c.Known:
	case c.Bad:
		next.Clear, next.Name, next.Reason = time.Time{}, c.Name, c.Reason
		if next.Fired.IsZero() && now.Sub(next.Since) >= r.Hold {
			next.Fired = now
		}
	case next.Fired.IsZero():
		return nil, Silence // it was not so for long enough
	case next.Clear.IsZero():
		next.Clear = now
	case now.Sub(next.Clear) >= max(r.Hold, minClear):
		if next.Told {
			return nil, Resolved
		}
		return nil, Silence
	}
	if !next.Fired.IsZero() && next.Clear.IsZero() && !next.Told && !now.Before(r.Silenced) && next.Acked.IsZero() { // who knows need not be told
		next.Told = true
		return next, Firing
	}
	return next, Silence
}

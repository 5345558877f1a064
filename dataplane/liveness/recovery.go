package liveness

import (
	"time"

	"github.com/warrenedge/warren/shared/backoff"
)

// Step is something to do about a path that is down although its tunnel believes in it.
type Step int

// Steps, from what costs nothing to what costs most.
const (
	Handshake Step = iota // ask the peer for a new session; the old one stays in use
	Endpoint              // go back to the endpoint that was configured: the peer has not roamed, but is gone
	Rekey                 // forget the session, so that nothing keeps a handshake waiting
	Rebind                // leave the socket, and with it what middleboxes remember of it
)

func (s Step) String() string { return [...]string{"handshake", "endpoint", "rekey", "rebind"}[s] }

// Times of a Recovery.
const (
	roundLeast  = 250 * time.Millisecond // between rounds
	roundJitter = 2 * time.Second        // at most added to that
	rekeyAfter  = 3 * time.Second        // of being down: a session that both ends still hold revives at once until then
	rebindEvery = 15 * time.Second       // at most; the first comes in the second round
)

// A Recovery says what to do about one path, in rounds, until it is up: it never gives up. The zero value
// has nothing to do. Not safe for concurrent use.
type Recovery struct {
	down   bool
	shaken bool
	since  time.Time // down
	due    time.Time // of the next round
	round  int
	rebind time.Time // when to do that again
	wait   backoff.Backoff
}

// Observe tells the state of the path.
func (r *Recovery) Observe(s State, now time.Time) {
	switch {
	case s == Down && !r.down:
		*r = Recovery{down: true, since: now, due: now, rebind: now, wait: backoff.Backoff{Min: roundLeast, Max: roundJitter}}
	case s == Up:
		*r = Recovery{shaken: r.shaken, due: r.due}
	}
}

// Shake tells that the network or the clock has changed: what was tried before may work now, and a path
// that is still believed to be up may have ended.
func (r *Recovery) Shake(now time.Time) {
	r.shaken, r.due, r.round = true, now, 0
	r.wait.Reset()
}

// Down is since when the path has been down; false if it is not.
func (r *Recovery) Down() (since time.Time, down bool) { return r.since, r.down }

// Next is when the next round is due; false if none is.
func (r *Recovery) Next() (time.Time, bool) { return r.due, r.down || r.shaken }

// Round gives the steps that are due, in the order in which they should be done.
func (r *Recovery) Round(now time.Time) []Step {
	if !r.down && !r.shaken {
		return nil
	}
	if early := r.due.Sub(now); early > 0 && early <= roundLeast+roundJitter { // else the clock went back
		return nil
	}
	r.shaken = false
	r.due = now.Add(roundLeast + r.wait.Next())
	if rekey := r.since.Add(rekeyAfter); r.down && now.Before(rekey) && r.due.After(rekey) {
		r.due = rekey // the peer may have begun anew just after the first call
	}
	r.round++
	if !r.down || r.round == 1 {
		return []Step{Handshake}
	}
	var steps []Step
	if !now.Before(r.rebind) || r.rebind.Sub(now) > rebindEvery {
		r.rebind = now.Add(rebindEvery)
		steps = append(steps, Rebind)
	}
	if now.Sub(r.since) >= rekeyAfter || now.Before(r.since) {
		return append(steps, Endpoint, Rekey)
	}
	return append(steps, Handshake)
}

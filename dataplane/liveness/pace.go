package liveness

import (
	"cmp"
	"time"
)

// Times between heartbeats.
const (
	EveryInUse = 200 * time.Millisecond // while the path is used, and until an answer is had
	EveryIdle  = time.Second            // after idleAfter of health and no use
	EveryRest  = 5 * time.Second        // after restAfter: thousands of sites may be idle on one node
	EveryLean  = 10 * time.Minute       // instead of that, while another path to the same peer is watched
	everyDead  = 5 * time.Second        // by the end that follows, after deadAfter
	hurry      = 50 * time.Millisecond  // while it is in doubt: many questions tell loss from silence

	idleAfter = 10 * time.Second // of no use
	restAfter = time.Minute
	deadAfter = 10 * time.Second // a path that is down for longer is asked once per EveryIdle
	coldAfter = 2 * time.Minute  // of silence WireGuard's next packet waits for a handshake (RekeyAfterTime), which is no round trip
	outKept   = 8                // so many questions without an answer have room that is kept: thousands of paths are idle
)

// Next says when the next question should be sent; in the past: now.
func (j *Judge) Next(now time.Time) time.Time {
	j.tick(now)
	return now.Add(j.due() - j.at)
}

// due is Next in own time.
func (j *Judge) due() time.Duration {
	if !j.asked && !j.proven {
		return j.at
	}
	if j.doubted {
		return j.at
	}
	if j.gap > max(j.sent, j.proof) { // we were away: ask at once
		return j.gap
	}
	last := j.sent
	first, open := j.oldest()
	if j.proven && !open {
		last = max(last, j.proof-min(j.srtt, EveryInUse))
	}
	next := last + j.every()
	if j.Follows && j.state == Up && !open {
		next += j.every() / 2
	}
	if j.state != Down && open { // in doubt as soon as the oldest is late
		next = min(next, max(first+j.late(), j.sent+hurry))
	}
	return next
}

func (j *Judge) every() time.Duration {
	switch {
	case j.state == Down && j.rising > 0 && j.at-j.proof < EveryIdle:
		return hurry
	case j.state == Down && j.at-j.downSince > deadAfter:
		if j.Follows { // the other end asks as soon as it is back
			return everyDead
		}
		return EveryIdle
	case j.state == Up && j.at-max(j.used, j.rose) > restAfter:
		if j.Leans {
			return EveryLean
		}
		return cmp.Or(j.Rest, EveryRest)
	case j.state == Up && j.at-j.used > idleAfter:
		return cmp.Or(j.Idle, EveryIdle)
	}
	return EveryInUse
}

// Rests reports whether nothing is asked for long: the path is well and not used, and another one is watched.
func (j *Judge) Rests() bool { return j.every() == EveryLean }

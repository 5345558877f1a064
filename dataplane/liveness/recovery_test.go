package liveness

import (
	"slices"
	"testing"
	"time"
)

// rounds is what a Recovery does in a time, looked at each 10 ms.
type round struct {
	at    time.Duration
	steps []Step
}

func rounds(r *Recovery, start time.Time, from, to time.Duration) (out []round) {
	for at := from; at < to; at += 10 * ms {
		if due, ok := r.Next(); ok && !start.Add(at).Before(due) {
			if steps := r.Round(start.Add(at)); steps != nil {
				out = append(out, round{at, steps})
			}
		}
	}
	return out
}

func has(rs []round, s Step) (n int) {
	for _, r := range rs {
		if slices.Contains(r.steps, s) {
			n++
		}
	}
	return n
}

func TestRecovery(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var r Recovery
	if _, ok := r.Next(); ok || r.Round(start) != nil {
		t.Fatal("something to do before anything has happened")
	}
	r.Observe(Suspect, start)
	if _, ok := r.Next(); ok {
		t.Fatal("something to do about a late answer")
	}
	r.Observe(Down, start)
	rs := rounds(&r, start, 0, time.Hour)
	if rs[0].at != 0 || !slices.Equal(rs[0].steps, []Step{Handshake}) {
		t.Errorf("first %v, want a handshake at once", rs[0])
	}
	if !slices.Equal(rs[1].steps, []Step{Rebind, Handshake}) || rs[1].at > time.Second {
		t.Errorf("then %v, want a new socket within a second", rs[1])
	}
	for i, x := range rs[1:] {
		if gap := x.at - rs[i].at; x.at != rekeyAfter && (gap < roundLeast || gap > roundLeast+roundJitter+10*ms) {
			t.Fatalf("round %d comes %v after the one before", i+1, gap)
		}
		if rekey := slices.Contains(x.steps, Rekey); rekey != (x.at >= rekeyAfter) {
			t.Fatalf("%v after %v: sessions are forgotten from %v on", x.steps, x.at, rekeyAfter)
		}
	}
	if !slices.ContainsFunc(rs, func(x round) bool { return x.at == rekeyAfter }) {
		t.Errorf("no round after %v", rekeyAfter)
	}
	if n := has(rs, Rebind); n < 200 || n > 241 {
		t.Errorf("%d new sockets in an hour", n)
	}
	r.Observe(Down, start.Add(time.Hour)) // known
	if rs := rounds(&r, start, time.Hour, time.Hour+3*time.Second); has(rs, Rekey) == 0 {
		t.Error("it gave up, or began anew")
	}
	r.Observe(Up, start.Add(time.Hour))
	if rs := rounds(&r, start, 2*time.Hour, 3*time.Hour); rs != nil {
		t.Errorf("%v for a path that is up", rs)
	}
}

func TestRecoveryShaken(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var r Recovery
	r.Observe(Up, start)
	r.Shake(start)
	if rs := rounds(&r, start, 0, time.Minute); len(rs) != 1 || !slices.Equal(rs[0].steps, []Step{Handshake}) {
		t.Errorf("up and shaken: %v, want one handshake", rs)
	}
	r.Observe(Down, start)
	rounds(&r, start, 0, time.Minute)
	r.Shake(start.Add(time.Minute + ms))
	if rs := rounds(&r, start, time.Minute+ms, time.Minute+2*ms); len(rs) != 1 {
		t.Errorf("down and shaken: %v, want a round at once", rs)
	}
	if rs := rounds(&r, start, time.Minute, 2*time.Minute); has(rs, Rekey) < 20 {
		t.Errorf("down and shaken: %d sessions forgotten in a minute", has(rs, Rekey))
	}
}

// A clock that goes back does not stop it.
func TestRecoveryClockBack(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var r Recovery
	r.Observe(Down, start)
	rounds(&r, start, 0, time.Minute)
	start = start.Add(-time.Hour)
	n := 0
	for at := time.Duration(0); at < time.Minute; at += 100 * ms {
		if r.Round(start.Add(at)) != nil {
			n++
		}
	}
	if n < 20 {
		t.Errorf("%d rounds in a minute", n)
	}
}

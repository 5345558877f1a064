package gossip

import (
	"fmt"
	"testing"
	"time"
)

func TestCutOff(t *testing.T) {
	for _, tt := range []struct {
		known, lost int
		want        bool
	}{
		{0, 0, false}, {1, 1, false}, {2, 2, false}, // too few to tell
		{3, 1, false}, {3, 2, true}, {3, 3, true},
		{4, 2, false}, {4, 3, true}, // half is not more than half
		{19, 9, false}, {19, 10, true},
	} {
		if got := cutOff(tt.known, tt.lost); got != tt.want {
			t.Errorf("%d of %d lost: %v", tt.lost, tt.known, got)
		}
	}
}

// clock makes times of a story: seconds after its start.
func clock(seconds float64) time.Time {
	return time.Unix(1_800_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

// lives is a liveness with peers a, b, … that are all members.
func lives(n int) *liveness {
	l := newLiveness()
	var ids []string
	for i := range n {
		ids = append(ids, string(rune('a'+i)))
	}
	l.expect(ids)
	for _, id := range ids {
		l.isAlive(id, false)
	}
	l.hear(clock(0))
	return l
}

// says is the verdicts in order of peers: A alive, D draining, x dead, ? unknown, ! unreachable.
func says(l *liveness, seconds float64) (s string) {
	verdicts, _ := l.judge(clock(seconds))
	for i := range len(l.peers) {
		v := verdicts[string(rune('a'+i))]
		switch {
		case v.unreachable && v.state == Unknown:
			s += "!"
		case v.unreachable:
			s += "(" + v.state.String() + " but unreachable)"
		default:
			s += map[State]string{Alive: "A", Draining: "D", Dead: "x", Unknown: "?"}[v.state]
		}
	}
	return s
}

// die makes a peer dead at once.
func die(l *liveness, id string, seconds float64) {
	l.hear(clock(seconds))
	l.isRefusing(id, clock(seconds))
	l.isMissed(id, clock(seconds))
	l.judge(clock(seconds))
}

// vanish makes a peer dead of which nobody can tell why it does not answer.
func vanish(l *liveness, id string, seconds float64) {
	l.hear(clock(seconds))
	l.isMissed(id, clock(seconds).Add(-l.pace.connect))
	l.judge(clock(seconds))
}

func TestStates(t *testing.T) {
	l := newLiveness()
	l.expect([]string{"a", "b", "c"})
	if got := says(l, 0); got != "???" {
		t.Errorf("nobody was heard of: %s", got)
	}
	l.isAlive("a", false)
	l.isAlive("b", true)
	l.isAlive("stranger", false)
	if got := says(l, 0); got != "AD?" {
		t.Errorf("%s", got)
	}
	l.isAlive("a", true)
	l.isAlive("b", false)
	if got := says(l, 0); got != "DA?" {
		t.Errorf("draining comes and goes: %s", got)
	}
	l.wasMember("a") // it is one: others' word is older
	l.wasMember("c")
	if got := says(l, 0); got != "DAx" {
		t.Errorf("others say that c died: %s", got)
	}
	l.isAlive("c", false)
	l.expect([]string{"a", "c"})
	if v, _ := l.judge(clock(0)); len(v) != 2 || v["c"].state != Alive {
		t.Errorf("a peer that is none any more, or one that was forgotten: %v", v)
	}
}

func TestMissedPeer(t *testing.T) {
	for name, tt := range map[string]struct {
		happens func(l *liveness)
		want    map[float64]string // at seconds after it was missed
	}{
		"its host is gone":              {func(*liveness) {}, map[float64]string{0.18: "A", 0.2: "x"}},
		"its port refuses":              {func(l *liveness) { l.isRefusing("a", clock(10.05)) }, map[float64]string{0.06: "x"}},
		"its port refused before":       {func(l *liveness) { l.isRefusing("a", clock(9.8)) }, map[float64]string{0: "x"}},
		"it has said good-bye":          {func(l *liveness) { l.isLeaving("a", clock(9.9)) }, map[float64]string{0: "x"}},
		"its kernel answers, it hangs":  {func(l *liveness) { l.isReached("a", clock(10.05)) }, map[float64]string{0.5: "A", 0.7: "x"}},
		"its kernel answered before":    {func(l *liveness) { l.isReached("a", clock(9.8)) }, map[float64]string{0.5: "A", 0.7: "x"}},
		"its kernel answered long ago":  {func(l *liveness) { l.isReached("a", clock(5)) }, map[float64]string{0.18: "A", 0.2: "x"}},
		"it was only late":              {func(l *liveness) { l.isAlive("a", false) }, map[float64]string{0.1: "A", 1: "A"}},
		"it refused in an earlier life": {func(l *liveness) { l.isRefusing("a", clock(-5)) }, map[float64]string{0.1: "A", 0.2: "x"}},
	} {
		l := lives(1)
		l.isMissed("a", clock(10))
		l.isMissed("a", clock(10.1)) // said again, it is not later
		tt.happens(l)
		for _, at := range []float64{0, 0.06, 0.1, 0.18, 0.2, 0.5, 0.7, 1} {
			if want, ok := tt.want[at]; ok {
				if got := says(l, 10+at); got != want {
					t.Errorf("%s: after %v s %s, want %s", name, at, got, want)
				}
			}
		}
	}
}

// judge says when it will say something else, so that somebody who waits for that misses nothing.
func TestJudgeSaysWhenToLookAgain(t *testing.T) {
	l := lives(4)
	l.isMissed("a", clock(1))
	die(l, "b", 1)
	l.isAlive("b", false)
	die(l, "b", 1.1)
	l.isAlive("b", false)
	at, was := clock(1.1), ""
	var changes []string
	for range 100 {
		v, next := l.judge(at)
		now := fmt.Sprint(v)
		if now != was {
			changes, was = append(changes, now), now
		}
		if next.IsZero() {
			break
		}
		if !next.After(at) {
			t.Fatalf("at %v look again at %v", at, next)
		}
		// Until then nothing changes.
		before, _ := l.judge(next.Add(-time.Nanosecond))
		if got := fmt.Sprint(before); got != now {
			t.Fatalf("between %v and %v: %s, then %s", at, next, now, got)
		}
		at = next
	}
	// b suppressed; a dead; silence makes all of them unknown; the hold ends.
	if len(changes) != 4 {
		t.Errorf("%d changes: %v", len(changes), changes)
	}
}

func TestFlapDamping(t *testing.T) {
	l := lives(1)
	die(l, "a", 10)
	l.isAlive("a", false)
	if got := says(l, 10.1); got != "A" {
		t.Errorf("first recovery: %s", got)
	}
	die(l, "a", 12)
	l.isAlive("a", false)
	if got := says(l, 12.1); got != "x" {
		t.Errorf("second within seconds: %s", got)
	}
	_, next := l.judge(clock(12.1))
	if wait := next.Sub(clock(12.1)); wait < 15*time.Second || wait > 25*time.Second {
		t.Errorf("used again after %s", wait)
	}
	if got := says(l, next.Sub(clock(0)).Seconds()); got != "A" {
		t.Errorf("when the penalty has decayed: %s", got)
	}
	for i := range 50 { // however often, it is not suppressed for longer than this
		die(l, "a", 100+float64(i)/10)
		l.isAlive("a", false)
	}
	_, next = l.judge(clock(105))
	if wait := next.Sub(clock(104.9)); wait < 30*time.Second || wait > maxSuppress {
		t.Errorf("after 50 deaths used again after %s", wait)
	}
	if got := says(l, 200); got != "A" {
		t.Errorf("long after: %s", got)
	}
	die(l, "a", 300)
	l.isAlive("a", false)
	if got := says(l, 300.1); got != "A" {
		t.Errorf("a first death after a long good life: %s", got)
	}
}

func TestPlannedRestartsAreNoFlaps(t *testing.T) {
	l := lives(1)
	for i := range 3 {
		at := 10 + 3*float64(i)
		l.isLeaving("a", clock(at))
		l.isMissed("a", clock(at))
		if got := says(l, at); got != "x" {
			t.Errorf("restart %d: %s while away", i, got)
		}
		l.isAlive("a", false)
		if got := says(l, at+1); got != "A" {
			t.Errorf("restart %d: %s", i, got)
		}
	}
}

func TestIsolation(t *testing.T) {
	for _, tt := range []struct {
		name  string
		peers int
		play  func(l *liveness)
		at    float64
		want  string
	}{
		{"one of five dies", 5, func(l *liveness) { vanish(l, "a", 10) }, 10, "xAAAA"},
		{"half of four: they died", 4, func(l *liveness) { vanish(l, "a", 10); vanish(l, "b", 10.1) }, 10.2, "xxAA"},
		{"most of five at once: it is this node", 5, func(l *liveness) {
			vanish(l, "a", 10)
			vanish(l, "b", 10.1)
			vanish(l, "c", 10.2)
		}, 10.3, "!!!AA"},
		{"both of two: too few to tell", 2, func(l *liveness) { vanish(l, "a", 10); vanish(l, "b", 10) }, 10.1, "xx"},
		{"most of five, one after the other", 5, func(l *liveness) {
			vanish(l, "a", 10)
			vanish(l, "b", 20)
			vanish(l, "c", 30)
		}, 30, "xxxAA"},
		{"whose ports refuse are dead", 5, func(l *liveness) {
			die(l, "a", 10)
			die(l, "b", 10)
			die(l, "c", 10)
		}, 10, "xxxAA"},
		{"who was dead before stays dead", 5, func(l *liveness) {
			vanish(l, "a", 1)
			for _, id := range []string{"b", "c", "d"} {
				vanish(l, id, 10)
			}
		}, 10, "x!!!A"},
		{"not for ever", 3, func(l *liveness) {
			for _, id := range []string{"a", "b", "c"} {
				vanish(l, id, 10)
				l.judge(clock(10.1))
			}
		}, 71, "xxx"},
		{"until then", 3, func(l *liveness) {
			for _, id := range []string{"a", "b", "c"} {
				vanish(l, id, 10)
				l.judge(clock(10.1))
			}
		}, 69, "!!!"},
		{"it is over when they are back", 5, func(l *liveness) {
			for _, id := range []string{"a", "b", "c"} {
				vanish(l, id, 10)
			}
			l.judge(clock(10.1))
			l.isAlive("b", false)
			l.isAlive("c", false)
		}, 12, "xAAAA"},
	} {
		l := lives(tt.peers)
		tt.play(l)
		l.hear(clock(tt.at))
		if got := says(l, tt.at); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestSilence(t *testing.T) {
	l := lives(4)
	l.isAlive("d", true)
	if got := says(l, 0.9); got != "AAAD" {
		t.Errorf("%s", got)
	}
	if got := says(l, 1.1); got != "!!!!" {
		t.Errorf("nobody said anything: %s", got)
	}
	l.isRefusing("b", clock(1.2))
	if got := says(l, 1.3); got != "!x!!" {
		t.Errorf("a host that refuses is reached: %s", got)
	}
	l.hear(clock(2))
	if got := says(l, 2); got != "AAAD" {
		t.Errorf("somebody spoke: %s", got)
	}
	if got := says(l, 64); got != "!!!!" {
		t.Errorf("%s", got)
	}
	if got := says(l, 125); got != "xxxx" {
		t.Errorf("silent for longer than the hold: %s", got)
	}
	if got := says(lives(2), 5); got != "AA" {
		t.Errorf("of two peers the failure detector alone decides: %s", got)
	}
}

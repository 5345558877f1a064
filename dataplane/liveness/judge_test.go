package liveness

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

// network answers a question that is sent at a time: after how long, or never.
type network func(at time.Duration, r *rand.Rand) (rtt time.Duration, ok bool)

func steady(rtt time.Duration) network {
	return func(time.Duration, *rand.Rand) (time.Duration, bool) { return rtt, true }
}

func jitter(least, most time.Duration) network {
	return func(_ time.Duration, r *rand.Rand) (time.Duration, bool) {
		return least + time.Duration(r.Int64N(int64(most-least))), true
	}
}

func lossy(share float64, p network) network {
	return func(at time.Duration, r *rand.Rand) (time.Duration, bool) {
		rtt, ok := p(at, r)
		return rtt, ok && r.Float64() >= share
	}
}

// cut has no answers to what is on its way from one time to another.
func cut(from, to time.Duration, p network) network {
	return func(at time.Duration, r *rand.Rand) (time.Duration, bool) {
		rtt, ok := p(at, r)
		return rtt, ok && (at+rtt/2 < from || at+rtt/2 >= to)
	}
}

// change is a state from some time on.
type change struct {
	at    time.Duration
	state State
}

// drive is the user of a Judge on a path: what is believed, looked at whenever something happens. clock turns the time
// that passes into what the user's clock shows; asleep says when the user does not run.
type drive struct {
	path   network
	until  time.Duration
	used   func(at time.Duration) bool
	clock  func(at time.Duration) time.Duration
	asleep func(at time.Duration) bool
	acked  func(at time.Duration) (ago time.Duration) // that the peer's machine has acknowledged what was asked; nil: nobody tells

	judge Judge
	sent  []time.Duration
}

func (d *drive) run(t *testing.T) []change {
	t.Helper()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := rand.New(rand.NewPCG(1, 2))
	type answer struct {
		at  time.Duration
		seq uint64
	}
	var answers []answer
	var changes []change
	var seq uint64
	next := time.Duration(0)
	for at := next; at < d.until; at = next {
		next = at + 100*ms // or earlier, when something happens
		if d.asleep != nil && d.asleep(at) {
			continue
		}
		now := start.Add(at)
		if d.clock != nil {
			now = start.Add(d.clock(at))
		}
		if d.used != nil && d.used(at) {
			d.judge.Use(now)
		}
		if !d.judge.Next(now).After(now) {
			seq++
			d.judge.Sent(seq, now)
			d.sent = append(d.sent, at)
			if rtt, ok := d.path(at, r); ok {
				answers = append(answers, answer{at + rtt, seq})
			}
		}
		answers = slices.DeleteFunc(answers, func(a answer) bool {
			if a.at > at {
				return false
			}
			d.judge.Received(a.seq, now)
			return true
		})
		if s := d.judge.State(now); len(changes) == 0 || changes[len(changes)-1].state != s {
			changes = append(changes, change{at, s})
		} else if s == Suspect && d.acked != nil {
			d.judge.Acknowledged(d.acked(at), now)
		}
		next = min(next, max(at+d.judge.Next(now).Sub(now), at+ms))
		for _, a := range answers {
			next = min(next, a.at)
		}
	}
	return changes
}

// downs lists when the path was held to be down.
func downs(cs []change) []time.Duration {
	var out []time.Duration
	for _, c := range cs {
		if c.state == Down {
			out = append(out, c.at)
		}
	}
	return out
}

func always(time.Duration) bool { return true }

func TestNoFalseAlarm(t *testing.T) {
	for _, tt := range []struct {
		name string
		d    drive
	}{
		{"good", drive{path: steady(20 * ms), until: time.Hour}},
		{"good, in use", drive{path: steady(20 * ms), until: time.Hour, used: always}},
		{"the other side of the earth", drive{path: steady(350 * ms), until: time.Hour, used: always}},
		{"a satellite", drive{path: jitter(600*ms, 900*ms), until: time.Hour, used: always}},
		{"jitter of 100 ms", drive{path: jitter(20*ms, 120*ms), until: time.Hour, used: always}},
		{"5 % loss", drive{path: lossy(.05, steady(20*ms)), until: time.Hour, used: always}},
		{"30 % loss", drive{path: lossy(.3, steady(20*ms)), until: time.Hour, used: always}},
		{"30 % loss, idle", drive{path: lossy(.3, steady(20*ms)), until: time.Hour}},
		{"30 % loss in each direction", drive{path: lossy(.51, steady(40*ms)), until: time.Hour, used: always}},
		{"30 % loss with jitter", drive{path: lossy(.3, jitter(20*ms, 120*ms)), until: time.Hour, used: always}},
		{"loss that begins", drive{path: func(at time.Duration, r *rand.Rand) (time.Duration, bool) {
			if at%(10*time.Minute) < 5*time.Minute {
				return 20 * ms, true
			}
			return 20 * ms, r.Float64() >= .2
		}, until: time.Hour, used: always}},
		{"holes of 300 ms", drive{path: func(at time.Duration, _ *rand.Rand) (time.Duration, bool) {
			return 20 * ms, at%(7*time.Second) > 300*ms
		}, until: time.Hour, used: always}},
		{"answers out of order", drive{path: func(at time.Duration, _ *rand.Rand) (time.Duration, bool) {
			if at/(100*ms)%2 == 0 {
				return 390 * ms, true
			}
			return 30 * ms, true
		}, until: 10 * time.Minute, used: always}},
		{"clock forward by an hour", drive{path: steady(20 * ms), until: time.Minute, clock: func(at time.Duration) time.Duration {
			if at > 30*time.Second {
				at += time.Hour
			}
			return at
		}}},
		{"clock back by an hour", drive{path: steady(20 * ms), until: time.Minute, clock: func(at time.Duration) time.Duration {
			if at > 30*time.Second {
				at -= time.Hour
			}
			return at
		}}},
		{"clock that is pulled about", drive{path: steady(20 * ms), until: time.Minute, used: always, clock: func(at time.Duration) time.Duration {
			return at + at/(3*time.Second)%5*7*time.Second
		}}},
		// What came meanwhile is read after the question whether the path is down.
		{"suspended for 8 hours", drive{path: steady(20 * ms), until: 8*time.Hour + time.Minute, asleep: func(at time.Duration) bool {
			return at > 10*time.Second && at < 10*time.Second+8*time.Hour
		}}},
		{"stopped for 2 s each 10 s", drive{path: steady(40 * ms), until: 10 * time.Minute, used: always, asleep: func(at time.Duration) bool {
			return at%(10*time.Second) > 8*time.Second
		}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cs := tt.d.run(t)
			if d := downs(cs); d != nil {
				t.Errorf("down %d times, first at %v", len(d), d[0])
			}
			if s := cs[len(cs)-1].state; !s.Usable() {
				t.Errorf("%s at the end", s)
			}
		})
	}
}

func TestSilenceIsFoundAndTheEndOfIt(t *testing.T) {
	const from, to = time.Minute, 2 * time.Minute
	for _, tt := range []struct {
		name         string
		path         network
		used         func(time.Duration) bool
		found, risen time.Duration // at most, after from and to
	}{
		{"good, in use", steady(20 * ms), always, 600 * ms, 1300 * ms},
		{"same machine, in use", steady(0), always, 600 * ms, 1300 * ms},
		{"good, idle", steady(20 * ms), nil, 1400 * ms, 1300 * ms},
		{"350 ms", steady(350 * ms), always, 1400 * ms, 2500 * ms},
		{"jitter of 100 ms", jitter(20*ms, 120*ms), always, 900 * ms, 1500 * ms},
		{"30 % loss", lossy(.3, steady(20*ms)), always, 1200 * ms, 4 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := drive{path: cut(from, to, tt.path), until: 3 * time.Minute, used: tt.used}
			cs := d.run(t)
			if ds := downs(cs); len(ds) != 1 || ds[0] < from || ds[0] > from+tt.found {
				t.Fatalf("down at %v, want once within %v of %v", ds, tt.found, from)
			}
			i := slices.IndexFunc(cs, func(c change) bool { return c.state == Down })
			if i+1 == len(cs) || cs[i+1].state != Up || cs[i+1].at < to || cs[i+1].at > to+tt.risen {
				t.Errorf("after that %v, want up within %v of %v", cs[i+1:], tt.risen, to)
			}
		})
	}
}

// A path that lets one packet in twenty through is not up each time that one comes.
func TestFewAnswersDoNotRaise(t *testing.T) {
	good := steady(20 * ms)
	d := drive{until: 10 * time.Minute, used: always, path: func(at time.Duration, r *rand.Rand) (time.Duration, bool) {
		if at > time.Minute && r.Float64() < .95 {
			return 0, false
		}
		return good(at, r)
	}}
	if n := len(downs(d.run(t))); n == 0 || n > 3 {
		t.Errorf("down %d times, want once or little more", n)
	}
}

func TestSilenceAfterOwnAbsence(t *testing.T) {
	const sleep, wake = 10 * time.Second, time.Hour
	d := drive{path: cut(30*time.Minute, 2*time.Hour, steady(20*ms)), until: wake + 10*time.Second,
		asleep: func(at time.Duration) bool { return at > sleep && at < wake }}
	ds := downs(d.run(t))
	if len(ds) != 1 || ds[0] < wake+300*ms || ds[0] > wake+1500*ms {
		t.Errorf("down at %v, want once, soon after %v but not at once", ds, wake)
	}
	if i := slices.IndexFunc(d.sent, func(at time.Duration) bool { return at >= wake }); d.sent[i] > wake+100*ms {
		t.Errorf("asked at %v, want at once when awake at %v", d.sent[i], wake)
	}
}

// A peer whose machine acknowledges is late, not dead, for twice as long; one whose machine acknowledges nothing is
// found as soon as when nobody tells of that.
func TestAcknowledgedIsLate(t *testing.T) {
	const since = 40 * time.Second
	machine := func(at time.Duration) time.Duration { return at % (60 * ms) }
	cable := func(at time.Duration) time.Duration { return max(0, at-since) + at%(60*ms) }
	for _, tt := range []struct {
		name        string
		path        network
		acked       func(at time.Duration) time.Duration
		least, most time.Duration // after which it is down; 0: never
	}{
		{"a process that is late", held(since, since+900*ms, steady(5*ms)), machine, 0, 0},
		{"nobody tells", held(since, since+900*ms, steady(5*ms)), nil, silenceLeast - EveryInUse, silenceLeast + EveryInUse},
		{"a process that hangs", cut(since, time.Hour, steady(5*ms)), machine, 2*silenceLeast - EveryInUse, 2*silenceLeast + EveryInUse},
		{"a cable that is cut", cut(since, time.Hour, steady(5*ms)), cable, silenceLeast - EveryInUse, silenceLeast + EveryInUse},
		{"a machine that dies while it is late", held(since, time.Hour, steady(5*ms)), func(at time.Duration) time.Duration {
			return max(0, at-since-300*ms) + at%(60*ms)
		}, silenceLeast - EveryInUse, silenceLeast + EveryInUse},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := drive{path: tt.path, until: since + 10*time.Second, used: always, acked: tt.acked}
			ds := downs(d.run(t))
			if tt.most == 0 && len(ds) == 0 {
				return
			}
			if len(ds) != 1 || ds[0] < since+tt.least || ds[0] > since+tt.most {
				t.Errorf("down at %v, want once, %v to %v after %v", ds, tt.least, tt.most, since)
			}
		})
	}
}

func TestNeverHeardIsUnknownForNoLongerThanSilence(t *testing.T) {
	d := drive{path: cut(0, time.Hour, steady(ms)), until: time.Minute}
	cs := d.run(t)
	if len(cs) != 2 || cs[0].state != Unknown || cs[1].state != Down {
		t.Errorf("%v, want unknown, then down", cs)
	}
}

// One answer is enough for a path that nobody has relied on yet.
func TestFirstAnswerRaises(t *testing.T) {
	d := drive{path: cut(0, time.Minute, steady(ms)), until: 2 * time.Minute}
	cs := d.run(t)
	if len(cs) != 3 || cs[2].state != Up || cs[2].at > time.Minute+EveryIdle+10*ms {
		t.Errorf("%v, want up with the first answer", cs)
	}
}

func TestPace(t *testing.T) {
	count := func(sent []time.Duration, from, to time.Duration) (n int) {
		for _, at := range sent {
			if at >= from && at < to {
				n++
			}
		}
		return n
	}
	d := drive{path: cut(250*time.Second, 11*time.Minute, steady(20*ms)), until: 11 * time.Minute,
		used: func(at time.Duration) bool { return at > time.Minute && at < 2*time.Minute }}
	d.run(t)
	for _, tt := range []struct {
		name        string
		from, to    time.Duration
		least, most int
	}{
		{"at first", 0, 10 * time.Second, 45, 55},
		{"idle", 20 * time.Second, time.Minute, 38, 42},
		{"in use", 70 * time.Second, 2 * time.Minute, 240, 260},
		{"at rest", 190 * time.Second, 250 * time.Second, 11, 13},
		{"in doubt", 250 * time.Second, 257 * time.Second, 8, 45},
		{"down", 5 * time.Minute, 11 * time.Minute, 355, 365},
	} {
		if n := count(d.sent, tt.from, tt.to); n < tt.least || n > tt.most {
			t.Errorf("%s: %d questions, want %d to %d", tt.name, n, tt.least, tt.most)
		}
	}
}

// A path that leans on another is asked seldom once it is at rest, and not before; with a doubt it is asked at once, and
// its end is noticed as soon as that of any.
// A question after long silence waits for WireGuard's handshake: its answer is one, and measures nothing.
func TestColdAnswersMeasureNothing(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	j := Judge{Leans: true}
	ask := func(seq uint64, rtt time.Duration) {
		t.Helper()
		j.Sent(seq, now)
		now = now.Add(rtt)
		if !j.Received(seq, now) || j.State(now) != Up {
			t.Fatalf("question %d: %v", seq, j.State(now))
		}
	}
	seq := uint64(1)
	for ; !j.Rests(); seq++ {
		now = j.Next(now)
		ask(seq, 20*ms)
	}
	want := j.Quality().RTT
	now = j.Next(now)
	ask(seq, 40*ms)
	if got := j.Quality().RTT; got != want {
		t.Errorf("measured %v, was %v", got, want)
	}
	j.Use(now)
	now = j.Next(now)
	ask(seq+1, 40*ms)
	if got := j.Quality().RTT; got <= want {
		t.Errorf("the next one measured %v, was %v", got, want)
	}
	if len(j.out) > 0 || cap(j.out) > outKept {
		t.Errorf("room for %d questions is kept", cap(j.out))
	}
}

func TestLeaning(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now, seq := start, uint64(0)
	j := Judge{Leans: true}
	ask := func() {
		seq++
		j.Sent(seq, now)
		now = now.Add(20 * ms)
		j.Received(seq, now)
	}
	for start.Add(restAfter - time.Second).After(now) {
		ask()
		if wait := j.Next(now).Sub(now); wait > EveryIdle {
			t.Fatalf("after %v, %v until the next question", now.Sub(start), wait)
		}
		now = j.Next(now)
	}
	ask()
	now = j.Next(now)
	for range 3 {
		ask()
		if wait := j.Next(now).Sub(now); wait < EveryLean-100*ms || wait > EveryLean {
			t.Fatalf("at rest, %v until the next question, want %v", wait, EveryLean)
		}
		now = now.Add(EveryLean / 2)
		j.Doubt(now)
		if next := j.Next(now); next.After(now) {
			t.Fatalf("in doubt, %v until the next question", next.Sub(now))
		}
	}
	doubted := now
	for j.State(now) != Down { // nothing is answered
		if now = j.Next(now); now.Sub(doubted) > silenceMost {
			t.Fatal("not down")
		}
		seq++
		j.Sent(seq, now)
	}
	if took := now.Sub(doubted); took > silenceLeast+EveryInUse {
		t.Errorf("down %v after a doubt", took)
	}
	j.Doubt(now)
	if next := j.Next(now); !next.After(now) {
		t.Error("a doubt about a path that is down makes haste")
	}
}

// The end that is asked learns from acknowledged answers, and asks nothing as long as they come.
func TestProvedByTheOther(t *testing.T) {
	j := Judge{Follows: true}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	end := now.Add(time.Minute)
	for ; now.Before(end); now = now.Add(EveryInUse) {
		j.Proved(30*ms, now)
		if next := j.Next(now); !next.After(now.Add(EveryInUse)) {
			t.Fatalf("asks itself %v after a proof", next.Sub(now))
		}
		if s := j.State(now); s != Up {
			t.Fatalf("%s", s)
		}
	}
	if q := j.Quality(); q.RTT != 30*ms || q.Loss != 0 {
		t.Errorf("%+v", q)
	}
}

func TestQuality(t *testing.T) {
	d := drive{path: lossy(.3, jitter(80*ms, 120*ms)), until: 10 * time.Minute, used: always}
	d.run(t)
	if q := d.judge.Quality(); q.RTT < 85*ms || q.RTT > 115*ms || q.Variance < 2*ms || q.Variance > 30*ms || q.Loss < .1 || q.Loss > .5 {
		t.Errorf("%+v, want about 100 ms and 30 %%", q)
	}
	d = drive{path: cut(time.Minute, time.Hour, steady(20*ms)), until: 5 * time.Minute, used: always}
	d.run(t)
	if q := d.judge.Quality(); q.Loss < .45 {
		t.Errorf("loss %v of a path that is silent", q.Loss)
	}
	d = drive{path: steady(20 * ms), until: 5 * time.Minute, asleep: func(at time.Duration) bool { return at%(20*time.Second) > 10*time.Second }}
	d.run(t)
	if q := d.judge.Quality(); q.RTT > 25*ms {
		t.Errorf("RTT %v: our own absence was measured", q.RTT)
	}
}

// What was asked in vain during an outage, or before the other end was there at all, is not loss of the path that there is
// afterwards; what was lost before it is still known.
func TestOutageIsNoLoss(t *testing.T) {
	for name, c := range map[string]struct {
		path network
		most float64
	}{
		"before the other end was there": {cut(0, time.Minute, steady(20*ms)), 0},
		"shortly before":                 {cut(0, 2*time.Second, steady(20*ms)), 0},
		"a minute":                       {cut(10*time.Second, 70*time.Second, steady(20*ms)), 0},
		"two, on a path that loses": {func(at time.Duration, r *rand.Rand) (time.Duration, bool) {
			return 20 * ms, at > time.Minute && r.Float64() >= .2
		}, .5},
	} {
		for _, in := range []struct {
			use  string
			used func(time.Duration) bool
		}{{"used", always}, {"idle", nil}} {
			d := drive{path: c.path, until: 71 * time.Second, used: in.used}
			if changes := d.run(t); changes[len(changes)-1].state.Usable() == false {
				t.Fatalf("%s, %s: it does not come back: %v", name, in.use, changes)
			}
			if q := d.judge.Quality(); q.Loss > c.most {
				t.Errorf("%s, %s: loss %.2f, want %.2f at most", name, in.use, q.Loss, c.most)
			}
		}
	}
}

func TestUnknownNumbersAreNoAnswers(t *testing.T) {
	var j Judge
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	j.Sent(7, now)
	for _, seq := range []uint64{0, 6, 8} {
		if j.Received(seq, now) {
			t.Errorf("%d taken for an answer", seq)
		}
	}
	if !j.Received(7, now.Add(ms)) || j.Received(7, now.Add(ms)) {
		t.Error("7 is an answer once")
	}
}

// held gives what was asked between two times its answers at the second: it waited for a session, or in a connection
// that sends again.
func held(from, to time.Duration, p network) network {
	return func(at time.Duration, r *rand.Rand) (time.Duration, bool) {
		rtt, ok := p(at, r)
		if at >= from && at < to {
			rtt += to - at
		}
		return rtt, ok
	}
}

// Answers that waited for the end of an outage say nothing about the path: the next outage is found as soon as the
// first one was.
func TestOutageDoesNotMakePatient(t *testing.T) {
	for _, rtt := range []time.Duration{5 * ms, 80 * ms} {
		path := cut(85*time.Second, 3*time.Minute, held(20*time.Second, 80*time.Second, steady(rtt)))
		d := &drive{path: path, until: 4 * time.Minute}
		got := downs(d.run(t))
		if len(got) != 2 {
			t.Fatalf("round trip %v: down at %v, want two outages", rtt, got)
		}
		if late := got[1] - 85*time.Second; late > silenceMost+EveryIdle {
			t.Errorf("round trip %v: the second outage was found after %v", rtt, late)
		}
		if q := d.judge.Quality(); q.RTT > 2*rtt {
			t.Errorf("round trip %v: measured %v", rtt, q.RTT)
		}
	}
}

// A path that was as slow and as bad as any, and falls silent, is down soon: the questions that have to go without an
// answer are not forgotten before there are enough of them.
func TestSilenceOfTheWorstPathIsAVerdict(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var j Judge
	now, seq := start, uint64(0)
	ask := func() { seq++; j.Sent(seq, now) }
	ask()
	for range 11 { // in WireGuard's queue until there was a session
		now = now.Add(100 * ms)
		j.State(now)
	}
	j.Received(seq, now)
	for range lossWindow {
		j.count(true)
	}
	cut := now
	for j.State(now) != Down {
		if now = j.Next(now); now.After(cut.Add(time.Minute)) {
			break
		}
		ask()
	}
	if took := now.Sub(cut); j.State(now) != Down || took > 7*time.Second {
		t.Errorf("%v after %v of silence, with %d questions open", j.State(now), took, len(j.out))
	}
}

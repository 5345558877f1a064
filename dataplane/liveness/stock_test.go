package liveness

import (
	"testing"
	"time"
)

// stockPeer is a stock peer over time, and the way to it. All times are since the beginning.
type stockPeer struct {
	handshakes []time.Duration                   // when WireGuard has shaken hands
	answers    func(at time.Duration) bool       // whether an echo that is sent then is answered
	keeps      func(at time.Duration) bool       // whether a keepalive that is due then arrives
	clock      func(time.Duration) time.Duration // what a clock shows; nil: the time
}

const stockRTT = 20 * ms

// run drives a judge as its user does, and gives what is believed from when on.
func (p stockPeer) run(t *testing.T, until time.Duration) (changes []change, echoes int) {
	t.Helper()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var j StockJudge
	type answer struct {
		at  time.Duration
		seq uint64
	}
	var answers []answer
	var seq, received uint64
	var handshake time.Time
	state := Unknown
	for at := time.Duration(0); at < until; at += 10 * ms {
		now := start.Add(at)
		if p.clock != nil {
			now = start.Add(p.clock(at))
		}
		for _, h := range p.handshakes {
			if h == at {
				handshake, received = now, received+148
			}
		}
		if !handshake.IsZero() && at%(15*time.Second) == 0 && p.keeps(at) {
			received += 32
		}
		if at%time.Second == 0 {
			j.Counted(handshake, received, now)
		}
		for len(answers) > 0 && answers[0].at <= at {
			j.Received(answers[0].seq, now)
			answers = answers[1:]
			received += 96
		}
		if !j.Next(now).After(now) {
			seq++
			echoes++
			j.Sent(seq, now)
			if p.answers(at) {
				answers = append(answers, answer{at + stockRTT, seq})
			}
		}
		if s := j.State(now); s != state && !(s.Usable() && state.Usable()) {
			changes = append(changes, change{at, s})
			state = s
		}
	}
	return changes, echoes
}

func allTime(time.Duration) bool { return true }
func noTime(time.Duration) bool  { return false }

func before(end time.Duration) func(time.Duration) bool {
	return func(at time.Duration) bool { return at < end }
}

// rekeys are handshakes every two minutes, as an initiator with keepalives makes them.
func rekeys(from, to time.Duration) (out []time.Duration) {
	for at := from; at < to; at += 120 * time.Second {
		out = append(out, at)
	}
	return out
}

func TestStockJudge(t *testing.T) {
	const s, min = time.Second, time.Minute
	for name, c := range map[string]struct {
		peer  stockPeer
		until time.Duration
		want  []struct {
			state         State
			after, before time.Duration
		}
	}{
		"nobody has ever called": {stockPeer{nil, noTime, noTime, nil}, 10 * min, nil},
		"one that answers echoes dies": {
			stockPeer{rekeys(5*s, 60*s), before(60 * s), before(60 * s), nil}, 10 * min,
			[]struct {
				state         State
				after, before time.Duration
			}{{Up, 5 * s, 6 * s}, {Down, 60 * s, 63 * s}},
		},
		"one that answers no echo dies": {
			stockPeer{rekeys(5*s, 60*s), noTime, before(60 * s), nil}, 10 * min,
			[]struct {
				state         State
				after, before time.Duration
			}{{Up, 5 * s, 6 * s}, {Down, 75 * s, 85 * s}},
		},
		"it hears nothing, but is heard: half open": {
			stockPeer{rekeys(5*s, 60*s), before(60 * s), allTime, nil}, 170 * s,
			[]struct {
				state         State
				after, before time.Duration
			}{{Up, 5 * s, 6 * s}, {Down, 60 * s, 63 * s}},
		},
		"the same, and it answers no echo: the session ends": {
			stockPeer{rekeys(5*s, 60*s), noTime, allTime, nil}, 10 * min,
			[]struct {
				state         State
				after, before time.Duration
			}{{Up, 5 * s, 6 * s}, {Down, 185 * s, 187 * s}},
		},
		"a firewall that answers no echo is put before it": {
			stockPeer{append(rekeys(0, 60*s), rekeys(66*s, 10*min)...), before(60 * s), allTime, nil}, 10 * min,
			[]struct {
				state         State
				after, before time.Duration
			}{{Up, 0, 1 * s}, {Down, 60 * s, 63 * s}, {Up, 66 * s, 67 * s}},
		},
		"it comes back": {
			stockPeer{[]time.Duration{0, 90 * s}, func(at time.Duration) bool { return at < 30*s || at >= 90*s },
				func(at time.Duration) bool { return at < 30*s || at >= 90*s }, nil}, 150 * s,
			[]struct {
				state         State
				after, before time.Duration
			}{{Up, 0, 1 * s}, {Down, 30 * s, 33 * s}, {Up, 90 * s, 92 * s}},
		},
		"it lives, and the clock is set back an hour": {
			stockPeer{rekeys(0, 10*min), allTime, allTime, func(at time.Duration) time.Duration {
				if at > 30*s {
					return at - time.Hour
				}
				return at
			}}, 10 * min,
			[]struct {
				state         State
				after, before time.Duration
			}{{Up, 0, 1 * s}},
		},
	} {
		got, _ := c.peer.run(t, c.until)
		ok := len(got) == len(c.want)
		for i := 0; ok && i < len(got); i++ {
			ok = got[i].state == c.want[i].state && got[i].at >= c.want[i].after && got[i].at <= c.want[i].before
		}
		if !ok {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// What is not answered is not asked often, and where there is no session nothing is.
func TestStockJudgeSpares(t *testing.T) {
	if _, n := (stockPeer{nil, noTime, noTime, nil}).run(t, 10*time.Minute); n != 0 {
		t.Errorf("%d echoes to nobody", n)
	}
	_, n := stockPeer{rekeys(0, 10*time.Minute), noTime, allTime, nil}.run(t, 10*time.Minute)
	if n > 150 {
		t.Errorf("%d echoes in ten minutes to one that answers none", n)
	}
	_, n = stockPeer{rekeys(0, 10*time.Minute), allTime, allTime, nil}.run(t, 10*time.Minute)
	if n < 150 || n > 270 { // one a second for a minute, then one every five
		t.Errorf("%d echoes in ten minutes to one that answers and is not in use", n)
	}
}

package liveness

import (
	"container/heap"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// answersMost is how many questions of one peer are answered per second: many times what its Judge asks.
const answersMost = 100

// heldMost is for how long the clocks of two machines run alike enough for a round trip to be told from what each has
// counted.
const heldMost = 2 * time.Minute

// path is one peer of a Monitor. Guarded by the Monitor's mutex.
type path struct {
	peer  Peer
	judge Judge
	state State // as told to others
	heard bool  // a heartbeat of it has come
	due   time.Time
	index int // in the queue

	seq     uint32 // of the last message to it
	traffic uint64 // when it was last looked at
	limit   *rate.Limiter

	prober prober
	mtu    int // as told to others

	lastAnswer struct { // of ours, until it is acknowledged
		seq uint32
		at  time.Time
	}
	lastHeard struct { // its last answer
		epoch, seq uint32
		at         time.Time
	}
}

func newPath(p Peer) *path {
	return &path{peer: p, judge: Judge{Follows: p.Follow}, limit: rate.NewLimiter(answersMost, answersMost)}
}

// next is when to send something. Who follows doesn't ask a peer that has never been there.
func (p *path) next(now time.Time) time.Time {
	if p.peer.Follow && !p.heard {
		return now.Add(time.Hour)
	}
	next := p.judge.Next(now)
	if at, ok := p.prober.at(p.judge.late()); ok && p.state == Up && (p.prober.active || !p.judge.Rests()) {
		if probe := now.Add(at - p.judge.at); probe.Before(next) {
			next = probe
		}
	}
	return next
}

// probe makes a probe if one is due, and says how large it should be.
func (p *path) probe(epoch uint32, now time.Time) (m message, size int, ok bool) {
	if p.state != Up {
		return message{}, 0, false
	}
	p.judge.tick(now)
	if size, ok = p.prober.due(p.judge.at, p.judge.late()); !ok {
		return message{}, 0, false
	}
	p.seq++
	p.prober.sentProbe(p.seq, p.judge.at)
	return message{kind: probe, epoch: epoch, seq: p.seq}, size - probeHeader, true
}

// ask makes the next question.
func (p *path) ask(epoch uint32, now time.Time) message {
	p.seq++
	p.judge.Sent(uint64(p.seq), now)
	m := message{kind: ask, epoch: epoch, seq: p.seq}
	if h := p.lastHeard; h.seq != 0 {
		m.ackEpoch, m.ack, m.held = h.epoch, h.seq, now.Sub(h.at)
	}
	return m
}

// receive takes a message from the peer, and returns the answer if there is one.
func (p *path) receive(m message, epoch uint32, now time.Time) (reply message, ok bool) {
	p.heard = true
	switch m.kind {
	case answer:
		if m.ackEpoch == epoch {
			p.lastHeard.epoch, p.lastHeard.seq, p.lastHeard.at = m.epoch, m.seq, now
			p.judge.Received(uint64(m.ack), now)
		}
		return message{}, false
	case probed:
		if p.judge.tick(now); m.ackEpoch == epoch {
			p.prober.answered(m.ack, p.judge.at)
		}
		return message{}, false
	case probe:
		if !p.limit.AllowN(now, 1) {
			return message{}, false
		}
		p.seq++
		return message{kind: probed, epoch: epoch, seq: p.seq, ackEpoch: m.epoch, ack: m.seq}, true
	}
	if a := p.lastAnswer; a.seq != 0 && m.ackEpoch == epoch && m.ack == a.seq {
		p.lastAnswer.seq = 0                    // it proves once
		switch rtt := now.Sub(a.at) - m.held; { // a clock may have jumped here or there
		case m.held > heldMost && rtt.Abs() < time.Minute:
			p.judge.Proved(0, now)
		case rtt >= 0 && rtt < time.Minute:
			p.judge.Proved(rtt, now)
		}
	}
	if !p.limit.AllowN(now, 1) {
		return message{}, false
	}
	p.seq++
	p.lastAnswer.seq, p.lastAnswer.at = p.seq, now
	return message{kind: answer, epoch: epoch, seq: p.seq, ackEpoch: m.epoch, ack: m.seq}, true
}

// queue orders paths by when they are due.
type queue []*path

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *queue) Push(x any) {
	p := x.(*path)
	p.index = len(*q)
	*q = append(*q, p)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	p := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return p
}

// update puts a path where it belongs after its Judge was told something.
func (q *queue) update(p *path, now time.Time) {
	p.due = p.next(now)
	heap.Fix(q, p.index)
}

// Peer is the other end of one path.
type Peer struct {
	ID     string
	Addr   netip.Addr
	Follow bool // the other end asks; see Judge
}

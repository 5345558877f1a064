// Package liveness judges by heartbeats whether a path to a peer works in both directions.
//
// Only an answer is evidence: that the peer is heard says nothing about whether it hears us. Judge is
// the rule for one path, without I/O; Monitor sends the heartbeats of many, padded at times to find the
// size of packets that a path carries; Recovery says what to do about a path that is down.
package liveness

import (
	"math"
	"time"
)

// State is what is believed of a path.
type State int

// States. A path is usable while it is Up or Suspect.
const (
	Unknown State = iota // no answer was ever had
	Up
	Suspect // an answer is late
	Down
)

func (s State) String() string {
	return [...]string{"unknown", "up", "suspect", "down"}[s]
}

// Usable reports whether there is no better knowledge than that the path works.
func (s State) Usable() bool { return s == Up || s == Suspect }

// Bounds of a judgement.
const (
	silenceLeast = 550 * time.Millisecond // no path is down before this
	silenceMost  = 3 * time.Second        // nor later than this, if enough questions were asked
	lateLeast    = 100 * time.Millisecond // no answer is late before this
	startRTT     = 500 * time.Millisecond // until one is measured

	// So many questions in a row go without an answer before a path is down: as many as loss alone would
	// swallow once in a million times, within bounds.
	unansweredLeast = 5
	unansweredMost  = 24
	falseAlarm      = 1e-6

	// A peer whose machine acknowledges what it is asked, though nothing answers, is late for want of a processor, or
	// hangs: it has so many times as long, while the last acknowledgement is no older than that.
	lateFactor = 2
	ackValid   = 300 * time.Millisecond

	answersToRise = 3 // in a row, before a path that has become down is up again

	lossWindow = 64                     // questions
	outMost    = 96                     // questions that wait for an answer; the oldest is forgotten. Those of silenceMost in a hurry, and unansweredMost besides
	lateCall   = 100 * time.Millisecond // a caller that comes so much later than Next did not run
)

// A Judge believes one of the States of a path. Its user sends a question (a sequence number) at Next,
// tells Sent, and tells Received when the other end sends the number back. The zero value is ready. Not
// safe for concurrent use.
//
// Any clock will do. One that jumps back or that went on while the user did not run (a suspended laptop, a
// stopped process) is no silence of the peer: Judge's own time goes on no further than the next call was
// due.
type Judge struct {
	// Follows is set at the end that leaves asking to the other, as long as that does: it asks late, and
	// has its proof from Proved.
	Follows bool
	// Leans is set while another path to the same peer is watched: what ends both is found there, and Doubt called.
	Leans bool
	// Idle and Rest are instead of EveryIdle and EveryRest, while the path is up; 0: those.
	Idle, Rest time.Duration

	begun bool
	real  time.Time     // of the last call
	at    time.Duration // own time, see tick
	gap   time.Duration // own time of the last call that came too late: no RTT is measured across it

	out       []question    // without answer, oldest first
	proof     time.Duration // when an answer was had last
	acked     time.Duration // when the peer's machine last acknowledged a question whose answer was late by then
	sent      time.Duration // when a question was sent last
	asked     bool          // sent is valid
	doubted   bool          // since then
	proven    bool          // proof is valid
	used      time.Duration // when the path was used last
	state     State         // without Suspect, which follows from out
	downSince time.Duration
	rising    int           // answers since the path was down
	rose      time.Duration // when it was down last

	srtt, rttvar time.Duration // RFC 6298 §2
	fates        [lossWindow]bool
	fate         int // questions whose fate is known
	lost         int // of those in fates
}

type question struct {
	seq       uint64
	sent      time.Duration
	cold      bool // the path was silent before
	overtaken bool // by the answer to a later one: lost, or on its way by another route
}

// tick moves our own time forward: by what the clock says, but never back, nor beyond the time at which
// the user should have called.
func (j *Judge) tick(now time.Time) {
	if !j.begun {
		j.begun, j.real = true, now
		return
	}
	d := max(now.Sub(j.real), 0)
	j.real = now
	if most := max(j.due()-j.at, 0) + lateCall; d > most {
		d = most
		j.gap = j.at + d
	}
	j.at += d
	j.settle()
}

// settle gives up on questions that were overtaken and makes silence a verdict.
func (j *Judge) settle() {
	n := 0
	for n < len(j.out) && j.out[n].overtaken && j.at-j.out[n].sent >= j.late() {
		j.count(true)
		n++
	}
	j.forget(n)
	first, open := j.oldest()
	if j.state == Down || !open {
		return
	}
	silence := j.at - first + EveryInUse
	if j.proven {
		silence = min(silence, j.at-j.proof)
	}
	patience := j.patience()
	if j.acked > first && j.at-j.acked <= ackValid {
		patience = min(lateFactor*patience, silenceMost)
	}
	if silence < patience || j.overdue() < j.enough() {
		return
	}
	j.state, j.downSince, j.rising = Down, j.at, 0
}

// forget drops the oldest questions.
func (j *Judge) forget(n int) {
	if j.out = j.out[:copy(j.out, j.out[n:])]; len(j.out) == 0 && cap(j.out) > outKept {
		j.out = nil
	}
}

// oldest is when the first question was sent that nothing has answered or overtaken.
func (j *Judge) oldest() (sent time.Duration, ok bool) {
	for _, q := range j.out {
		if !q.overtaken {
			return q.sent, true
		}
	}
	return 0, false
}

// patience is the silence after which a path is down.
func (j *Judge) patience() time.Duration {
	return min(max(3*j.late(), silenceLeast), silenceMost)
}

// late is after what time an answer is late: the retransmission timeout of RFC 6298 §2, less patient.
func (j *Judge) late() time.Duration {
	if j.srtt == 0 {
		return startRTT
	}
	return min(max(j.srtt+4*j.rttvar, lateLeast), silenceMost)
}

// overdue counts questions after the last one answered whose own answer is late.
func (j *Judge) overdue() int {
	n := 0
	for _, q := range j.out {
		if !q.overtaken && j.at-q.sent >= j.late() {
			n++
		}
	}
	return n
}

// enough is how many overdue answers are no accident, given the loss there was (by the rule of
// succession, so that a path that is hardly known is not held to be perfect).
func (j *Judge) enough() int {
	loss := float64(j.lost+1) / float64(min(j.fate, lossWindow)+4)
	n := int(math.Ceil(math.Log(falseAlarm) / math.Log(loss)))
	return min(max(n, unansweredLeast), unansweredMost)
}

// Sent tells that a question is on its way. Numbers are not used twice.
func (j *Judge) Sent(seq uint64, now time.Time) {
	j.tick(now)
	if len(j.out) == outMost {
		j.count(true)
		j.forget(1)
	}
	j.out = append(j.out, question{seq: seq, sent: j.at, cold: j.at-max(j.sent, j.proof) >= coldAfter})
	j.sent, j.asked, j.doubted = j.at, true, false
}

// Received tells that the other end has sent back the number of a question. It reports whether the
// question was waiting for that.
func (j *Judge) Received(seq uint64, now time.Time) bool {
	j.tick(now)
	for i, q := range j.out {
		if q.seq != seq {
			continue
		}
		for k := range j.out[:i] {
			if j.out[k].overtaken = true; j.at-j.out[k].sent >= j.late() {
				j.rising = 0 // not in a row
			}
		}
		j.out = append(j.out[:i], j.out[i+1:]...)
		j.forget(0)
		j.settle() // by the state before this answer
		j.count(false)
		if q.sent >= j.gap && !q.cold {
			j.sample(j.at-q.sent, q.sent)
		}
		if !q.overtaken {
			j.prove()
		}
		return true
	}
	return false
}

// Proved tells of a round trip that the other end has asked for and acknowledged: as good as an answer,
// and a reason not to ask by ourselves.
func (j *Judge) Proved(rtt time.Duration, now time.Time) {
	j.tick(now)
	if rtt > 0 {
		j.sample(rtt, j.at-rtt)
	}
	for k := range j.out { // asked more than a round trip ago
		j.out[k].overtaken = j.out[k].overtaken || j.at-j.out[k].sent >= j.late()
	}
	j.settle()
	j.count(false)
	j.prove()
}

func (j *Judge) prove() {
	first := !j.proven
	j.proof, j.proven = j.at, true
	if j.state != Down || first {
		j.state = Up
		return
	}
	if j.rising++; j.rising >= answersToRise {
		j.state, j.rose = Up, j.at
	}
}

// Acknowledged tells that the peer's machine, not its process, has acknowledged so long ago what had been sent until then.
// To be told while an answer is late is enough.
func (j *Judge) Acknowledged(ago time.Duration, now time.Time) {
	j.tick(now)
	if first, open := j.oldest(); open && j.at-ago >= first+j.late() { // earlier it may have been on its way when the path ended
		j.acked = j.at - ago
	}
}

// Use tells that somebody relies on the path now.
func (j *Judge) Use(now time.Time) {
	j.tick(now)
	j.used = j.at
}

// Doubt tells that there is reason to ask now. Of a path that is down, it is asked anyway.
func (j *Judge) Doubt(now time.Time) {
	j.tick(now)
	j.doubted = j.state != Down
}

// State says what is believed now.
func (j *Judge) State(now time.Time) State {
	j.tick(now)
	if first, open := j.oldest(); j.state == Up && open && j.at-first >= j.late() {
		return Suspect
	}
	return j.state
}

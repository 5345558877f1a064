package gossip

import (
	"math"
	"time"
)

// Flap damping, after RFC 2439: each death adds to a penalty, which halves every damping half-life. Above
// suppressAt a node that is alive counts as dead until the penalty is below reuseAt. One death is below
// suppressAt: a first recovery is believed at once.
const (
	deathPenalty = 1000.0
	leavePenalty = 400.0 // a planned restart
	suppressAt   = 1500.0
	reuseAt      = 750.0
	maxPenalty   = 4000.0
	halfLife     = 15 * time.Second
	// maxSuppress is RFC 2439's T-hold: for how long at most a peer that is well is kept out, however often it died before.
	// The ceiling of the penalty is what bounds it: maxPenalty = reuseAt * 2^(T-hold/halfLife), 36.2 s. It counts from the
	// last death: of a node that starves, each further false one begins it anew, since it has not recovered.
	maxSuppress = 37 * time.Second
)

// Isolation: who seems to lose most of its peers at once has probably lost its own network.
const (
	isolationPeers = 3                // with fewer peers nothing can be told from how many are gone
	lossWindow     = 5 * time.Second  // deaths within it count as one event
	isolationHold  = time.Minute      // how long the last state is kept; then who can't be heard is dead
	refusalValid   = 10 * time.Second // how long a refused connection proves that a peer's process is gone
	reachedValid   = time.Second      // how long a connection taken shows that a peer is only late
	leaveValid     = 10 * time.Second // how long after a good-bye a death is a leave
)

// cutOff reports whether it is more likely that this node is cut off than that so many peers died at once:
// more than half of at least three.
func cutOff(known, lost int) bool { return known >= isolationPeers && 2*lost > known }

// fate is what is known of the life of one peer.
type fate struct {
	met      bool // it was a member once, or another member says so
	alive    bool // believed to be
	draining bool
	left     bool      // it said good-bye before it died
	leaving  time.Time // when it said so
	missed   time.Time // since when it is alive, but no member; zero: it is a member, or dead
	reached  time.Time // when it last took a connection
	died     time.Time // when it was last believed dead
	refused  time.Time // when its port last refused a connection: its host is reached, its process is gone

	penalty    float64
	penaltyAt  time.Time
	suppressed bool
}

// decayed is the penalty now.
func (f *fate) decayed(now time.Time) float64 {
	if f.penalty == 0 {
		return 0
	}
	return f.penalty * math.Exp2(-now.Sub(f.penaltyAt).Seconds()/halfLife.Seconds())
}

func (f *fate) punish(p float64, now time.Time) {
	f.penalty, f.penaltyAt = min(f.decayed(now)+p, maxPenalty), now
	f.suppressed = f.suppressed || f.penalty > suppressAt
}

// reusable is when a suppressed peer may be used again.
func (f *fate) reusable() time.Time {
	return f.penaltyAt.Add(time.Duration(math.Log2(f.penalty/reuseAt)*float64(halfLife)) + time.Millisecond) // rounded up
}

// gone reports whether it is certain that the peer, not the network to it, is away.
func (f *fate) gone(now time.Time) bool {
	return f.left || !f.refused.IsZero() && (!f.alive && f.refused.Add(refusalValid).After(f.died) || now.Sub(f.refused) < refusalValid)
}

// liveness turns what the failure detector says into what is believed. It is pure: time is an argument.
type liveness struct {
	peers    map[string]*fate
	heard    time.Time // when anything authentic last arrived; zero: nothing ever did
	pace     pace
	isolated time.Time // since when; zero: not
}

func newLiveness() *liveness {
	return &liveness{peers: map[string]*fate{}, pace: tuningOf(0, 0).pace()}
}

// pace is how long this node waits before it believes something.
type pace struct {
	silence time.Duration // without a word from anybody, until it takes itself to be cut off
	connect time.Duration // a missed peer has to take a connection
	answer  time.Duration // a missed peer that has taken one has to become a member again
}

// expect sets who the peers are. What is known of those that stay is kept.
func (l *liveness) expect(ids []string) {
	next := make(map[string]*fate, len(ids))
	for _, id := range ids {
		if f, ok := l.peers[id]; ok {
			next[id] = f
		} else {
			next[id] = &fate{}
		}
	}
	l.peers = next
}

// isAlive takes note of a member that joined or changed.
func (l *liveness) isAlive(id string, draining bool) {
	if f, ok := l.peers[id]; ok {
		if !f.alive {
			f.left, f.leaving, f.refused = false, time.Time{}, time.Time{}
		}
		f.met, f.alive, f.draining, f.missed = true, true, draining, time.Time{}
	}
}

// isDraining takes note of a peer's word on itself.
func (l *liveness) isDraining(id string, draining bool) {
	if f, ok := l.peers[id]; ok {
		f.draining = draining
	}
}

// isLeaving takes note of a good-bye.
func (l *liveness) isLeaving(id string, now time.Time) {
	if f, ok := l.peers[id]; ok {
		f.leaving = now
	}
}

// isMissed takes note of a member that the failure detector gave up. A peer that only waits for a processor
// looks like that, too, but its kernel answers for it: so the peer is dialled once more, and is dead when
// its port refuses, when no connection comes about, or when nothing follows on it.
func (l *liveness) isMissed(id string, now time.Time) {
	if f, ok := l.peers[id]; ok && f.alive && f.missed.IsZero() {
		f.missed = now
	}
}

// isReached takes note of a connection that a peer took.
func (l *liveness) isReached(id string, now time.Time) {
	if f, ok := l.peers[id]; ok {
		f.reached = now
	}
}

// sentence is when a missed peer is dead.
func (l *liveness) sentence(f *fate) time.Time {
	switch {
	case f.said(f.leaving, leaveValid) || f.said(f.refused, refusalValid):
		return f.missed
	case f.said(f.reached, reachedValid):
		return f.missed.Add(l.pace.answer)
	}
	return f.missed.Add(l.pace.connect)
}

// said reports whether something happened shortly before the peer was missed, or after that.
func (f *fate) said(at time.Time, valid time.Duration) bool {
	return !at.IsZero() && at.Add(valid).After(f.missed)
}

// bury makes a missed peer dead.
func (f *fate) bury(now time.Time) {
	f.left = f.said(f.leaving, leaveValid)
	f.alive, f.died, f.missed = false, now, time.Time{}
	if f.left {
		f.punish(leavePenalty, now)
	} else {
		f.punish(deathPenalty, now)
	}
}

// wasMember takes note of another's word that a peer was a member and is dead. It says nothing of a peer
// that this node has met.
func (l *liveness) wasMember(id string) {
	if f, ok := l.peers[id]; ok && !f.met {
		f.met = true
	}
}

// isRefusing takes note of a connection that the peer's host refused.
func (l *liveness) isRefusing(id string, now time.Time) {
	if f, ok := l.peers[id]; ok {
		f.refused = now
	}
}

// hear takes note of anything authentic from any peer.
func (l *liveness) hear(now time.Time) { l.heard = now }

// verdict is what is believed of one peer.
type verdict struct {
	state       State
	unreachable bool
}

// judge says what is believed now, and when that will change without any news; zero: never.
func (l *liveness) judge(now time.Time) (verdicts map[string]verdict, next time.Time) {
	until := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, f := range l.peers {
		if f.missed.IsZero() {
			continue
		}
		if at := l.sentence(f); at.After(now) {
			until(at)
		} else {
			f.bury(now)
		}
	}
	silent := l.isSilent(now, until)
	from := now
	if !l.isolated.IsZero() {
		from = l.isolated
	}
	from = from.Add(-lossWindow)
	known, lost := 0, 0
	for _, f := range l.peers {
		switch {
		case f.alive:
			known++
		case f.met && !f.died.IsZero() && !f.gone(now) && !f.died.Before(from):
			known, lost = known+1, lost+1
		}
	}
	switch isolated := silent || cutOff(known, lost); {
	case !isolated:
		l.isolated = time.Time{}
	case l.isolated.IsZero():
		l.isolated = now
	}
	hold := !l.isolated.IsZero() && now.Sub(l.isolated) < isolationHold
	if hold {
		until(l.isolated.Add(isolationHold))
	}

	verdicts = make(map[string]verdict, len(l.peers))
	for id, f := range l.peers {
		v := verdict{}
		switch {
		case !f.met:
		case f.alive && !silent:
			if f.suppressed && f.decayed(now) <= reuseAt {
				f.suppressed = false
			}
			switch {
			case f.suppressed:
				v.state = Dead
				until(f.reusable())
			case f.draining:
				v.state = Draining
			default:
				v.state = Alive
			}
		case hold && !f.gone(now) && (f.alive || !f.died.Before(from)):
			v = verdict{Unknown, true}
		default:
			v.state = Dead
		}
		verdicts[id] = v
	}
	return verdicts, next
}

// isSilent reports whether nobody was heard of for too long.
func (l *liveness) isSilent(now time.Time, until func(time.Time)) bool {
	alive := 0
	for _, f := range l.peers {
		if f.alive {
			alive++
		}
	}
	if alive < isolationPeers && l.isolated.IsZero() || alive == 0 || l.heard.IsZero() {
		return false
	}
	at := l.heard.Add(l.pace.silence)
	until(at)
	return !now.Before(at)
}

package session

import (
	"context"
	"time"
)

const (
	// patience is how long what is open when its owner's token becomes stale may wait for the next one. With the time that
	// the news takes, it keeps within the five seconds after which a change has to be seen everywhere.
	patience = 2 * time.Second
	// askAgain is how soon a renewal is tried once more of who can't be let in without.
	askAgain = time.Second
)

// staleness is that roles, groups or other things that tokens say were changed.
type staleness struct {
	before  time.Time // tokens that are younger say what is true
	learned time.Time // when this node was told
}

// asked is a renewal that somebody waits for.
type asked struct {
	at   time.Time
	done chan struct{} // closed when it was tried
}

// learn says of each staleness when it was learned, and reports whether there is one that the state before does not have.
func (st *state) learn(before *state, now time.Time) (fresh bool) {
	for subject, x := range st.stale {
		if old, ok := before.stale[subject]; ok && old.before.Equal(x.before) {
			x.learned = old.learned
		} else {
			x.learned, fresh = now, true
		}
		st.stale[subject] = x
	}
	return fresh
}

// isStale reports whether what a visitor's token says is to be asked anew.
func (st *state) isStale(v *Visitor) bool {
	if len(st.stale) == 0 {
		return false
	}
	at := v.Claims.IssuedAt()
	return !at.After(st.stale[v.Claims.Subject].before) || v.Claims.Org != "" && !at.After(st.stale[v.Claims.Org].before)
}

// patient reports whether a stale visitor's next token may still be waited for.
func (st *state) patient(v *Visitor, now time.Time) bool {
	for _, subject := range []string{v.Claims.Subject, v.Claims.Org} {
		if x, ok := st.stale[subject]; ok && !v.Claims.IssuedAt().After(x.before) && now.Sub(x.learned) >= patience {
			return false
		}
	}
	return true
}

// ask has a stale token renewed at once, and returns what is closed when that was tried: nil, if nobody could.
func (s *Sessions) ask(v *Visitor, now time.Time) <-chan struct{} {
	if v.Claims.Use != "" {
		return nil
	}
	old := v.asked.Load()
	if old != nil && now.Sub(old.at) < askAgain {
		return old.done
	}
	next := &asked{at: now, done: make(chan struct{})}
	if !v.asked.CompareAndSwap(old, next) {
		if other := v.asked.Load(); other != nil {
			return other.done
		}
		return nil
	}
	select {
	case s.wanted <- wanted{v, next.done}:
	default:
		v.asked.CompareAndSwap(next, nil) // his next request asks again
		close(next.done)
		s.metrics.renewed.WithLabelValues("dropped").Inc()
	}
	return next.done
}

// Await is Find for a token that Find has called stale: it waits, for a moment, until the renewal was tried. This is the one
// case in which a request waits for the control plane: the first one after what it says of somebody was changed.
func (s *Sessions) Await(ctx context.Context, host, token, secret string) (*Visitor, error) {
	v, err := s.find(host, token, secret, time.Now())
	if err != nil {
		return nil, err
	}
	if !s.state.Load().isStale(v) {
		return v, nil
	}
	if done := s.ask(v, time.Now()); done != nil {
		limit := time.NewTimer(patience)
		defer limit.Stop()
		select {
		case <-done:
		case <-limit.C:
		case <-ctx.Done():
		}
	}
	v = v.latest()
	st := s.state.Load()
	if err := st.check(v, time.Now()); err != nil {
		return nil, err
	}
	if st.isStale(v) {
		return nil, ErrStale
	}
	return v, nil
}

// renewStale asks for the renewal of all that is known and has become stale, before its owners come again.
func (s *Sessions) renewStale(now time.Time) {
	st := s.state.Load()
	for i := range s.cache {
		if v := s.cache[i].Load(); v != nil {
			if v = v.latest(); st.isStale(v) && st.check(v, now) == nil {
				s.ask(v, now)
			}
		}
	}
}

// become makes a visitor have another token, unless he has a younger one.
func (v *Visitor) become(n *Visitor) {
	for {
		old := v.next.Load()
		if old != nil && !n.Claims.IssuedAt().After(old.Claims.IssuedAt()) || v.next.CompareAndSwap(old, n) {
			return
		}
	}
}

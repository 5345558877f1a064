package fabric

import (
	"context"
	"errors"
	"sync"
)

// errSilent ends an attempt whose peer has stopped answering meanwhile.
var errSilent = errors.New("it does not answer any more")

// attempts knows the attempts in progress, by peer: nobody waits for one that has fallen silent.
type attempts struct {
	mu sync.Mutex
	by map[string]map[*attempt]struct{} // guarded by mu
}

// attempt is one of them.
type attempt struct {
	candidate
	end context.CancelCauseFunc
}

// add returns what forgets the attempt.
func (a *attempts) add(one *attempt) (remove func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.by == nil {
		a.by = map[string]map[*attempt]struct{}{}
	}
	if a.by[one.peer] == nil {
		a.by[one.peer] = map[*attempt]struct{}{}
	}
	a.by[one.peer][one] = struct{}{}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.by[one.peer], one)
		if len(a.by[one.peer]) == 0 {
			delete(a.by, one.peer)
		}
	}
}

// end ends the attempts at a peer by carriers of which gone says that they lead there no more.
func (a *attempts) end(peer string, gone func(candidate) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for one := range a.by[peer] {
		if gone(one.candidate) {
			one.end(errSilent)
		}
	}
}

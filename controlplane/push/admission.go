package push

import (
	"slices"
	"sync"
)

// admission bounds how many readers are brought up to date in full at once: what counts in memory is
// bytes in flight. Readers that have nothing go first; within each class it is first come, first served.
type admission struct {
	mu      sync.Mutex
	free    int
	waiting [2][]*ticket // without any configuration, others
}

// ticket is a place in the queue, then a slot.
type ticket struct {
	a       *admission
	class   int
	ready   func() // called once when the slot is there, if it was not at once
	granted bool
	over    bool
}

func newAdmission(slots int) *admission { return &admission{free: slots} }

// ask queues for a slot.
func (a *admission) ask(empty bool, ready func()) *ticket {
	t := &ticket{a: a, ready: ready}
	if !empty {
		t.class = 1
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.free > 0 {
		a.free--
		t.granted = true
		return t
	}
	a.waiting[t.class] = append(a.waiting[t.class], t)
	return t
}

// ok reports whether the slot is there.
func (t *ticket) ok() bool {
	t.a.mu.Lock()
	defer t.a.mu.Unlock()
	return t.granted
}

// done gives the slot, or the place in the queue, back. It may be called again, and on nil.
func (t *ticket) done() {
	if t == nil {
		return
	}
	a := t.a
	a.mu.Lock()
	if t.over {
		a.mu.Unlock()
		return
	}
	t.over = true
	var next *ticket
	if !t.granted {
		a.waiting[t.class] = slices.DeleteFunc(a.waiting[t.class], func(o *ticket) bool { return o == t })
	} else {
		a.free++
		for class := range a.waiting {
			if q := a.waiting[class]; len(q) > 0 {
				next, a.waiting[class] = q[0], q[1:]
				next.granted = true
				a.free--
				break
			}
		}
	}
	a.mu.Unlock()
	if next != nil {
		next.ready()
	}
}

// depth is how many wait.
func (a *admission) depth() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.waiting[0]) + len(a.waiting[1])
}

package presence

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/shared/identity"
)

// How it is noticed that two processes use one identity, because its state directory was copied. A process
// that was started anew is another one, too; but then the old one says nothing any more.
const (
	returnsMost = 3                // reports of a process after a newer one was seen: two may come late from one that has ended
	returnLeast = time.Second      // between two of them: what was held up comes in one burst
	rememberFor = 24 * time.Hour   // a process that says nothing
	rememberAll = 8                // processes of one identity
	copiedFor   = 15 * time.Minute // after the last sign of it
)

// Copied says that several processes use one identity.
type Copied struct {
	Since time.Time // when it was noticed
	Last  time.Time // when there was a sign of it last
}

// copies judges one identity. It is pure: times are arguments, and only the replica's own clock counts.
type copies struct {
	processes []process // the one that was seen first comes first
	alarm     Copied
}

// process is one start of a program.
type process struct {
	id      string
	last    time.Time            // said something
	said    map[string]time.Time // by replica: its last report, by that replica's clock
	returns int
	counted time.Time // when a return was counted last
}

// observe takes in a report, and reports whether it raises the alarm. A report that was taken in before changes
// nothing.
func (c *copies) observe(id, replica string, said, now time.Time) (raised bool) {
	if id == "" { // of a program from before
		return false
	}
	c.forget(now)
	i := slices.IndexFunc(c.processes, func(p process) bool { return p.id == id })
	if i < 0 {
		c.processes = append(c.processes, process{id: id, last: now, said: map[string]time.Time{replica: said}})
		return false
	}
	p := &c.processes[i]
	if !said.After(p.said[replica]) {
		return false
	}
	p.last, p.said[replica] = now, said
	if i == len(c.processes)-1 || now.Sub(p.counted) < returnLeast {
		return false
	}
	p.counted = now
	if p.returns++; p.returns < returnsMost {
		return false
	}
	// It lives: from now on the others would have to come back after it.
	back := *p
	back.returns = 0
	c.processes = append(slices.Delete(c.processes, i, i+1), back)
	raised = !c.active(now)
	if raised {
		c.alarm.Since = now
	}
	c.alarm.Last = now
	return raised
}

func (c *copies) forget(now time.Time) {
	c.processes = slices.DeleteFunc(c.processes, func(p process) bool { return now.Sub(p.last) > rememberFor })
	if n := len(c.processes) - rememberAll; n > 0 {
		c.processes = slices.Delete(c.processes, 0, n)
	}
}

func (c *copies) active(now time.Time) bool {
	return !c.alarm.Last.IsZero() && now.Sub(c.alarm.Last) < copiedFor
}

// Copied reports whether several processes use an identity, as its state directory was copied.
func (s *Store) Copied(k Key) (Copied, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.copies[k]
	if c == nil || !c.active(time.Now()) {
		return Copied{}, false
	}
	return c.alarm, true
}

// watch takes in an entry for Copied. It needs the lock.
func (s *Store) watch(e Entry) {
	c := s.copies[e.Key]
	if c == nil {
		c = new(copies)
		s.copies[e.Key] = c
	}
	if c.observe(e.Instance, e.Replica, e.Seen, time.Now()) {
		s.log.Warn("two processes use one identity: its state directory was copied; end the one that should not be, "+
			"or revoke this identity and let another one join", "kind", string(e.Kind), "id", e.ID)
		s.wake()
	}
}

// copied makes a metric of how many identities of a kind are used by several processes.
func (s *Store) copied(kind identity.Kind) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cp_presence_copied", Help: "Identities that several processes use, because their state was copied, by kind.",
		ConstLabels: prometheus.Labels{"kind": string(kind)},
	}, func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		n := 0
		for k, c := range s.copies {
			if k.Kind == kind && c.active(time.Now()) {
				n++
			}
		}
		return float64(n)
	})
}

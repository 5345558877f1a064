package dial

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Times and bounds of Names.
const (
	LookEvery    = time.Minute     // who owns a name tells nobody that it has another address
	LookSoonest  = 5 * time.Second // nobody may want it more often
	lookAgain    = 5 * time.Second // after a lookup that failed
	lookLeast    = time.Second     // between two lookups of a name, whoever asks
	lookFor      = 5 * time.Second // a lookup
	looksAtATime = 8
)

// Names keeps the addresses that names have: it looks a name up when it is new, every minute, and when somebody asks.
// A lookup that fails leaves what was known. Safe for concurrent use.
type Names struct {
	lookup  Lookup
	every   time.Duration
	changed func(host string)
	wake    chan struct{} // holds one

	mu    sync.Mutex
	names map[string]*name // guarded by mu
}

// name is what is known of one.
type name struct {
	addrs  []netip.Addr // none: never found
	begun  time.Time    // the last lookup
	due    time.Time    // the next one
	asking bool         // a lookup is under way
}

// Every has names looked up so often from the start of Run on, instead of each LookEvery.
func (n *Names) Every(d time.Duration) { n.every = max(d, LookSoonest) }

// NewNames makes Names that know none. They call changed, one call at a time, after the addresses of a name have become others;
// lookup is the system's if it is nil.
func NewNames(lookup Lookup, changed func(host string)) *Names {
	if lookup == nil {
		lookup = System
	}
	return &Names{lookup: lookup, every: LookEvery, changed: changed, wake: make(chan struct{}, 1), names: map[string]*name{}}
}

// Apply makes hosts the whole list.
func (n *Names) Apply(hosts []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := make(map[string]*name, len(hosts))
	for _, h := range hosts {
		if next[h] = n.names[h]; next[h] == nil {
			next[h] = &name{}
		}
	}
	n.names = next
	n.rouse()
}

// Addrs are the addresses that a name has, both families in turn; none if they are not known yet.
func (n *Names) Addrs(host string) []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	if it := n.names[host]; it != nil {
		return slices.Clone(it.addrs)
	}
	return nil
}

// Ask has a name looked up soon: who has it can't be reached.
func (n *Names) Ask(host string) { n.ask(host) }

// AskAll has all names looked up soon: we are somewhere else.
func (n *Names) AskAll() { n.ask("") }

func (n *Names) ask(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for h, it := range n.names {
		if soon := it.begun.Add(lookLeast); (h == host || host == "") && soon.Before(it.due) {
			it.due = soon
			n.rouse()
		}
	}
}

func (n *Names) rouse() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Run looks names up until ctx ends.
func (n *Names) Run(ctx context.Context) {
	var lookups sync.WaitGroup
	defer lookups.Wait()
	slots, found := make(chan struct{}, looksAtATime), make(chan string, looksAtATime)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case host := <-found:
			n.changed(host)
			continue
		case <-n.wake:
		case <-timer.C:
		}
		for _, host := range n.due(time.Now(), cap(slots)-len(slots)) {
			slots <- struct{}{}
			lookups.Go(func() {
				defer n.rouse()
				defer func() { <-slots }()
				if n.look(ctx, host) {
					select {
					case found <- host:
					case <-ctx.Done():
					}
				}
			})
		}
		timer.Reset(n.next(time.Now()))
	}
}

// due begins lookups, so many at most.
func (n *Names) due(now time.Time, most int) (hosts []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range slices.Sorted(maps.Keys(n.names)) {
		it := n.names[h]
		if len(hosts) == most || it.asking || now.Before(it.due) && it.due.Sub(now) <= n.every { // else the clock went back
			continue
		}
		it.asking, it.begun = true, now
		hosts = append(hosts, h)
	}
	return hosts
}

// next is after how long a lookup is due.
func (n *Names) next(now time.Time) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	wait := n.every
	for _, it := range n.names {
		if !it.asking {
			wait = min(wait, max(it.due.Sub(now), 10*time.Millisecond)) // if all places are taken, their ends wake it
		}
	}
	return wait
}

// look asks for one name and reports whether its addresses are others.
func (n *Names) look(ctx context.Context, host string) bool {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	addrs, err := Dialer{Lookup: n.lookup}.lookup(ctx, host)
	addrs = order(addrs)
	n.mu.Lock()
	defer n.mu.Unlock()
	it := n.names[host]
	if it == nil { // it is asked for no more
		return false
	}
	it.asking = false
	if err != nil {
		it.due = time.Now().Add(lookAgain)
		return false
	}
	it.due = time.Now().Add(n.every)
	if same(it.addrs, addrs) {
		return false
	}
	it.addrs = addrs
	return true
}

// same tells whether two lists have the same addresses: resolvers turn them around.
func same(a, b []netip.Addr) bool {
	if len(a) != len(b) {
		return false
	}
	return !slices.ContainsFunc(a, func(addr netip.Addr) bool { return !slices.Contains(b, addr) })
}

// Remember gives a Lookup that answers with what a name had last where lookup fails. It keeps a thousand names.
func Remember(lookup Lookup) Lookup {
	var mu sync.Mutex
	last := map[string][]netip.Addr{}
	return func(ctx context.Context, host string) ([]netip.Addr, error) {
		addrs, err := Dialer{Lookup: lookup}.lookup(ctx, host)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			if had := last[host]; len(had) > 0 {
				return slices.Clone(had), nil
			}
			return nil, err
		}
		if _, known := last[host]; !known && len(last) >= 1000 {
			clear(last)
		}
		last[host] = slices.Clone(addrs)
		return addrs, nil
	}
}

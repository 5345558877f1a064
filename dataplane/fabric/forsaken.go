package fabric

import (
	"slices"
	"sync"
)

// A Forsaker is the relay's end of a stream. Forsake tells the asking node that whom the stream leads through has
// fallen silent; the stream goes on, for its TCP may outlast the silence. It may be called again, and does not wait.
type Forsaker interface{ Forsake() }

// A Forsakable is the asker's end of such a stream. OnForsaken has f called, once, when the relay tells; at once if it
// has told already.
type Forsakable interface{ OnForsaken(f func()) }

// Forsaken is that word as the asker's end has it. Safe for concurrent use.
type Forsaken struct {
	mu   sync.Mutex
	said bool   // guarded by mu
	call func() // guarded by mu; nil: nobody has asked, or it was called
}

// Note takes the word, which may come any number of times.
func (f *Forsaken) Note() { f.update(func() { f.said = true }) }

// OnForsaken implements Forsakable. The word is found by who reads, and whoever keeps a stream for later does.
func (f *Forsaken) OnForsaken(call func()) { f.update(func() { f.call = call }) }

func (f *Forsaken) update(change func()) {
	f.mu.Lock()
	change()
	call := f.call
	if f.said {
		f.call = nil
	}
	said := f.said
	f.mu.Unlock()
	if said && call != nil {
		call()
	}
}

// passing knows the streams that this node relays and that others keep for later, by whom they lead through, with the
// carrier of each.
type passing struct {
	mu sync.Mutex
	by map[string]map[Forsaker]string // guarded by mu
}

// add returns what forgets the stream.
func (p *passing) add(peer, carrier string, s Forsaker) (remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by == nil {
		p.by = map[string]map[Forsaker]string{}
	}
	if p.by[peer] == nil {
		p.by[peer] = map[Forsaker]string{}
	}
	p.by[peer][s] = carrier
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.by[peer], s)
		if len(p.by[peer]) == 0 {
			delete(p.by, peer)
		}
	}
}

// Silent takes that a peer of our own, a connector, a stock device or a node that relays, does not answer any more by
// these carriers. Whoever waits for it to take a stream by one of them goes on. Nodes that keep streams which this one
// relays to it by one of them learn of it: they would find out with the next request on each. It does not wait.
func (f *Fabric) Silent(peer string, by ...string) {
	f.attempts.end(peer, func(c candidate) bool { return !isUp(f.carriers.of(c.carrier, c.relay), peer) })
	f.passing.mu.Lock()
	defer f.passing.mu.Unlock()
	n := 0
	for s, carrier := range f.passing.by[peer] {
		if slices.Contains(by, carrier) {
			s.Forsake()
			n++
		}
	}
	if n > 0 {
		f.log.Info("other nodes are told to leave streams through a silent peer", "peer", peer, "streams", n)
	}
}

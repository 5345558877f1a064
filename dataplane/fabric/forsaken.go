package fabric

import "sync"

// A Forsaker is the relay's end of a stream. Forsake tells the asking node that whom the stream leads through has
// fallen silent; the stream goes on, for its TCP may outlast the silence. It may be called again, and does not wait.
type Forsaker interface{ Forsake() }

// A Forsakable is the asker's end of such a stream. OnForsaken has f called, once, when the relay tells; at once if it
// has told already.
type Forsakable interface{ OnForsaken(f func()) }

// passing knows the streams that this node relays and that others keep for later, by whom they lead through.
type passing struct {
	mu sync.Mutex
	by map[string]map[Forsaker]struct{} // guarded by mu
}

// add returns what forgets the stream.
func (p *passing) add(peer string, s Forsaker) (remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by == nil {
		p.by = map[string]map[Forsaker]struct{}{}
	}
	if p.by[peer] == nil {
		p.by[peer] = map[Forsaker]struct{}{}
	}
	p.by[peer][s] = struct{}{}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.by[peer], s)
		if len(p.by[peer]) == 0 {
			delete(p.by, peer)
		}
	}
}

// Silent takes that a peer of our own, a connector or a stock device, does not answer any more. Nodes that keep
// streams which this one relays to it learn of it: they would find out with the next request on each. It does not
// wait.
func (f *Fabric) Silent(peer string) {
	f.passing.mu.Lock()
	defer f.passing.mu.Unlock()
	for s := range f.passing.by[peer] {
		s.Forsake()
	}
	if n := len(f.passing.by[peer]); n > 0 {
		f.log.Info("other nodes are told to leave streams through a silent peer", "peer", peer, "streams", n)
	}
}

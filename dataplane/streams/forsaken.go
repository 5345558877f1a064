package streams

import (
	"sync"

	"github.com/warrenedge/warren/dataplane/fabric"
)

var (
	_ fabric.Forsaker   = (*stream)(nil)
	_ fabric.Forsakable = (*stream)(nil)
)

// forsaken is the word that whom a stream leads through behind its other end is silent.
type forsaken struct {
	mu   sync.Mutex
	said bool   // guarded by mu
	call func() // guarded by mu; nil: nobody has asked, or it was called
}

// note takes the word, which may come any number of times.
func (f *forsaken) note() { f.update(func() { f.said = true }) }

func (f *forsaken) update(change func()) {
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

// OnForsaken implements fabric.Forsakable. The word is found by who reads, and whoever keeps a stream for later does.
func (s *stream) OnForsaken(f func()) { s.forsaken.update(func() { s.forsaken.call = f }) }

// Forsake implements fabric.Forsaker: the word to the other end, in a frame of its own.
func (s *stream) Forsake() {
	s.owner.background(func() { // behind a write that is in progress
		s.writing.Lock()
		defer s.writing.Unlock()
		if !s.said && !s.closed.Load() {
			_ = s.wire.say(frameForsaken)
		}
	})
}

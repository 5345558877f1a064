package streams

import "github.com/warrenedge/warren/dataplane/fabric"

var (
	_ fabric.Forsaker   = (*stream)(nil)
	_ fabric.Forsakable = (*stream)(nil)
)

// OnForsaken implements fabric.Forsakable.
func (s *stream) OnForsaken(f func()) { s.forsaken.OnForsaken(f) }

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

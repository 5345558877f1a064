package streams

import (
	"sync"
	"time"

	"github.com/warrenedge/warren/shared/backoff"
)

// Two processes with one identity, of which the state directory was copied, take each other's place at every node.
// Nobody can tell which of them is right, so both stay; but neither comes back at once, and both say so.
const (
	comeBackLeast = 5 * time.Second // of one that was replaced
	comeBackMost  = time.Minute     // at most added to that
	// A connection of our own that was given up may reach a node late and take the place of the next one, but hardly
	// so again after less than this.
	twiceWithin = 3 * time.Minute
	copiedFor   = 15 * time.Minute // the last sign
)

// replacements are the signs that another process has our identity. Safe for concurrent use.
type replacements struct {
	mu   sync.Mutex
	last time.Time // guarded by mu; zero: none, or long ago
}

// note takes a sign, and reports whether it is the first one.
func (r *replacements) note(now time.Time) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first = r.last.IsZero()
	r.last = now
	return first
}

// over reports that the last sign was long ago. It says so once.
func (r *replacements) over(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last.IsZero() || now.Sub(r.last) < copiedFor {
		return false
	}
	r.last = time.Time{}
	return true
}

// any reports whether there are signs.
func (r *replacements) any() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.last.IsZero()
}

// comeBack is when to connect again. A session that has lasted begins anew with the waits.
func comeBack(b *backoff.Backoff, lasted time.Duration) time.Duration {
	if lasted >= copiedFor {
		b.Reset()
	}
	return comeBackLeast + b.Next()
}

package tunnel

import (
	"sync"
	"time"
)

// stateAge bounds how old the answer of Up may be: asking the device costs a walk over all peers, and Up
// is asked for every candidate of every dial.
const stateAge = 500 * time.Millisecond

// stateCache remembers which peers are up.
type stateCache struct {
	mu   sync.Mutex
	read time.Time       // guarded by mu
	ups  map[string]bool // guarded by mu; replaced whole
}

func (c *stateCache) up(peer string, peers func() []PeerState) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.ups == nil || now.Sub(c.read) > stateAge {
		states := peers()
		c.ups, c.read = make(map[string]bool, len(states)), now
		for _, s := range states {
			c.ups[s.ID] = s.Up
		}
	}
	return c.ups[peer]
}

func (c *stateCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ups = nil
}

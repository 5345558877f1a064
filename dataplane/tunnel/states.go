package tunnel

import (
	"sync"
	"time"
)

// stateAge bounds how old the answers of Up and Transport may be: asking the device costs a walk over all peers,
// and they are asked for every candidate of every dial.
const stateAge = 500 * time.Millisecond

// stateCache remembers what the device says of peers.
type stateCache struct {
	mu    sync.Mutex
	read  time.Time            // guarded by mu
	peers map[string]PeerState // guarded by mu; replaced whole
}

func (c *stateCache) get(peer string, read func() []PeerState) PeerState {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.peers == nil || now.Sub(c.read) > stateAge {
		states := read()
		c.peers, c.read = make(map[string]PeerState, len(states)), now
		for _, s := range states {
			c.peers[s.ID] = s
		}
	}
	return c.peers[peer]
}

func (c *stateCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peers = nil
}

package access

import (
	"net/netip"
	"sync"
	"time"

	"github.com/warrenedge/warren/dataplane/inbound"
)

// What may be got wrong of one policy. An attacker with any number of addresses, at any number of nodes, guesses a PIN of six
// digits within a day with a probability of 0.3 %.
const (
	clientBurst = 5
	clientEvery = time.Minute // one more
	policyBurst = 60          // of all clients, at all nodes
	policyEvery = 30 * time.Second
	// maxBuckets bounds what is remembered. Each attempt that makes a new one is within its policy's limit.
	maxBuckets = 1 << 16
)

// Attempts limits guessing: each client (IPv6: each /64) of each policy, and all clients of a policy together. The nodes of a
// pool divide what all clients together may, so that it holds in sum without a word between them. Safe for concurrent use.
type Attempts struct {
	mu      sync.Mutex
	nodes   int                      // guarded by mu
	buckets map[attemptKey]time.Time // guarded by mu; when each will be empty, by the generic cell rate algorithm
}

// attemptKey is a client of a policy; without a client all of them.
type attemptKey struct {
	policy string
	client netip.Addr
}

// NewAttempts makes limits that one node has alone.
func NewAttempts() *Attempts { return &Attempts{nodes: 1, buckets: map[attemptKey]time.Time{}} }

// SetNodes says how many nodes divide the limits.
func (a *Attempts) SetNodes(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nodes = max(1, n)
}

// Take counts an attempt. Its error is a *TooManyError. back takes the attempt back, once it is known that it was right.
func (a *Attempts) Take(policy string, client netip.Addr, now time.Time) (back func(), err error) {
	own, all := attemptKey{policy, inbound.Bucket(client.Unmap().WithZone(""))}, attemptKey{policy: policy}
	a.mu.Lock()
	defer a.mu.Unlock()
	every := policyEvery * time.Duration(a.nodes)
	burst := max(1, policyBurst/a.nodes)
	for _, l := range [...]struct {
		key   attemptKey
		every time.Duration
		burst int
	}{{own, clientEvery, clientBurst}, {all, every, burst}} {
		if wait := max(0, a.buckets[l.key].Sub(now)) - time.Duration(l.burst-1)*l.every; wait > 0 {
			return nil, &TooManyError{wait}
		}
	}
	if len(a.buckets)+2 > maxBuckets && !a.forgetLocked(now) {
		return nil, &TooManyError{clientEvery}
	}
	a.addLocked(own, clientEvery, now)
	a.addLocked(all, every, now)
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		for k, d := range map[attemptKey]time.Duration{own: clientEvery, all: every} {
			a.buckets[k] = a.buckets[k].Add(-d)
		}
	}), nil
}

func (a *Attempts) addLocked(k attemptKey, d time.Duration, now time.Time) {
	at := a.buckets[k]
	if at.Before(now) {
		at = now
	}
	a.buckets[k] = at.Add(d)
}

// forgetLocked drops what is empty, and reports whether there is room.
func (a *Attempts) forgetLocked(now time.Time) bool {
	for k, at := range a.buckets {
		if !at.After(now) {
			delete(a.buckets, k)
		}
	}
	return len(a.buckets)+2 <= maxBuckets
}

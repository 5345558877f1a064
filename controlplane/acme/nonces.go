package acme

import (
	"sync"
	"time"
)

// nonces keeps what replies brought (RFC 8555 §6.5), the newest on top: a CA forgets old ones first.
type nonces struct {
	mu   sync.Mutex
	kept []nonce // guarded by mu; at most maxNonces
}

type nonce struct {
	value string
	at    time.Time
}

const (
	maxNonces   = 64
	nonceLife   = 10 * time.Minute // CAs that forget sooner answer badNonce
	maxNonceLen = 512
)

func (n *nonces) push(value string, now time.Time) {
	if value == "" || len(value) > maxNonceLen {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.kept) == maxNonces {
		n.kept = append(n.kept[:0], n.kept[1:]...)
	}
	n.kept = append(n.kept, nonce{value, now})
}

// pop returns the newest nonce, once.
func (n *nonces) pop(now time.Time) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.kept) == 0 {
		return "", false
	}
	top := n.kept[len(n.kept)-1]
	if now.Sub(top.at) > nonceLife { // so are all below it
		n.kept = nil
		return "", false
	}
	n.kept = n.kept[:len(n.kept)-1]
	return top.value, true
}

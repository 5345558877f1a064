package tunnel

import (
	"errors"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/device"
)

// WireGuard's first packet carries the wall clock, and a peer takes only one that is later than all it has seen. If
// a connector starts again with an earlier clock (a board without a battery, a machine that is restored), a
// node refuses it for as long as the clock was set back.
const (
	refusedFor  = 10 * time.Second // a refusal is news
	renewLeast  = 30 * time.Second // between two new beginnings with one peer
	refusedSays = "%v - ConsumeMessageInitiation: handshake replay @ %v"
	stuckAfter  = 3 * time.Second // of being down, before the other end is told
)

// refusals are the peers whose handshakes were refused as old ones. Safe for concurrent use.
type refusals struct {
	mu      sync.Mutex
	at      map[*device.Peer]time.Time // guarded by mu; when last
	renewed map[string]time.Time       // guarded by mu; by peer id
}

// note takes a message of WireGuard's log: it tells of refusals nowhere else.
func (r *refusals) note(format string, args []any, now time.Time) {
	if format != refusedSays || len(args) == 0 {
		return
	}
	peer, ok := args[0].(*device.Peer)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = map[*device.Peer]time.Time{}
	}
	for p, at := range r.at {
		if now.Sub(at) > refusedFor {
			delete(r.at, p)
		}
	}
	r.at[peer] = now
}

// take reports whether a peer's handshakes were refused just now, and the last new beginning with it is long ago.
func (r *refusals) take(id string, peer *device.Peer, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.at[peer]
	if !ok || now.Sub(at) > refusedFor {
		return false
	}
	if last, ok := r.renewed[id]; ok && now.Sub(last) < renewLeast {
		return false
	}
	if r.renewed == nil {
		r.renewed = map[string]time.Time{}
	}
	for id, last := range r.renewed {
		if now.Sub(last) >= renewLeast {
			delete(r.renewed, id)
		}
	}
	r.renewed[id] = now
	delete(r.at, peer)
	return true
}

// Stuck reports whether a node has not answered for so long that it might not accept our handshakes.
func (t *Tunnel) Stuck(node string) bool { return t.heal.stuck(node, time.Now()) }

// Renew begins anew with a connector that says, by another way that verifies it, that its handshakes go
// unanswered: if they were refused as old ones, the clock that it had before is forgotten. It reports whether it was.
func (t *Tunnel) Renew(connector string) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wg == nil {
		return false, ErrDown
	}
	for _, p := range t.have {
		if p.ID != connector || p.Kind != Connector {
			continue
		}
		if !t.refused.take(p.ID, t.wg.LookupPeer(device.NoisePublicKey(p.Key)), time.Now()) {
			return false, nil
		}
		t.log.Warn("a connector's clock went back, forgetting the one that it had", "connector", connector)
		return true, errors.Join(t.wg.IpcSet(step{op: opRemove, peer: p}.config()), t.wg.IpcSet(step{op: opAdd, peer: p}.config()))
	}
	return false, nil
}

package tunnel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"

	"github.com/warrenedge/warren/shared/atomicfile"
	"github.com/warrenedge/warren/shared/wgkey"
)

// recall keeps where stock peers were last in a file, so that a node that has restarted can call them. They notice
// late: their session is gone, but WireGuard waits for 15 s after something that asks for an answer, and keepalives
// don't: then it is two minutes.
type recall struct {
	path string
	last map[string]whereabouts // as it is in the file; by peer id
}

type whereabouts struct {
	Key      wgkey.Public   `json:"public_key"`
	Endpoint netip.AddrPort `json:"endpoint"`
}

// load reads the file; that there is none is no error, and one that can't be read is as good as none.
func (r *recall) load() error {
	r.last = map[string]whereabouts{}
	if r.path == "" {
		return nil
	}
	b, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r.last)
	}
	if err != nil {
		r.last = map[string]whereabouts{}
		return fmt.Errorf("where stock peers were: %w", err)
	}
	return nil
}

// keep writes where the peers are that are configured now. One that is not heard of stays where it was, unless it has
// another key.
func (r *recall) keep(now []Peer, states map[string]PeerState) error {
	next := make(map[string]whereabouts, len(now))
	for _, p := range now {
		if s := states[p.ID]; s.Endpoint.IsValid() && s.Transport == TransportUDP {
			next[p.ID] = whereabouts{p.Key, s.Endpoint}
		} else if old, ok := r.last[p.ID]; ok && old.Key == p.Key {
			next[p.ID] = old
		}
	}
	if r.path == "" || maps.Equal(r.last, next) {
		return nil
	}
	b, err := json.Marshal(next)
	if err == nil {
		err = atomicfile.Write(r.path, b)
	}
	if err != nil {
		return fmt.Errorf("keep where stock peers are: %w", err)
	}
	r.last = next
	return nil
}

// meet calls a peer where it was last, unless it has called already.
func (t *Tunnel) meet(id string, at whereabouts) error {
	_, states := t.read()
	for _, s := range states {
		if s.ID != id || s.Endpoint.IsValid() {
			continue
		}
		t.mu.Lock()
		p, ok := t.have[at.Key]
		var err error
		if ok && p.ID == id && t.wg != nil {
			err = t.wg.IpcSet(fmt.Sprintf("public_key=%s\nupdate_only=true\nendpoint=%s\n", at.Key.Hex(), at.Endpoint))
		}
		t.mu.Unlock()
		if err != nil {
			return err
		}
		return t.call(id)
	}
	return nil
}

package tunnel

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/warrenedge/warren/shared/wgkey"
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

// ListenPort is the UDP port in use; 0 while there is no device.
func (t *Tunnel) ListenPort() uint16 {
	port, _ := t.read()
	return port
}

// Peers gives the state of every peer, ordered by id.
func (t *Tunnel) Peers() []PeerState {
	_, peers := t.read()
	slices.SortFunc(peers, func(a, b PeerState) int { return cmp.Compare(a.ID, b.ID) })
	return peers
}

// read asks the device.
func (t *Tunnel) read() (uint16, []PeerState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wg == nil {
		return 0, nil
	}
	r := stateReader{now: time.Now()}
	out := make([]PeerState, 0, len(t.have))
	r.each = func(key wgkey.Public, s PeerState) {
		if p, ok := t.have[key]; ok {
			s.ID, s.Kind = p.ID, p.Kind
			out = append(out, s)
		}
	}
	if err := t.wg.IpcGetOperation(&r); err != nil {
		t.log.Error("read tunnel state", "err", err)
		return 0, nil
	}
	for i := range out {
		t.judge(&out[i])
	}
	return r.port, out
}

// stateReader takes the answer of WireGuard's get operation, which comes in one piece and is not kept: one of its
// lines is the private key, and of thousands of peers it is a megabyte, every few seconds.
type stateReader struct {
	now  time.Time
	each func(wgkey.Public, PeerState) // called for each peer
	port uint16                        // it listens at

	key       wgkey.Public // of the peer that is being read; zero: none yet
	peer      PeerState
	sec, nsec int64
}

// Write reads all of it.
func (r *stateReader) Write(text []byte) (int, error) {
	for l := range bytes.Lines(text) {
		name, value, _ := bytes.Cut(bytes.TrimSuffix(l, []byte{'\n'}), []byte{'='})
		if err := r.line(name, value); err != nil { // without the value
			return 0, fmt.Errorf("WireGuard state, %s: %w", name, err)
		}
	}
	r.flush()
	return len(text), nil
}

func (r *stateReader) line(name, value []byte) (err error) {
	switch string(name) {
	case "listen_port":
		var n uint64
		n, err = strconv.ParseUint(string(value), 10, 16)
		r.port = uint16(n)
	case "public_key":
		r.flush()
		r.peer, r.sec, r.nsec = PeerState{}, 0, 0
		if len(value) != hex.EncodedLen(len(r.key)) {
			return wgkey.ErrSize
		}
		_, err = hex.Decode(r.key[:], value)
	case "endpoint":
		r.peer.Endpoint, r.peer.Transport, err = parseEndpoint(string(value))
	case "last_handshake_time_sec":
		r.sec, err = strconv.ParseInt(string(value), 10, 64)
	case "last_handshake_time_nsec":
		r.nsec, err = strconv.ParseInt(string(value), 10, 64)
	case "rx_bytes":
		r.peer.RxBytes, err = strconv.ParseUint(string(value), 10, 64)
	case "tx_bytes":
		r.peer.TxBytes, err = strconv.ParseUint(string(value), 10, 64)
	}
	return err
}

// flush hands over the peer that was read last.
func (r *stateReader) flush() {
	if r.key.IsZero() {
		return
	}
	if r.sec != 0 || r.nsec != 0 {
		r.peer.LastHandshake = time.Unix(r.sec, r.nsec)
		r.peer.Up = r.now.Sub(r.peer.LastHandshake) <= HandshakeTime
	}
	r.each(r.key, r.peer)
}

package tunnel

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/wgkey"
)

// Kind is what a peer is. It decides what the packet filter lets in from it.
type Kind int

// Kinds.
const (
	Mesh      Kind = iota + 1 // another node, seen from a node
	Connector                 // a connector, seen from a node
	Node                      // a node, seen from a connector
	Stock                     // a WireGuard device that knows nothing of us, seen from a node
)

func (k Kind) String() string {
	switch k {
	case Mesh:
		return "mesh"
	case Connector:
		return "connector"
	case Node:
		return "node"
	case Stock:
		return "stock"
	}
	return "unknown"
}

// Peer is the other end of one tunnel.
type Peer struct {
	ID        string
	Kind      Kind
	Key       wgkey.Public
	Endpoint  endpoint.Endpoint // where it is reached; zero: learned from its packets
	TLS       endpoint.Endpoint // of a node: its TLS port, for when UDP does not work; zero: none
	Addr      netip.Addr        // its only address inside the tunnel
	Keepalive time.Duration     // in whole seconds; zero: none
	Remind    time.Duration     // of a node with a TLS port, instead: how often translators of addresses are reminded of who calls it; zero: never
}

// PeerState is a peer and what its tunnel is doing.
type PeerState struct {
	ID               string
	Kind             Kind
	Endpoint         netip.AddrPort // in use now; zero when none is known
	Transport        string         // of packets to Endpoint: TransportUDP or TransportTLS; empty when none is known
	LastHandshake    time.Time      // zero: never
	RxBytes, TxBytes uint64
	// Up: the peer answers heartbeats; of one that has never sent any, that a session exists: the last
	// handshake is at most HandshakeTime ago. Of a stock peer, see liveness.StockJudge.
	Up        bool
	RoundTrip time.Duration // of heartbeats, or echoes; 0: not measured
	Loss      float64       // share of them without an answer, 0..1
}

// HandshakeTime is for how long a WireGuard session is valid (RejectAfterTime of the protocol).
const HandshakeTime = 180 * time.Second

// PeerError is about one peer of a Config. The other peers were applied.
type PeerError struct {
	ID  string
	Err error
}

func (e *PeerError) Error() string { return fmt.Sprintf("peer %s: %v", e.ID, e.Err) }

// Unwrap gives the cause.
func (e *PeerError) Unwrap() error { return e.Err }

// valid returns the peers that can be applied, and an error of joined *PeerError for those that can't. Of
// two with the same key or address the first is taken.
func valid(role FilterRole, self netip.Addr, own wgkey.Public, peers []Peer) ([]Peer, error) {
	var errs []error
	var out []Peer
	keys, addrs, ids := map[wgkey.Public]string{}, map[netip.Addr]string{}, map[string]bool{}
	for _, p := range peers {
		err := func() error {
			if err := p.check(role); err != nil {
				return err
			}
			if p.Key == own {
				return errors.New("its WireGuard key is our own")
			}
			if p.Addr == self {
				return fmt.Errorf("its overlay address %s is our own", p.Addr)
			}
			if ids[p.ID] {
				return errors.New("the id occurs twice")
			}
			if other, ok := keys[p.Key]; ok {
				return fmt.Errorf("its WireGuard key is that of peer %s", other)
			}
			if other, ok := addrs[p.Addr]; ok {
				return fmt.Errorf("its overlay address %s is that of peer %s", p.Addr, other)
			}
			return nil
		}()
		if err != nil {
			errs = append(errs, &PeerError{p.ID, err})
			continue
		}
		keys[p.Key], addrs[p.Addr], ids[p.ID] = p.ID, p.ID, true
		out = append(out, p)
	}
	return out, errors.Join(errs...)
}

// check looks at a peer by itself.
func (p Peer) check(role FilterRole) error {
	switch {
	case p.ID == "":
		return errors.New("no id")
	case p.Key.IsZero():
		return errors.New("no WireGuard key")
	case role == NodeRole && p.Kind != Mesh && p.Kind != Connector && p.Kind != Stock, role == ConnectorRole && p.Kind != Node:
		return fmt.Errorf("kind %s is no peer of a %s", p.Kind, role)
	case !fabric.Overlay.Contains(p.Addr):
		return fmt.Errorf("overlay address %v is not in %s", p.Addr, fabric.Overlay)
	case !reachable(p.Endpoint):
		return fmt.Errorf("endpoint %v can't be sent to", p.Endpoint.Addr)
	case !reachable(p.TLS):
		return fmt.Errorf("TLS port %v can't be dialled", p.TLS.Addr)
	case p.Remind < 0:
		return fmt.Errorf("reminders every %v: want 0 or more", p.Remind)
	case p.Keepalive < 0 || p.Keepalive > 65535*time.Second:
		return fmt.Errorf("keepalive %v is not from 0 to 65535 s", p.Keepalive)
	}
	return nil
}

// reachable reports whether an endpoint makes sense, if it is any.
func reachable(e endpoint.Endpoint) bool {
	if e == (endpoint.Endpoint{}) {
		return true
	}
	return e.Addr.Port() != 0 && (sendable(e.Addr.Addr()) || e.Host != "" && !e.Addr.IsValid())
}

// sendable reports whether an address may be that of a peer.
func sendable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !fabric.Overlay.Contains(a)
}

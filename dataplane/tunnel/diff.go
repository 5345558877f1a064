package tunnel

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/shared/wgkey"
)

// op is one kind of change to the peers of a device.
type op int

// Operations, in the order in which they are done. Addresses are taken away before they are given:
// WireGuard would move an address from one peer to another by itself, but then for a moment the packet
// filter would hold one peer for the other.
const (
	opRemove op = iota // the peer and its session
	opDetach           // the addresses of a peer whose address changes
	opUpdate           // what differs; the session stays
	opAdd
)

func (o op) String() string { return [...]string{"remove", "detach", "update", "add"}[o] }

// step is one change to one peer.
type step struct {
	op   op
	peer Peer // want, or for opRemove and opDetach what is there
	old  Peer // for opUpdate: what is there
}

func (s step) String() string { return fmt.Sprintf("%s peer %s", s.op, s.peer.ID) }

// diff says how to get from one set of peers to another. Peers that are equal don't occur in it. Both
// sets hold each key and each address once. The order of the result depends on nothing but the values.
func diff(have, want []Peer) []step {
	byKey := func(ps []Peer) map[wgkey.Public]Peer {
		m := make(map[wgkey.Public]Peer, len(ps))
		for _, p := range ps {
			m[p.Key] = p
		}
		return m
	}
	haveBy, wantBy := byKey(have), byKey(want)
	var steps []step
	for _, p := range have {
		if _, ok := wantBy[p.Key]; !ok {
			steps = append(steps, step{op: opRemove, peer: p})
		}
	}
	for _, p := range want {
		old, ok := haveBy[p.Key]
		switch {
		case !ok:
			steps = append(steps, step{op: opAdd, peer: p})
		case old != p:
			if old.Addr != p.Addr {
				steps = append(steps, step{op: opDetach, peer: old})
			}
			steps = append(steps, step{op: opUpdate, peer: p, old: old})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int {
		return cmp.Or(cmp.Compare(a.op, b.op), cmp.Compare(a.peer.ID, b.peer.ID), slices.Compare(a.peer.Key[:], b.peer.Key[:]))
	})
	return steps
}

// takes reports whether the step takes something away; those come first.
func (s step) takes() bool { return s.op == opRemove || s.op == opDetach }

// config is the step in WireGuard's configuration protocol (https://www.wireguard.com/xplatform/), empty
// when the device has nothing to do. An endpoint is written only when the wanted one changes: what the
// device has learned since then is newer, and all that is known of a connector.
func (s step) config() string {
	var b strings.Builder
	line := func(key string, value any) { fmt.Fprintf(&b, "%s=%v\n", key, value) }
	switch s.op {
	case opRemove:
		line("remove", true)
	case opDetach:
		line("update_only", true)
		line("replace_allowed_ips", true)
	case opAdd:
		line("replace_allowed_ips", true)
		line("allowed_ip", host(s.peer.Addr))
		if s.peer.Endpoint.Addr.IsValid() {
			line("endpoint", s.peer.Endpoint.Addr)
		}
		line("persistent_keepalive_interval", seconds(s.peer.Keepalive))
	case opUpdate:
		if s.peer.Addr != s.old.Addr {
			line("allowed_ip", host(s.peer.Addr))
		}
		if s.peer.Endpoint.Addr.IsValid() && s.peer.Endpoint.Addr != s.old.Endpoint.Addr {
			line("endpoint", s.peer.Endpoint.Addr)
		}
		if seconds(s.peer.Keepalive) != seconds(s.old.Keepalive) {
			line("persistent_keepalive_interval", seconds(s.peer.Keepalive))
		}
		if b.Len() == 0 { // a name or kind: ours alone
			return ""
		}
		return fmt.Sprintf("public_key=%s\nupdate_only=true\n%s", s.peer.Key.Hex(), b.String())
	}
	return fmt.Sprintf("public_key=%s\n%s", s.peer.Key.Hex(), b.String())
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// seconds rounds up: a keepalive that is asked for is never none.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

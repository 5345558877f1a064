package model

import (
	"net/netip"
	"slices"

	"github.com/warrenedge/warren/shared/endpoint"
)

// What an operator may pin of a node.
const (
	PinAddresses = "addresses"
	PinWireGuard = "wireguard_endpoint"
	PinStream    = "stream_endpoint"
	PinGossip    = "gossip_endpoint"
)

// Reach is where a node says that it is reached. What is zero is not said.
type Reach struct {
	Addresses                 []netip.Addr // sorted
	WireGuard, Stream, Gossip endpoint.Endpoint
}

// Hear takes a node's own word, but where an operator wrote something, or it says nothing.
func (n *Node) Hear(r Reach) {
	if len(r.Addresses) > 0 && !slices.Contains(n.Pinned, PinAddresses) {
		n.Addresses = slices.Clone(r.Addresses)
	}
	for _, e := range n.heard(r) {
		if !slices.Contains(n.Pinned, e.pin) {
			*e.into = e.said
		}
	}
}

// Unheard names what a node says otherwise than an operator wrote it.
func (n *Node) Unheard(r Reach) []string {
	var out []string
	if len(r.Addresses) > 0 && slices.Contains(n.Pinned, PinAddresses) && !slices.Equal(r.Addresses, n.Addresses) {
		out = append(out, PinAddresses)
	}
	for _, e := range n.heard(r) {
		if slices.Contains(n.Pinned, e.pin) && *e.into != e.said {
			out = append(out, e.pin)
		}
	}
	return out
}

type heard struct {
	pin  string
	said endpoint.Endpoint
	into *endpoint.Endpoint
}

// heard pairs the endpoints that a node says with those that it has.
func (n *Node) heard(r Reach) []heard {
	all := []heard{{PinWireGuard, r.WireGuard, &n.WireGuardEndpoint}, {PinStream, r.Stream, &n.StreamEndpoint}, {PinGossip, r.Gossip, &n.GossipEndpoint}}
	return slices.DeleteFunc(all, func(h heard) bool { return h.said.IsZero() })
}

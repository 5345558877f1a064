package model

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"
)

func TestHear(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	e, f := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")
	was := Node{Addresses: []netip.Addr{a}, WireGuardEndpoint: e, StreamEndpoint: e, GossipEndpoint: e}
	said := Reach{Addresses: []netip.Addr{b}, WireGuard: f, Stream: f, Gossip: f}
	for name, c := range map[string]struct {
		pinned  []string
		said    Reach
		want    Node
		unheard []string
	}{
		"nothing":        {nil, Reach{}, was, nil},
		"all":            {nil, said, Node{Addresses: []netip.Addr{b}, WireGuardEndpoint: f, StreamEndpoint: f, GossipEndpoint: f}, nil},
		"one":            {nil, Reach{Stream: f}, Node{Addresses: []netip.Addr{a}, WireGuardEndpoint: e, StreamEndpoint: f, GossipEndpoint: e}, nil},
		"all are pinned": {[]string{PinAddresses, PinGossip, PinStream, PinWireGuard}, said, was, []string{PinAddresses, PinWireGuard, PinStream, PinGossip}},
		"one is pinned":  {[]string{PinWireGuard}, said, Node{Addresses: []netip.Addr{b}, WireGuardEndpoint: e, StreamEndpoint: f, GossipEndpoint: f}, []string{PinWireGuard}},
		"pinned alike":   {[]string{PinAddresses, PinStream}, Reach{Addresses: []netip.Addr{a}, Stream: e}, was, nil},
	} {
		n := was
		n.Pinned, c.want.Pinned = c.pinned, c.pinned
		if n.Hear(c.said); !reflect.DeepEqual(n, c.want) {
			t.Errorf("%s: %+v, want %+v", name, n, c.want)
		}
		if got := n.Unheard(c.said); !slices.Equal(got, c.unheard) {
			t.Errorf("%s: unheard %v, want %v", name, got, c.unheard)
		}
	}
}

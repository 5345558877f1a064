package model

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/warrenedge/warren/shared/endpoint"
)

func TestHear(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	e, f := endpoint.MustParse("192.0.2.1:1"), endpoint.MustParse("edge.example.org:2")
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

func TestWhereNothingIsSaid(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	name, fixed := endpoint.MustParse("edge.example.org:8443"), endpoint.MustParse("192.0.2.9:1")
	for text, c := range map[string]struct {
		n                         Node
		wireguard, stream, gossip string // with the address behind a name
	}{
		"nothing is known":       {Node{}, " ", " ", " "},
		"addresses":              {Node{Addresses: []netip.Addr{a, b}}, " ", "192.0.2.1:443 ", "192.0.2.1:7946 "},
		"names":                  {Node{WireGuardEndpoint: name, StreamEndpoint: name, GossipEndpoint: name}, " edge.example.org:8443", " edge.example.org:8443", " edge.example.org:8443"},
		"names, with an address": {Node{Addresses: []netip.Addr{b}, WireGuardEndpoint: name, StreamEndpoint: name}, "[2001:db8::1]:8443 edge.example.org:8443", "[2001:db8::1]:8443 edge.example.org:8443", "[2001:db8::1]:7946 "},
		"said":                   {Node{Addresses: []netip.Addr{b}, WireGuardEndpoint: fixed, StreamEndpoint: fixed}, "192.0.2.9:1 ", "192.0.2.9:1 ", "[2001:db8::1]:7946 "},
	} {
		for what, p := range map[string]struct {
			got  endpoint.Endpoint
			want string
		}{"wireguard": {c.n.WireGuard(), c.wireguard}, "stream": {c.n.Stream(), c.stream}, "gossip": {c.n.Gossip(), c.gossip}} {
			if got := p.got.Fixed() + " " + p.got.Named(); got != p.want {
				t.Errorf("%s, %s: %q, want %q", text, what, got, p.want)
			}
		}
	}
}

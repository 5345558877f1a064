package fabric

import (
	"bufio"
	"bytes"
	"net/netip"
	"testing"

	"github.com/pires/go-proxyproto"
)

func TestProxyHeader(t *testing.T) {
	for _, tt := range []struct {
		client, local string
		v1            string
	}{
		{"203.0.113.9:4711", "198.51.100.1:22", "PROXY TCP4 203.0.113.9 198.51.100.1 4711 22\r\n"},
		{"[::ffff:203.0.113.9]:4711", "[::ffff:198.51.100.1]:22", "PROXY TCP4 203.0.113.9 198.51.100.1 4711 22\r\n"},
		{"[2001:db8::1]:4711", "[2001:db8::2]:22", "PROXY TCP6 2001:db8::1 2001:db8::2 4711 22\r\n"},
		{"[fe80::1%eth0]:4711", "[fe80::2%eth0]:22", "PROXY TCP6 fe80::1 fe80::2 4711 22\r\n"},
		{"203.0.113.9:4711", "[2001:db8::2]:22", "PROXY TCP6 ::ffff:203.0.113.9 2001:db8::2 4711 22\r\n"},
	} {
		b, err := ProxyHeader(1, ap(tt.client), ap(tt.local))
		if err != nil || string(b) != tt.v1 {
			t.Errorf("%s, version 1: %q, %v, want %q", tt.client, b, err, tt.v1)
		}
		b, err = ProxyHeader(2, ap(tt.client), ap(tt.local))
		if err != nil {
			t.Fatal(err)
		}
		h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			t.Fatal(err)
		}
		client, _ := addrPort(h.SourceAddr)
		local, _ := addrPort(h.DestinationAddr)
		if h.Version != 2 || client.Addr() != ap(tt.client).Addr().Unmap().WithZone("") || client.Port() != 4711 || local.Port() != 22 {
			t.Errorf("%s, version 2: %v to %v", tt.client, client, local)
		}
	}
	if b, err := ProxyHeader(0, netip.AddrPort{}, netip.AddrPort{}); len(b) != 0 || err != nil {
		t.Errorf("version 0: %q, %v", b, err)
	}
	for _, version := range []int{-1, 3} {
		if _, err := ProxyHeader(version, ap("203.0.113.9:1"), ap("198.51.100.1:1")); err == nil {
			t.Errorf("version %d is written", version)
		}
	}
	if _, err := ProxyHeader(1, netip.AddrPort{}, ap("198.51.100.1:1")); err == nil {
		t.Error("written without a client")
	}
}

package tunnel

import (
	"net/netip"
	"testing"
	"time"
)

func TestMoved(t *testing.T) {
	e1, e2 := netip.MustParseAddrPort("192.0.2.1:51820"), netip.MustParseAddrPort("[2001:db8::1]:51820")
	a, b := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("203.0.113.7")
	six, none := netip.MustParseAddr("2001:db8::7"), netip.Addr{}
	type m = map[netip.AddrPort]netip.Addr
	for _, tt := range []struct {
		name       string
		have, want m
		moved      bool
	}{
		{"nothing", nil, nil, false},
		{"as before", m{e1: a, e2: six}, m{e1: a, e2: six}, false},
		{"another address", m{e1: a, e2: six}, m{e1: b, e2: six}, true},
		{"no way any more", m{e1: a}, m{e1: none}, false},
		{"a way again", m{e1: none}, m{e1: a}, true},
		{"IPv6 goes, IPv4 stays", m{e1: a, e2: six}, m{e1: a, e2: none}, false},
		{"IPv6 comes", m{e1: a, e2: none}, m{e1: a, e2: six}, true},
		{"a new peer", m{e1: a}, m{e1: a, e2: six}, false},
		{"a peer less", m{e1: a, e2: six}, m{e1: a}, false},
	} {
		if got := moved(tt.have, tt.want); got != tt.moved {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestJump(t *testing.T) {
	for _, tt := range []struct {
		wall, monotonic time.Duration
		ok              bool
	}{
		{time.Second, time.Second, false},
		{time.Second + 200*time.Millisecond, time.Second, false}, // a clock that is slewed
		{8 * time.Hour, time.Second, true},                       // suspended
		{-time.Hour, time.Second, true},                          // set back
		{time.Hour, time.Hour, false},                            // this process was stopped
	} {
		if by, ok := jump(tt.wall, tt.monotonic); ok != tt.ok || by != tt.wall-tt.monotonic {
			t.Errorf("%v against %v: %v, %v", tt.wall, tt.monotonic, by, ok)
		}
	}
}

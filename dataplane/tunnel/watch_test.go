package tunnel

import (
	"net/netip"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/liveness"
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
	for name, tt := range map[string]struct {
		wall, boot, monotonic time.Duration
		by                    time.Duration
		ok                    bool
	}{
		"nothing":                              {time.Second, time.Second, time.Second, 0, false},
		"a clock that is slewed":               {1200 * time.Millisecond, time.Second, time.Second, 200 * time.Millisecond, false},
		"suspended":                            {8 * time.Hour, 8 * time.Hour, time.Second, 8*time.Hour - time.Second, true},
		"suspended, and the clock is set back": {time.Second, 8 * time.Hour, time.Second, 8*time.Hour - time.Second, true},
		"set back":                             {-time.Hour, time.Second, time.Second, -time.Hour - time.Second, true},
		"set forward":                          {time.Hour, time.Second, time.Second, time.Hour - time.Second, true},
		"this process was stopped":             {time.Hour, time.Hour, time.Hour, 0, false},
	} {
		last := clocks{wall: time.Unix(1_800_000_000, 0), monotonic: 7 * time.Hour, boot: 9 * time.Hour}
		now := clocks{wall: last.wall.Add(tt.wall), monotonic: last.monotonic + tt.monotonic, boot: last.boot + tt.boot}
		if by, ok := now.jump(last); ok != tt.ok || by != tt.by {
			t.Errorf("%s: %v, %v; want %v, %v", name, by, ok, tt.by, tt.ok)
		}
	}
	if by, ok := readClocks().jump(readClocks()); ok || by.Abs() > time.Second {
		t.Errorf("the system's own clocks: %v, %v", by, ok)
	}
}

// A jump begins anew with every path at once, however long its next try was away.
func TestAfterAJumpNothingIsWaitedFor(t *testing.T) {
	tun, err := New(options(t, ConnectorRole))
	if err != nil {
		t.Fatal(err)
	}
	h := tun.heal
	now := time.Now()
	var r liveness.Recovery
	r.Observe(liveness.Down, now)
	for range 10 {
		if due, _ := r.Next(); !due.After(now) {
			r.Round(now)
		}
	}
	h.paths["node"], h.paths["up"] = &r, new(liveness.Recovery)
	h.clockJumped(8 * time.Hour)
	for id, r := range h.paths {
		if due, ok := r.Next(); !ok || due.After(time.Now()) {
			t.Errorf("%s: due %v, %v", id, due, ok)
		}
	}
}

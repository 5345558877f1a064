package tunnel

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/wgkey"
)

func TestValid(t *testing.T) {
	own := wgkey.Public{0xff}
	good := testPeer("good", 1, 0xa)
	for _, tt := range []struct {
		name string
		role FilterRole
		in   Peer
		want string // "" = taken
	}{
		{"good", NodeRole, testPeer("x", 2, 0xb), ""},
		{"no id", NodeRole, testPeer("", 2, 0xb), "no id"},
		{"no key", NodeRole, testPeer("x", 0, 0xb), "no WireGuard key"},
		{"our key", NodeRole, testPeer("x", 0xff, 0xb), "is our own"},
		{"our address", NodeRole, testPeer("x", 2, 1), "is our own"},
		{"key twice", NodeRole, testPeer("x", 1, 0xb), "is that of peer good"},
		{"address twice", NodeRole, testPeer("x", 2, 0xa), "is that of peer good"},
		{"id twice", NodeRole, testPeer("good", 2, 0xb), "occurs twice"},
		{"no kind", NodeRole, with(testPeer("x", 2, 0xb), func(p *Peer) { p.Kind = 0 }), "kind unknown is no peer of a node"},
		{"a node's own view of a node", NodeRole, with(testPeer("x", 2, 0xb), func(p *Peer) { p.Kind = Node }), "kind node is no peer of a node"},
		{"two connectors", ConnectorRole, testPeer("x", 2, 0xb), "kind connector is no peer of a connector"},
		{"no address", NodeRole, with(testPeer("x", 2, 0xb), func(p *Peer) { p.Addr = netip.Addr{} }), "is not in fd57"},
		{"a public address", NodeRole, with(testPeer("x", 2, 0xb), func(p *Peer) { p.Addr = netip.MustParseAddr("2001:db8::1") }), "is not in fd57"},
		{"endpoint without port", NodeRole, with(testPeer("x", 2, 0xb), func(p *Peer) { p.Endpoint = endpoint.At(netip.MustParseAddrPort("192.0.2.1:0")) }), "can't be sent to"},
		{"endpoint without address", NodeRole, with(testPeer("x", 2, 0xb), func(p *Peer) { p.Endpoint = endpoint.At(netip.AddrPortFrom(netip.Addr{}, 1)) }), "can't be sent to"},
		{"endpoint 0.0.0.0", NodeRole, with(testPeer("x", 2, 0xb), func(p *Peer) { p.Endpoint = endpoint.At(netip.MustParseAddrPort("0.0.0.0:1")) }), "can't be sent to"},
		{"keepalive", NodeRole, with(testPeer("x", 2, 0xb), func(p *Peer) { p.Keepalive = 19 * time.Hour }), "is not from 0 to 65535 s"},
		{"negative keepalive", NodeRole, with(testPeer("x", 2, 0xb), func(p *Peer) { p.Keepalive = -1 }), "is not from 0 to 65535 s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := good
			if tt.role == ConnectorRole {
				g.Kind = Node
			}
			out, err := valid(tt.role, us, own, []Peer{g, tt.in})
			if tt.want == "" {
				if err != nil || len(out) != 2 {
					t.Errorf("%d peers, %v", len(out), err)
				}
				return
			}
			var pe *PeerError
			if !errors.As(err, &pe) || pe.ID != tt.in.ID || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q about peer %q", err, tt.want, tt.in.ID)
			}
			if len(out) != 1 || out[0].ID != "good" {
				t.Errorf("peers %v, want the good one", out)
			}
		})
	}
}

func TestStateReader(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	key := func(b string) string { return "public_key=" + strings.Repeat(b, 32) + "\n" }
	text := "private_key=" + strings.Repeat("77", 32) + "\nlisten_port=51820\n" +
		key("01") + "preshared_key=" + strings.Repeat("00", 32) + "\nprotocol_version=1\nendpoint=[2001:db8::1]:4711\n" +
		"last_handshake_time_sec=999820\nlast_handshake_time_nsec=5\ntx_bytes=7\nrx_bytes=8\npersistent_keepalive_interval=5\nallowed_ip=fd57:6172:7265::1/128\n" +
		key("02") + "last_handshake_time_sec=999819\nlast_handshake_time_nsec=999999999\n" +
		key("03") + "last_handshake_time_sec=0\nlast_handshake_time_nsec=0\n" +
		key("04") + "endpoint=tls:192.0.2.1:443\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\n"
	got := map[wgkey.Public]PeerState{}
	r := stateReader{now: now, each: func(key wgkey.Public, s PeerState) { got[key] = s }}
	if _, err := r.Write([]byte(text)); err != nil || r.port != 51820 {
		t.Fatalf("port %d, %v", r.port, err)
	}
	k := func(b byte) (out wgkey.Public) {
		for i := range out {
			out[i] = b
		}
		return out
	}
	want := map[wgkey.Public]PeerState{
		k(1): {Endpoint: netip.MustParseAddrPort("[2001:db8::1]:4711"), Transport: TransportUDP, LastHandshake: time.Unix(999820, 5), TxBytes: 7, RxBytes: 8, Up: true},
		k(2): {LastHandshake: time.Unix(999819, 999999999)},
		k(3): {},
		k(4): {Endpoint: netip.MustParseAddrPort("192.0.2.1:443"), Transport: TransportTLS},
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	for line, says := range map[string]string{"listen_port=x": "listen_port", "public_key=" + strings.Repeat("01", 31): "public_key", "public_key=" + strings.Repeat("0g", 32): "public_key"} {
		_, err := (&stateReader{now: now}).Write([]byte("private_key=" + strings.Repeat("77", 32) + "\n" + line + "\n"))
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "7777") {
			t.Errorf("%s: error %v", line, err)
		}
	}
}

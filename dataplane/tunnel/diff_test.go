package tunnel

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/wgkey"
)

// testPeer is a connector with key and address made of small numbers.
func testPeer(id string, key, addr byte) Peer {
	p := Peer{ID: id, Kind: Connector, Key: wgkey.Public{key}}
	a := us.As16()
	a[15] = addr
	p.Addr = netip.AddrFrom16(a)
	return p
}

func with(p Peer, f func(*Peer)) Peer { f(&p); return p }

func TestDiff(t *testing.T) {
	a, b, c := testPeer("a", 1, 0xa), testPeer("b", 2, 0xb), testPeer("c", 3, 0xc)
	mesh := with(testPeer("m", 4, 0xd), func(p *Peer) {
		p.Kind, p.Endpoint, p.Keepalive = Mesh, endpoint.MustParse("192.0.2.1:51820"), 15*time.Second
	})
	for _, tt := range []struct {
		name       string
		have, want []Peer
		steps      string
	}{
		{"nothing", nil, nil, ""},
		{"the same", []Peer{a, b, mesh}, []Peer{mesh, b, a}, ""},
		{"from nothing", nil, []Peer{b, a}, "add a, add b"},
		{"to nothing", []Peer{b, a}, nil, "remove a, remove b"},
		{"one comes, one goes, one stays", []Peer{a, b}, []Peer{b, c}, "remove a, add c"},
		{"endpoint", []Peer{mesh}, []Peer{with(mesh, func(p *Peer) { p.Endpoint = endpoint.MustParse("192.0.2.2:1") })}, "update m"},
		{"address", []Peer{a}, []Peer{with(a, func(p *Peer) { p.Addr = c.Addr })}, "detach a, update a"},
		{"new key for the same peer", []Peer{a}, []Peer{with(a, func(p *Peer) { p.Key = wgkey.Public{9} })}, "remove a, add a"},
		{"an address moves to a new peer", []Peer{a, b}, []Peer{b, with(c, func(p *Peer) { p.Addr = a.Addr })}, "remove a, add c"},
		{"an address moves to an old peer", []Peer{a, b}, []Peer{with(b, func(p *Peer) { p.Addr = a.Addr })}, "remove a, detach b, update b"},
		{"two swap addresses", []Peer{a, b}, []Peer{with(a, func(p *Peer) { p.Addr = b.Addr }), with(b, func(p *Peer) { p.Addr = a.Addr })}, "detach a, detach b, update a, update b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, s := range diff(tt.have, tt.want) {
				got = append(got, s.op.String()+" "+s.peer.ID)
			}
			if d := cmp.Diff(tt.steps, strings.Join(got, ", ")); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func TestStepConfig(t *testing.T) {
	a := testPeer("a", 1, 0xa)
	mesh := with(a, func(p *Peer) {
		p.Kind, p.Endpoint, p.Keepalive = Mesh, endpoint.MustParse("[2001:db8::1]:51820"), 1500*time.Millisecond
	})
	key := "public_key=01" + strings.Repeat("00", 31) + "\n"
	for _, tt := range []struct {
		name string
		in   step
		want string
	}{
		{"remove", step{op: opRemove, peer: a}, key + "remove=true\n"},
		{"detach", step{op: opDetach, peer: a}, key + "update_only=true\nreplace_allowed_ips=true\n"},
		{"add one that will call", step{op: opAdd, peer: a}, key + "replace_allowed_ips=true\nallowed_ip=fd57:6172:7265::a/128\npersistent_keepalive_interval=0\n"},
		{"add one to call", step{op: opAdd, peer: mesh}, key + "replace_allowed_ips=true\nallowed_ip=fd57:6172:7265::a/128\nendpoint=[2001:db8::1]:51820\npersistent_keepalive_interval=2\n"},
		{"update of an endpoint", step{op: opUpdate, peer: mesh, old: with(mesh, func(p *Peer) { p.Endpoint = endpoint.Endpoint{} })}, key + "update_only=true\nendpoint=[2001:db8::1]:51820\n"},
		{"an endpoint that is no longer set is learned from now on", step{op: opUpdate, peer: with(mesh, func(p *Peer) { p.Endpoint = endpoint.Endpoint{} }), old: mesh}, ""},
		{"update of the keepalive", step{op: opUpdate, peer: with(a, func(p *Peer) { p.Keepalive = 5 * time.Second }), old: a}, key + "update_only=true\npersistent_keepalive_interval=5\n"},
		{"update after detach", step{op: opUpdate, peer: a, old: with(a, func(p *Peer) { p.Addr = us })}, key + "update_only=true\nallowed_ip=fd57:6172:7265::a/128\n"},
		{"another name", step{op: opUpdate, peer: with(a, func(p *Peer) { p.ID = "z" }), old: a}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, tt.in.config()); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

// fakeDevice is what WireGuard's configuration protocol means, without WireGuard.
type fakeDevice struct {
	t     *testing.T
	peers map[string]map[string]string // by key; "allowed" is the address
	made  map[string]int               // how often a peer was made: its sessions
}

func (d *fakeDevice) set(config string) {
	var cur map[string]string
	var key string
	for l := range strings.Lines(config) {
		k, v, _ := strings.Cut(strings.TrimSpace(l), "=")
		switch k {
		case "public_key":
			key = v
			if cur = d.peers[key]; cur == nil {
				cur = map[string]string{}
				d.peers[key] = cur
				d.made[key]++
			}
		case "remove":
			delete(d.peers, key)
		case "update_only":
			if d.made[key] == 0 {
				d.t.Errorf("update of an unknown peer %s", key)
			}
		case "replace_allowed_ips":
			delete(cur, "allowed")
		case "allowed_ip":
			for other, p := range d.peers {
				if p["allowed"] == v && other != key {
					d.t.Errorf("%s given to %s while %s has it", v, key, other)
				}
			}
			if cur["allowed"] != "" && cur["allowed"] != v {
				d.t.Errorf("peer %s has two addresses", key)
			}
			cur["allowed"] = v
		default:
			cur[k] = v
		}
	}
}

// Any way through any states ends where a new device would be, and peers that stay are made once.
func TestDiffLeadsThere(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func() []Peer {
		addrs := rng.Perm(8)
		var ps []Peer
		for key := range 6 {
			if rng.IntN(3) == 0 {
				continue
			}
			p := testPeer("p"+strconv.Itoa(key), byte(key+1), byte(addrs[key]+16))
			p.Keepalive = time.Duration(rng.IntN(2)) * time.Second
			ps = append(ps, p)
		}
		return ps
	}
	d := &fakeDevice{t: t, peers: map[string]map[string]string{}, made: map[string]int{}}
	var have []Peer
	made := map[string]int{}
	for range 2000 {
		want := draw()
		there := map[wgkey.Public]bool{}
		for _, p := range have {
			there[p.Key] = true
		}
		for _, p := range want {
			if !there[p.Key] {
				made[p.Key.Hex()]++
			}
		}
		for _, s := range diff(have, want) {
			if c := s.config(); c != "" {
				d.set(c)
			}
		}
		fresh := &fakeDevice{t: t, peers: map[string]map[string]string{}, made: map[string]int{}}
		for _, s := range diff(nil, want) {
			fresh.set(s.config())
		}
		if diff := cmp.Diff(fresh.peers, d.peers); diff != "" {
			t.Fatalf("-a new device +this one\n%s", diff)
		}
		have = want
	}
	if diff := cmp.Diff(made, d.made); diff != "" {
		t.Errorf("peers that stay lost their sessions: -want +got\n%s", diff)
	}
}

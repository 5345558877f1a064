package tunnel

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"github.com/warrenedge/warren/shared/wgkey"
)

// gated is a gate, and what it says.
type gated struct {
	*gate
	key     wgkey.Public
	refused [refusalKinds]int
	replies [][]byte
	to      []conn.Endpoint
}

func newGated(t testing.TB) *gated {
	t.Helper()
	key, err := wgkey.New()
	if err != nil {
		t.Fatal(err)
	}
	g := &gated{key: key.Public()}
	g.gate = newGate(device.NoisePublicKey(g.key),
		func(p []byte, to conn.Endpoint) { g.replies, g.to = append(g.replies, p), append(g.to, to) }, func(why refusal) { g.refused[why]++ })
	return g
}

// message is the first or second one of a handshake with the macs that it needs, which is all that the gate looks at.
func message(kind byte, size int, key wgkey.Public, n uint32, cookie []byte) []byte {
	p := make([]byte, size)
	p[0] = kind
	binary.LittleEndian.PutUint32(p[4:], n)
	smac1, smac2 := size-2*blake2s.Size128, size-blake2s.Size128
	label := blake2s.Sum256(append([]byte(device.WGLabelMAC1), key[:]...))
	mac := func(key, of []byte) []byte {
		h, err := blake2s.New128(key)
		if err != nil {
			panic(err)
		}
		h.Write(of)
		return h.Sum(nil)
	}
	copy(p[smac1:], mac(label[:], p[:smac1]))
	if cookie != nil {
		copy(p[smac2:], mac(cookie, p[:smac2]))
	}
	return p
}

func initiationOf(key wgkey.Public, n uint32, cookie []byte) []byte {
	return message(device.MessageInitiationType, device.MessageInitiationSize, key, n, cookie)
}

func endpointOf(s string) conn.Endpoint {
	return &conn.StdNetEndpoint{AddrPort: netip.MustParseAddrPort(s)}
}

// open reads a cookie as the peer does that has sent a message.
func open(t *testing.T, key wgkey.Public, reply, asked []byte) []byte {
	t.Helper()
	if len(reply) != device.MessageCookieReplySize || binary.LittleEndian.Uint32(reply) != device.MessageCookieReplyType {
		t.Fatalf("no cookie: %x", reply)
	}
	if got, want := binary.LittleEndian.Uint32(reply[4:]), binary.LittleEndian.Uint32(asked[4:]); got != want {
		t.Errorf("the cookie is for sender %d, want %d", got, want)
	}
	label := blake2s.Sum256(append([]byte(device.WGLabelCookie), key[:]...))
	aead, err := chacha20poly1305.NewX(label[:])
	if err != nil {
		t.Fatal(err)
	}
	cookie, err := aead.Open(nil, reply[8:32], reply[32:], asked[len(asked)-2*blake2s.Size128:len(asked)-blake2s.Size128])
	if err != nil {
		t.Fatalf("the cookie can't be read: %v", err)
	}
	return cookie
}

func TestGateRefusesWhatIsNoHandshake(t *testing.T) {
	now := time.Now()
	g := newGated(t)
	other := newGated(t).key
	from := endpointOf("192.0.2.1:1000")
	for _, tt := range []struct {
		name string
		p    []byte
		want bool
		why  refusal
	}{
		{"data", append([]byte{4, 0, 0, 0}, make([]byte, 60)...), true, 0},
		{"keepalive", append([]byte{4, 0, 0, 0}, make([]byte, 28)...), true, 0},
		{"initiation", initiationOf(g.key, 1, nil), true, 0},
		{"response", message(device.MessageResponseType, device.MessageResponseSize, g.key, 1, nil), true, 0},
		{"cookie", append([]byte{3, 0, 0, 0}, make([]byte, 60)...), true, 0},
		{"initiation for another key", initiationOf(other, 1, nil), false, refusedMAC},
		{"response for another key", message(device.MessageResponseType, device.MessageResponseSize, other, 1, nil), false, refusedMAC},
		{"initiation too long", append(initiationOf(g.key, 1, nil), 0), false, refusedForm},
		{"initiation as long as a response", initiationOf(g.key, 1, nil)[:device.MessageResponseSize], false, refusedForm},
		{"cookie too short", append([]byte{3, 0, 0, 0}, make([]byte, 59)...), false, refusedForm},
		{"unknown kind", append([]byte{5, 0, 0, 0}, make([]byte, 60)...), false, refusedForm},
		{"reserved octets in use", append([]byte{4, 0, 0, 1}, make([]byte, 60)...), false, refusedForm},
	} {
		before := g.refused
		if got := g.pass(tt.p, from, now); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
		if !tt.want {
			before[tt.why]++
		}
		if g.refused != before {
			t.Errorf("%s: refusals %v, want %v", tt.name, g.refused, before)
		}
	}
	if g.pass([]byte{1, 0, 0}, from, now) {
		t.Error("three octets pass")
	}
}

// However many strangers there are, WireGuard is given few of their handshakes, and few are told anything.
func TestT18GateBoundsAFlood(t *testing.T) {
	const perSecond, seconds = 30000, 10
	g := newGated(t)
	now := time.Now()
	passed := 0
	p := initiationOf(g.key, 1, nil)
	for i := range perSecond * seconds {
		now = now.Add(time.Second / perSecond)
		if g.pass(p, endpointOf(fmt.Sprintf("192.0.%d.%d:1000", i>>8&255, i&255)), now) {
			passed++
		}
	}
	if most := 2*atOnce + loadRate*seconds; passed > most || passed < loadRate*seconds/2 {
		t.Errorf("%d passed in %d s, want at most %d", passed, seconds, most)
	}
	if most := replyBurst + replyRate*seconds; len(g.replies) > most {
		t.Errorf("%d cookies told, want at most %d", len(g.replies), most)
	}
}

// flooded leaves no room for anybody without a proof.
func (g *gated) flooded(now time.Time) {
	p := initiationOf(g.key, 7, nil)
	for range 2 * atOnce {
		g.pass(p, endpointOf("203.0.113.1:1"), now)
	}
	g.replies, g.to = nil, nil
}

// Whoever is there, and shows it, is let in while others flood; from elsewhere its proof is none.
func TestGateLetsInWhoShowsThatItIsThere(t *testing.T) {
	for _, addr := range []string{"198.51.100.1:4000", "[2001:db8::1]:4000"} {
		g := newGated(t)
		now := time.Now()
		g.flooded(now)
		from, asked := endpointOf(addr), initiationOf(g.key, 99, nil)
		if g.pass(asked, from, now) || len(g.replies) != 1 || g.to[0] != from {
			t.Fatalf("%s: without a proof: %d cookies", addr, len(g.replies))
		}
		proven := initiationOf(g.key, 100, open(t, g.key, g.replies[0], asked))
		if g.pass(proven, endpointOf("192.0.2.200:4000"), now) {
			t.Errorf("%s: its proof is good from elsewhere", addr)
		}
		for i := range provenBurst {
			if !g.pass(proven, from, now) {
				t.Errorf("%s: refused at %d with a proof", addr, i)
			}
		}
		if g.pass(proven, from, now) {
			t.Errorf("%s: more than %d at once from one source", addr, provenBurst)
		}
		if g.flooded(now.Add(time.Second / provenRate)); !g.pass(proven, from, now.Add(time.Second/provenRate)) {
			t.Errorf("%s: refused after %v", addr, time.Second/provenRate)
		}
	}
}

// After a flood everything is as before.
func TestGateForgetsAFlood(t *testing.T) {
	g := newGated(t)
	now := time.Now()
	g.flooded(now)
	now = now.Add(2 * loadLasts)
	p := initiationOf(g.key, 1, nil)
	for range calmRate {
		now = now.Add(time.Second / calmRate)
		if !g.pass(p, endpointOf("192.0.2.1:1"), now) {
			t.Fatal("refused, though it is calm")
		}
	}
	g.flooded(now)
	if !g.pass(p, endpointOf("192.0.2.1:1"), now.Add(-time.Hour)) {
		t.Error("refused, though the clock went back behind the flood")
	}
}

// What passes is data, or a handshake of its size with the mac of our key; a reply is shorter than what asked for it.
func FuzzGate(f *testing.F) {
	key := newGated(f).key
	f.Add(initiationOf(key, 1, nil), false)
	f.Add(message(device.MessageResponseType, device.MessageResponseSize, key, 1, nil), true)
	f.Add([]byte{4, 0, 0, 0}, true)
	f.Add(append([]byte{3, 0, 0, 0}, make([]byte, 60)...), true)
	f.Fuzz(func(t *testing.T, p []byte, busy bool) {
		g := newGated(t)
		now := time.Now()
		if busy {
			g.flooded(now)
		}
		if g.pass(p, endpointOf("192.0.2.1:1"), now) {
			size, sized := map[byte]int{1: device.MessageInitiationSize, 2: device.MessageResponseSize, 3: device.MessageCookieReplySize}[p[0]]
			if sized && len(p) != size || !sized && p[0] != device.MessageTransportType || sized && p[0] < 3 && !g.cookies.CheckMAC1(p) {
				t.Fatalf("passed: %x", p)
			}
		}
		for _, r := range g.replies {
			if len(r) >= len(p) {
				t.Fatalf("%d octets make us say %d", len(p), len(r))
			}
		}
	})
}

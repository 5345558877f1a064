package tunnel

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
)

// Bounds of what the gate lets through.
const (
	calmRate    = 1000 // handshakes a second, from whoever it may be
	loadRate    = 100  // the same while more than that come
	atOnce      = 50   // of each kind: WireGuard takes itself for overloaded at 128, and asks for cookies of its own
	provenRate  = 20   // a second, of one source that has shown that it receives what is sent to it
	provenBurst = 5
	replyRate   = 1000 // cookies a second that are told to others
	replyBurst  = 64
	loadLasts   = time.Second
	slots       = 4096 // of sources; those that share one share its rate
)

// gate stands before WireGuard's queue of handshakes, into which a buffer of 64 KiB goes with each and behind which
// each costs operations on a curve. It asks no more of anybody than WireGuard does by itself when it is overloaded
// (§5.3 of its paper): first the mac that needs the public key, then, while there are too many, the cookie that only
// the source can know. But it asks before anything is spent. Safe for concurrent use.
type gate struct {
	cookies device.CookieChecker
	reply   func(packet []byte, to conn.Endpoint) // sends a cookie; it must not wait
	refused func(why refusal)
	seed    maphash.Seed

	mu      sync.Mutex
	all     pace        // guarded by mu; handshakes without a proof
	proven  pace        // guarded by mu; handshakes with one, all together
	told    pace        // guarded by mu; cookies told to others
	heard   pace        // guarded by mu; cookies told to us
	busy    time.Time   // guarded by mu; there are too many until then
	sources [slots]pace // guarded by mu
}

// refusal is why a packet goes no further.
type refusal int

const (
	refusedForm refusal = iota // of no length that its kind has
	refusedMAC                 // not for our key, or noise
	refusedRate                // there are too many
	refusalKinds
)

func (r refusal) String() string { return [...]string{"malformed", "mac", "rate"}[r] }

func newGate(key device.NoisePublicKey, reply func([]byte, conn.Endpoint), refused func(refusal)) *gate {
	g := &gate{reply: reply, refused: refused, seed: maphash.MakeSeed()}
	g.cookies.Init(key)
	return g
}

// pass reports whether a packet may go to WireGuard. Data always may: what belongs to no session costs nothing there.
func (g *gate) pass(p []byte, from conn.Endpoint, now time.Time) bool {
	if len(p) < device.MinMessageSize {
		return false
	}
	switch binary.LittleEndian.Uint32(p) {
	case device.MessageTransportType:
		return true
	case device.MessageInitiationType:
		return g.sized(p, device.MessageInitiationSize) && g.admit(p, from, now)
	case device.MessageResponseType:
		return g.sized(p, device.MessageResponseSize) && g.admit(p, from, now)
	case device.MessageCookieReplyType:
		if !g.sized(p, device.MessageCookieReplySize) {
			return false
		}
		g.mu.Lock()
		ok := g.heard.take(calmRate, atOnce, now)
		g.mu.Unlock()
		if !ok {
			g.refused(refusedRate)
		}
		return ok
	}
	g.refused(refusedForm)
	return false
}

func (g *gate) sized(p []byte, size int) bool {
	if len(p) != size {
		g.refused(refusedForm)
	}
	return len(p) == size
}

// admit judges one half of a handshake.
func (g *gate) admit(p []byte, from conn.Endpoint, now time.Time) bool {
	if !g.cookies.CheckMAC1(p) {
		g.refused(refusedMAC)
		return false
	}
	ok, tell := g.room(func() bool { return g.cookies.CheckMAC2(p, from.DstToBytes()) }, from.DstIP(), now)
	if ok {
		return true
	}
	g.refused(refusedRate)
	if !tell {
		return false
	}
	reply, err := g.cookies.CreateReply(p, binary.LittleEndian.Uint32(p[4:]), from.DstToBytes())
	if err != nil {
		return false
	}
	out := make([]byte, device.MessageCookieReplySize)
	binary.LittleEndian.PutUint32(out, reply.Type)
	binary.LittleEndian.PutUint32(out[4:], reply.Receiver)
	copy(out[8:], reply.Nonce[:])
	copy(out[8+len(reply.Nonce):], reply.Cookie[:])
	g.reply(out, from)
	return false
}

// room reports whether there is room for a handshake; if there is none, whether its sender should be told a cookie.
func (g *gate) room(proves func() bool, from netip.Addr, now time.Time) (ok, tell bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	rate := calmRate
	if now.Before(g.busy) && g.busy.Sub(now) <= loadLasts {
		rate = loadRate
	}
	if g.all.take(rate, atOnce, now) {
		return true, false
	}
	g.busy = now.Add(loadLasts)
	if !proves() {
		return false, g.told.take(replyRate, replyBurst, now)
	}
	slot := &g.sources[maphash.Comparable(g.seed, sender(from))%slots]
	return slot.take(provenRate, provenBurst, now) && g.proven.take(calmRate, atOnce, now), false
}

// sender is what one may have for itself: an IPv4 address, or a /64 of IPv6.
func sender(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a
	}
	p, _ := a.Prefix(64) // never fails
	return p.Addr()
}

// pace is a rate that is kept: GCRA (ITU-T I.371). The zero value has its burst before it.
type pace struct {
	next time.Time // when the one that would come next is due
}

// take reports whether one more comes in time.
func (p *pace) take(rate, burst int, now time.Time) bool {
	each := time.Second / time.Duration(rate)
	most := each * time.Duration(burst-1)
	next := p.next
	if early := next.Sub(now); early < 0 || early > time.Minute { // of idleness nothing is saved; a clock went back
		next = now
	}
	if next.Sub(now) > most {
		return false
	}
	p.next = next.Add(each)
	return true
}

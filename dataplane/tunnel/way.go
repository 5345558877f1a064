package tunnel

import (
	"net/netip"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"github.com/warrenedge/warren/shared/backoff"
	"github.com/warrenedge/warren/shared/endpoint"
)

// Times of the choice between UDP and TLS.
const (
	udpSilence  = 1500 * time.Millisecond // of UDP, before TLS is dialled and used beside it
	answerMost  = 100 * time.Millisecond  // after something came over UDP, what is sent may be the answer, to which there is none
	tryUDPEvery = 3 * time.Second         // while TLS is in use
	tryUDPTimes = 3                       // in a row: one may come over TLS earlier, and be no news to the peer
	tryUDPMost  = 512                     // bytes of a packet that is also sent over UDP for that
	askSilent   = 15 * time.Second        // of sending nothing while UDP is silent: an idle tunnel would not find out that it works
	linkUnused  = 10 * time.Second        // after TLS was needed last; while UDP is silent it stays
	redialMost  = 3 * time.Second         // between two tries
)

// transports is the choice for one peer. It is pure: all times are arguments.
//
// UDP is preferred. When it owes an answer for udpSilence, packets go by both; the end that answers by TLS
// makes WireGuard use TLS alone. From then on a small packet now and then goes by both: when the peer
// opens the one that came over UDP first, it answers over UDP, and WireGuard is back there.
type transports struct {
	waiting time.Time // since when UDP owes an answer; zero: it does not
	heard   time.Time // when something came over UDP last
	tried   time.Time // when UDP was begun to be tried last while TLS is in use
	tries   int       // left
	vain    bool      // a row of tries was not answered
	used    time.Time // when TLS was needed last
	redial  time.Time // not to be dialled before
	wait    backoff.Backoff
}

// sentUDP tells that something went over UDP that asks for an answer. It reports whether UDP owes none
// besides.
func (t *transports) sentUDP(now time.Time) (first bool) {
	if first = t.waiting.IsZero(); first {
		t.waiting = now
	}
	return first
}

// heardUDP tells that the peer was heard over UDP.
func (t *transports) heardUDP(now time.Time) { t.waiting, t.heard, t.vain = time.Time{}, now, false }

// answers reports whether a packet may be the answer to what came over UDP just now: in a tunnel at rest it is the last
// word for long, and that nothing follows says nothing. Where more is sent, it soon is no answer any more.
func (t *transports) answers(b []byte, now time.Time) bool {
	d := now.Sub(t.heard)
	return b[0] == device.MessageTransportType && d >= 0 && d < answerMost
}

// moved tells that UDP leads to another address from now on. It is tried at once.
func (t *transports) moved() { t.tried, t.vain = time.Time{}, false }

// elsewhere reports, once for each row of tries, that none was answered where the peer is called.
func (t *transports) elsewhere() (yes bool) {
	yes, t.vain = t.vain, false
	return yes
}

// ask reports whether nothing is sent by which UDP would be found to work again, or too little: a row has begun.
func (t *transports) ask(now time.Time) bool {
	begun := t.tries > 0 && t.tries < tryUDPTimes && now.Sub(t.tried) < tryUDPEvery
	return t.silent(now) && (begun || now.Sub(t.used).Abs() >= askSilent)
}

// silent reports whether UDP seems not to work.
func (t *transports) silent(now time.Time) bool {
	return !t.waiting.IsZero() && now.Sub(t.waiting) >= udpSilence
}

// tryUDP reports whether something should go over UDP as well, although TLS is in use.
func (t *transports) tryUDP(now time.Time) bool {
	if now.Sub(t.tried) >= tryUDPEvery {
		t.vain = t.vain || !t.tried.IsZero() && !t.waiting.IsZero()
		t.tried, t.tries = now, tryUDPTimes
	}
	if t.tries == 0 {
		return false
	}
	t.tries--
	return true
}

// dial reports whether TLS should be dialled now.
func (t *transports) dial(now time.Time) bool {
	if now.Before(t.redial) {
		return false
	}
	t.redial = now.Add(time.Minute) // until dialled is called
	return true
}

// dialled tells how dialling, or what came of it, has ended.
func (t *transports) dialled(ok bool, now time.Time) {
	t.wait.Max = redialMost
	if ok {
		t.wait.Reset()
	}
	t.redial = now.Add(t.wait.Next())
}

// expects reports whether a packet of WireGuard asks for an answer: all but keepalives.
func expects(b []byte) bool {
	return len(b) > 0 && (b[0] != device.MessageTransportType || len(b) > device.MessageKeepaliveSize)
}

// way is a node as a connector reaches it: over UDP, and over TLS.
type way struct {
	peer   string
	tls    endpoint.Endpoint
	remind time.Duration // zero: never

	mu     sync.Mutex
	udp    netip.AddrPort // guarded by mu; another one when the node is reached elsewhere
	choice transports     // guarded by mu
	link   *tlsLink       // guarded by mu; nil: none
	first  []byte         // guarded by mu; the last handshake initiation: TLS need not wait for the next
	plain  conn.Endpoint  // guarded by mu; of udp, made by the UDP bind
	sent   time.Time      // guarded by mu; something over UDP, last
}

// ways are all of a connector.
type ways struct {
	at map[netip.AddrPort]*way // by UDP address
	of map[string]*way         // by peer
}

// moved takes where the node is reached over UDP. That UDP is silent, and the link, stay.
func (w *way) moved(udp netip.AddrPort) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.udp != udp {
		w.udp, w.plain = udp, nil
		w.choice.moved()
	}
}

// silent are the nodes that are to be asked as UDP has been silent and so have we, and those that it does not reach where
// they are called. It tells of each now and then.
func (ws *ways) silent(now time.Time) (ask, elsewhere []string) {
	for id, w := range ws.of {
		w.mu.Lock()
		if w.choice.ask(now) {
			ask = append(ask, id)
		}
		if w.choice.elsewhere() {
			elsewhere = append(elsewhere, id)
		}
		w.mu.Unlock()
	}
	return ask, elsewhere
}

// due reports whether it is time for a reminder.
func (w *way) due(now time.Time) bool {
	d := now.Sub(w.sent)
	return w.remind > 0 && (d >= w.remind || d < 0) // a clock may have gone back
}

// live gives the link, if there is one that works.
func (w *way) live() *tlsLink {
	if w.link != nil && w.link.alive() {
		return w.link
	}
	return nil
}

// remember keeps the last handshake initiation.
func (w *way) remember(bufs [][]byte) {
	for _, b := range bufs {
		if len(b) == device.MessageInitiationSize && b[0] == device.MessageInitiationType {
			w.first = append(w.first[:0], b...)
		}
	}
}

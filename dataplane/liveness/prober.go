package liveness

import "time"

// Sizes of IPv6 packets inside the tunnel.
const (
	SizeLeast = 1280 // RFC 8200 §5: what every path carries
	SizeMost  = 1420 // what fits in WireGuard over IPv6 over Ethernet

	sizeStep    = 8                // the search ends when it is that close
	probesLost  = 3                // of one size, before it is too large
	probeEvery  = 10 * time.Minute // after the end of a search, the next begins
	probeHeader = 40 + 8           // IPv6 and UDP
)

// prober finds the largest packet that a path carries to the peer, by what the peer acknowledges. The
// zero value searches nothing until begin.
type prober struct {
	active    bool
	low, high int // carried; too large, or one more than SizeMost
	size      int // being tried
	seq       uint32
	sent      time.Duration // when, in the time of the path's Judge
	waiting   bool
	lost      int // probes of this size
	again     time.Duration
}

// begin starts over. Until a larger packet has got through, none is taken to.
func (p *prober) begin() {
	*p = prober{active: true, low: SizeLeast, high: SizeMost + 1, size: SizeMost}
}

// mtu is the largest size that got through; 0: nothing is known.
func (p *prober) mtu() int { return p.low }

// at is when due should be asked next; false: never.
func (p *prober) at(patience time.Duration) (time.Duration, bool) {
	switch {
	case p.low == 0:
		return 0, false
	case !p.active:
		return p.again, true
	case p.waiting:
		return p.sent + patience, true
	}
	return 0, true
}

// due reports whether a probe should be sent now, and of which size. An answer is waited for as long as
// patience says.
func (p *prober) due(now, patience time.Duration) (size int, ok bool) {
	switch {
	case p.low == 0:
		return 0, false
	case !p.active && now < p.again:
		return 0, false
	case !p.active: // what got through last time, and what did not, may be another by now
		p.active, p.high, p.size = true, SizeMost+1, SizeMost
		if p.low > SizeLeast {
			p.size = p.low
		}
	case p.waiting && now-p.sent < patience:
		return 0, false
	case p.waiting:
		p.waiting = false
		if p.lost++; p.lost >= probesLost {
			p.refused(now)
		}
	}
	return p.size, p.active
}

func (p *prober) sentProbe(seq uint32, now time.Duration) {
	p.seq, p.sent, p.waiting = seq, now, true
}

// answered takes the acknowledgement of a probe.
func (p *prober) answered(seq uint32, now time.Duration) {
	if !p.waiting || seq != p.seq {
		return
	}
	p.waiting, p.lost = false, 0
	p.low = p.size
	p.next(now)
}

// refused is that a size does not get through. One that once did no longer counts.
func (p *prober) refused(now time.Duration) {
	p.lost, p.high = 0, p.size
	if p.low >= p.high {
		p.low = SizeLeast
	}
	p.next(now)
}

// next chooses a size between what gets through and what does not, or ends the search.
func (p *prober) next(now time.Duration) {
	if p.high-p.low <= sizeStep || p.low == SizeMost {
		p.active, p.again = false, now+probeEvery
		return
	}
	if p.size = SizeMost; p.high <= SizeMost { // which most paths carry: it is tried before any other
		p.size = (p.low + p.high) / 2
	}
}

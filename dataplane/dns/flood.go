package dns

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// What senders of datagrams are answered whose address nobody has checked: whoever forges a victim's can have as much sent
// there. More than that is answered by an empty message with the TC bit, which is no larger than the question: a real client
// asks again over TCP, and an attacker has gained nothing (response rate limiting with a slip of 1). Who shows a valid cookie
// (RFC 7873) has shown that the address is its own, and is not counted.
const (
	ratePerName   = 100 // a second, of one network about one name; of all that does not exist together
	ratePerSource = 1000
	sourceBits4   = 24 // what counts as one network
	sourceBits6   = 56
	floodBuckets  = 1 << 15
)

// flood counts answers by where they go. Its size is fixed: networks that share a bucket share what they may have.
type flood struct {
	seed    maphash.Seed
	buckets [floodBuckets]atomic.Int64 // until when what was answered would take at the rate, in nanoseconds since the epoch
}

func newFlood() *flood { return &flood{seed: maphash.MakeSeed()} }

// takes counts one answer to a source about a name ("" for what does not exist), and reports whether it may be given.
// Packets with a loopback address come from this machine, whatever they say.
func (f *flood) takes(source netip.Addr, name string, now time.Time) bool {
	source = source.Unmap()
	if !source.IsValid() || source.IsLoopback() {
		return true
	}
	bits := sourceBits6
	if source.Is4() {
		bits = sourceBits4
	}
	network, err := source.WithZone("").Prefix(bits)
	if err != nil {
		return true
	}
	return f.fill(f.bucket(counted{network.Addr(), true, name}), now, time.Second/ratePerName) &&
		f.fill(f.bucket(counted{network: network.Addr()}), now, time.Second/ratePerSource)
}

// counted is what answers are counted for: a network, or what a network is told about one name.
type counted struct {
	network netip.Addr
	named   bool
	name    string
}

func (f *flood) bucket(c counted) uint64 { return maphash.Comparable(f.seed, c) % floodBuckets }

// fill adds what one answer takes to a bucket, which holds one second's (GCRA, like a leaky bucket).
func (f *flood) fill(bucket uint64, now time.Time, each time.Duration) bool {
	b := &f.buckets[bucket]
	for {
		was, at := b.Load(), now.UnixNano()
		next := max(was, at) + int64(each)
		if next-at > int64(time.Second) {
			return false
		}
		if b.CompareAndSwap(was, next) {
			return true
		}
	}
}

// slip makes the answer to a query that is one too many: the question, TC, and OPT where there was one.
func slip(query []byte, r reply, buf []byte) reply {
	if !r.read {
		return r // no larger than its query
	}
	end := nameEnd(query, headerSize)
	var header [headerSize]byte
	copy(header[:], r.packet)
	header[2] |= 0x02 // TC
	clear(header[4:])
	header[5] = 1
	out := append(append(buf[:0], header[:]...), query[headerSize:end+4]...)
	if r.opt.present {
		out[11] = 1
		flags := byte(0)
		if r.opt.do {
			flags = 0x80
		}
		out = append(out, 0, 0, 41, udpSize>>8, udpSize&0xff, byte(r.rcode>>4), 0, flags, 0, 0, 0)
	}
	return reply{packet: out, rcode: r.rcode, truncated: true, opt: r.opt}
}

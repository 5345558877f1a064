package tunnel

import (
	"bytes"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// runs is how many connections of one batch are followed at once.
const runs = 16

// A coalescer joins the TCP segments of a batch that follow on each other (generic receive offload, as
// described in https://docs.kernel.org/networking/segmentation-offloads.html): the stack's work is per packet. The order of
// the segments of a connection stays. It also verifies what the stack is told that it need not.
type coalescer struct {
	deliver func(buffer.Buffer)
	open    []run // oldest first
	spare   []run // for their slices
}

// run is a sequence of segments that become one packet.
type run struct {
	first   []byte   // a whole packet, all others are like it
	more    [][]byte // contents of those that follow
	size    int      // of first and more
	segment int      // content of every segment but the last
	next    uint32   // sequence number that follows
	flags   uint8    // of all together
	done    bool     // nothing can follow
}

// add takes a packet, which it uses until flush. One whose checksum is wrong is dropped: false.
func (c *coalescer) add(p []byte) bool {
	if !isTCP(p) {
		if isUDP(p) && !validChecksum(p, p[header.IPv6MinimumSize:]) {
			return false
		}
		c.deliver(buffer.MakeWithData(p))
		return true
	}
	ip, tcp := header.IPv6(p), header.TCP(p[header.IPv6MinimumSize:])
	if !validChecksum(ip, tcp) {
		return false
	}
	body := tcp[tcp.DataOffset():]
	for i := range c.open {
		r := &c.open[i]
		if !r.sameConnection(p) {
			continue
		}
		if r.takes(p, tcp, body) {
			r.more = append(r.more, body)
			r.size += len(body)
			r.next += uint32(len(body))
			r.flags |= uint8(tcp.Flags())
			r.done = len(body) < r.segment || tcp.Flags()&lastOnly != 0
			return true
		}
		c.end(i)
		break
	}
	if len(c.open) == runs {
		c.end(0)
	}
	r := run{}
	if n := len(c.spare); n > 0 {
		r, c.spare = c.spare[n-1], c.spare[:n-1]
	}
	flags := tcp.Flags()
	c.open = append(c.open, run{
		first: p, more: r.more[:0], size: len(p), segment: len(body), next: tcp.SequenceNumber() + uint32(len(body)), flags: uint8(flags),
		// Anything but plain data is a packet of its own; so is data that is marked as the end of a message.
		done: len(body) == 0 || flags != header.TCPFlagAck,
	})
	return true
}

// sameConnection compares addresses and ports.
func (r *run) sameConnection(p []byte) bool {
	return bytes.Equal(r.first[8:header.IPv6MinimumSize+4], p[8:header.IPv6MinimumSize+4])
}

// takes reports whether a packet of the same connection can be joined: it follows immediately, is no larger, and all
// else in its headers is the same.
func (r *run) takes(p []byte, tcp header.TCP, body []byte) bool {
	first := header.TCP(r.first[header.IPv6MinimumSize:])
	return !r.done && len(body) > 0 && len(body) <= r.segment && r.size+len(body)-header.IPv6MinimumSize <= gsoSize &&
		tcp.SequenceNumber() == r.next &&
		tcp.AckNumber() == first.AckNumber() &&
		tcp.Flags()&^lastOnly == header.TCPFlagAck &&
		tcp.WindowSize() == first.WindowSize() &&
		tcp.DataOffset() == first.DataOffset() &&
		bytes.Equal(tcp[header.TCPMinimumSize:tcp.DataOffset()], first[header.TCPMinimumSize:first.DataOffset()]) &&
		bytes.Equal(p[:4], r.first[:4]) && p[7] == r.first[7] // traffic class and flow label, hop limit
}

// end delivers a run, its headers apart from its content: the stack makes copies of what holds the headers, whole.
func (c *coalescer) end(i int) {
	r := c.open[i]
	c.open = append(c.open[:i], c.open[i+1:]...)
	ip, tcp := header.IPv6(r.first), header.TCP(r.first[header.IPv6MinimumSize:])
	ip.SetPayloadLength(uint16(r.size - header.IPv6MinimumSize))
	tcp.SetFlags(r.flags)
	at := header.IPv6MinimumSize + int(tcp.DataOffset())
	packet := buffer.MakeWithData(r.first[:at])
	if size := r.size - at; size > 0 {
		body := buffer.NewView(size)
		_, _ = body.Write(r.first[at:])
		for _, b := range r.more {
			_, _ = body.Write(b)
		}
		_ = packet.Append(body)
	}
	clear(r.more)
	c.spare = append(c.spare, run{more: r.more[:0]})
	c.deliver(packet)
}

// flush delivers all that was added.
func (c *coalescer) flush() {
	for len(c.open) > 0 {
		c.end(0)
	}
}

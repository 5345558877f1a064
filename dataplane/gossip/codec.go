package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Messages between nodes, beside memberlist's own. They arrive sealed, but are decoded as if anybody had
// written them: a length is believed only as far as there are bytes.
const (
	msgDelta    byte = 1 // one change of the sites connected at a node
	msgAnnounce byte = 2 // a node's sites changed by more than a packet holds: ask it
	msgWant     byte = 3 // send me your whole record
	msgRecord   byte = 4 // all sites connected at a node
	msgLeave    byte = 5 // I end on purpose: memberlist tells that, but not apart from a death
)

// Bounds of what is decoded.
const (
	maxID    = 64   // bytes of an id
	maxSites = 8192 // of one node; more are not told
	maxDelta = 1100 // bytes: fits a packet with memberlist's own headers
)

// message is any of the messages; which fields count depends on the kind.
type message struct {
	kind   byte
	node   string   // whose sites; of msgWant and msgLeave: who sends it
	epoch  uint64   // of the node's process; 0 is none
	seq    uint64   // of the change; a delta leads here from seq-1
	add    []string // of msgRecord: all, sorted
	remove []string
}

func (m message) encode() []byte {
	b := append(make([]byte, 0, 64), m.kind)
	b = appendString(b, m.node)
	if m.kind == msgWant || m.kind == msgLeave {
		return b
	}
	b = binary.BigEndian.AppendUint64(b, m.epoch)
	b = binary.AppendUvarint(b, m.seq)
	if m.kind == msgDelta || m.kind == msgRecord {
		b = appendStrings(b, m.add)
	}
	if m.kind == msgDelta {
		b = appendStrings(b, m.remove)
	}
	return b
}

func decodeMessage(b []byte) (message, error) {
	r := reader{rest: b}
	m := message{kind: r.byte()}
	switch m.kind {
	case msgDelta, msgAnnounce, msgWant, msgRecord, msgLeave:
	default:
		return message{}, fmt.Errorf("message of kind %d", m.kind)
	}
	m.node = r.string()
	if m.kind != msgWant && m.kind != msgLeave {
		m.epoch = r.uint64()
		m.seq = r.uvarint()
	}
	if m.kind == msgDelta || m.kind == msgRecord {
		m.add = r.strings()
	}
	if m.kind == msgDelta {
		m.remove = r.strings()
	}
	return m, r.end()
}

// pulse is what rides on every answer to a probe: which record the node has, how loaded it is, and its word.
type pulse struct {
	epoch, seq, load uint64

	told     bool // what follows; nodes from before say nothing of it
	count    uint64
	draining bool
}

const pulseVersion byte = 1

func (p pulse) encode() []byte {
	b := append(make([]byte, 0, 24), pulseVersion)
	b = binary.BigEndian.AppendUint64(b, p.epoch)
	b = binary.AppendUvarint(b, p.seq)
	b = binary.AppendUvarint(b, p.load)
	if !p.told {
		return b
	}
	flags := byte(0)
	if p.draining {
		flags |= metaDraining
	}
	return binary.AppendUvarint(append(b, flags), p.count)
}

func decodePulse(b []byte) (pulse, error) {
	r := reader{rest: b}
	if v := r.byte(); v != pulseVersion {
		return pulse{}, fmt.Errorf("pulse of version %d", v)
	}
	p := pulse{epoch: r.uint64(), seq: r.uvarint(), load: r.uvarint()}
	if r.err == nil && len(r.rest) > 0 {
		p.told, p.draining, p.count = true, r.byte()&metaDraining != 0, r.uvarint()
	}
	return p, r.err // what follows is for nodes that are newer
}

// encodeIDs and decodeIDs are a list of node ids, what a full exchange of states carries.
func encodeIDs(ids []string) []byte { return appendStrings([]byte{pulseVersion}, ids) }

func decodeIDs(b []byte) ([]string, error) {
	r := reader{rest: b}
	if v := r.byte(); v != pulseVersion {
		return nil, fmt.Errorf("states of version %d", v)
	}
	ids := r.strings()
	return ids, r.end()
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendStrings(b []byte, ss []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(ss)))
	for _, s := range ss {
		b = appendString(b, s)
	}
	return b
}

var (
	errTruncated = errors.New("truncated")
	errTooLong   = errors.New("longer than allowed")
	errTrailing  = errors.New("bytes after the end")
)

// reader takes values off the front of a message; after the first error it yields zero values.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.rest, r.err = nil, err
	}
}

func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		return errTrailing
	}
	return r.err
}

func (r *reader) byte() byte {
	if len(r.rest) < 1 {
		r.fail(errTruncated)
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uint64() uint64 {
	if len(r.rest) < 8 {
		r.fail(errTruncated)
		return 0
	}
	v := binary.BigEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail(errTruncated)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) string() string {
	n := r.uvarint()
	switch {
	case n > maxID:
		r.fail(errTooLong)
	case n > uint64(len(r.rest)):
		r.fail(errTruncated)
	}
	if r.err != nil {
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

func (r *reader) strings() []string {
	n := r.uvarint()
	switch {
	case n > maxSites:
		r.fail(errTooLong)
	case n > uint64(len(r.rest)): // each takes a byte at least
		r.fail(errTruncated)
	}
	if r.err != nil || n == 0 {
		return nil
	}
	ss := make([]string, 0, n)
	for range n {
		s := r.string()
		if r.err != nil {
			return nil
		}
		ss = append(ss, s)
	}
	return ss
}

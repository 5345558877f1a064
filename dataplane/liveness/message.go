package liveness

import (
	"encoding/binary"
	"errors"
	"time"
)

// messageSize is that of a heartbeat, all integers in network order:
//
//	0      version
//	1      kind
//	2..3   zero
//	4..7   epoch: a random number of the process that sends
//	8..11  seq: number of this message, per epoch and peer
//	12..15 the epoch of the other end that ack belongs to; 0: none
//	16..19 ack: of an answer or a probed, seq of what it answers; of a question, seq of the last answer that came
//	20..23 microseconds since what ack names has come
//
// What follows is padding.
const (
	messageSize    = 24
	messageVersion = 1
)

// Kinds of message.
const (
	ask    = 1
	answer = 2
	probe  = 3 // of a size, by padding; nothing but a probed acknowledges it
	probed = 4 // the answer to a probe
)

// message is one heartbeat.
type message struct {
	kind     byte
	epoch    uint32
	seq      uint32
	ackEpoch uint32
	ack      uint32
	held     time.Duration
}

var (
	errShort   = errors.New("heartbeat: too short")
	errVersion = errors.New("heartbeat: unknown version")
	errKind    = errors.New("heartbeat: unknown kind")
)

// append writes the message.
func (m message) append(b []byte) []byte {
	held := min(max(m.held.Microseconds(), 0), 1<<32-1)
	b = append(b, messageVersion, m.kind, 0, 0)
	for _, v := range [...]uint32{m.epoch, m.seq, m.ackEpoch, m.ack, uint32(held)} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// parse reads what append has written, with any padding.
func parse(b []byte) (message, error) {
	switch {
	case len(b) < messageSize:
		return message{}, errShort
	case b[0] != messageVersion:
		return message{}, errVersion
	case b[1] < ask || b[1] > probed:
		return message{}, errKind
	}
	u32 := func(at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
	return message{
		kind: b[1], epoch: u32(4), seq: u32(8), ackEpoch: u32(12), ack: u32(16),
		held: time.Duration(u32(20)) * time.Microsecond,
	}, nil
}

package streams

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// A control connection carries messages: one byte of kind, one of length, then fields. A reader passes
// over kinds and trailing fields that it does not know: a later version may send more.
const (
	kindAsk    = 1 // either end: answer this
	kindAnswer = 2
	kindWant   = 3 // node: have so many stream connections

	kindReplaced = 4 // node: somebody else has connected as you; this connection ends
)

const (
	messageHeader = 2
	messageMost   = messageHeader + 255
)

// Flags of an ask.
const (
	flagTUN   = 1 // the sender's tunnel is an interface of the system
	flagStuck = 2 // the other end does not answer the sender in their tunnel; of a connector: handshakes neither
)

// message is one message; which fields count depends on the kind.
type message struct {
	kind  byte
	seq   uint32        // of ask and answer
	rtt   time.Duration // of ask: the last round trip that was measured and not yet told; 0: none
	flags byte          // of ask
	want  int           // of want
}

// errMessage is wrapped by what is wrong with the bytes of a message.
var errMessage = errors.New("malformed message")

// append writes m behind b.
func (m message) append(b []byte) []byte {
	start := len(b)
	b = append(b, m.kind, 0)
	switch m.kind {
	case kindAsk:
		b = binary.BigEndian.AppendUint32(b, m.seq)
		b = binary.BigEndian.AppendUint32(b, uint32(min(m.rtt.Microseconds(), 1<<32-1)))
		b = append(b, m.flags)
	case kindAnswer:
		b = binary.BigEndian.AppendUint32(b, m.seq)
	case kindWant:
		b = binary.BigEndian.AppendUint16(b, uint16(m.want))
	}
	b[start+1] = byte(len(b) - start - messageHeader)
	return b
}

// parseMessage reads the first message of b and how long it is; 0 when b does not hold all of it.
func parseMessage(b []byte) (m message, n int, err error) {
	if len(b) < messageHeader {
		return m, 0, nil
	}
	n = messageHeader + int(b[1])
	if len(b) < n {
		return m, 0, nil
	}
	m.kind = b[0]
	fields := b[messageHeader:n]
	least := map[byte]int{kindAsk: 9, kindAnswer: 4, kindWant: 2}[m.kind]
	if len(fields) < least {
		return m, 0, fmt.Errorf("%w: kind %d with %d bytes, want %d", errMessage, m.kind, len(fields), least)
	}
	switch m.kind {
	case kindAsk:
		m.seq = binary.BigEndian.Uint32(fields)
		m.rtt = time.Duration(binary.BigEndian.Uint32(fields[4:])) * time.Microsecond
		m.flags = fields[8]
	case kindAnswer:
		m.seq = binary.BigEndian.Uint32(fields)
	case kindWant:
		m.want = int(binary.BigEndian.Uint16(fields))
	}
	return m, n, nil
}

package gossip

import (
	"encoding/binary"
	"errors"
)

// How memberlist seals: a version, a nonce, what is sealed, a tag. It believes of whatever it could open that there
// is something in it, and that padding, which only the older version has, is padding; the process ends if not. So a
// holder of a key could end every node. What our nodes don't send is not handed over: they use sealNow only.
const (
	sealNow     byte = 1
	sealedEmpty      = 1 + 12 + 16 // bytes around nothing

	frameSealed byte = 10        // kind of a stream's frame
	frameHead        = 1 + 4 + 1 // bytes: the kind, the length of what follows, the version that begins it
)

var (
	errNotSealed = errors.New("not sealed as it should be")
	errNothing   = errors.New("nothing in it")
)

// isSealed reports whether a packet may be handed to memberlist.
func isSealed(b []byte) bool { return len(b) > sealedEmpty && b[0] == sealNow }

// checkFrame is the same for a stream, by the first frameHead bytes.
func checkFrame(head []byte) error {
	if head[0] != frameSealed || head[5] != sealNow {
		return errNotSealed
	}
	switch n := binary.BigEndian.Uint32(head[1:5]); {
	case n <= sealedEmpty:
		return errNothing
	case n > maxStream:
		return errTooLong
	}
	return nil
}

package streams

import (
	"errors"
	"fmt"
)

// What travels in a stream connection is cut into frames, four bytes of kind and length before each. TLS
// can end a direction only once, and the connection with it; a frame that says so leaves it usable.
const (
	frameHeader = 4
	frameData   = 1 // at least one byte follows
	frameEnd    = 2 // the sender is done: nothing more of this stream comes this way
	frameGone   = 3 // the sender has given the stream up: nothing more comes, nothing is read

	// Whom the stream leads through behind the sender is silent; the stream goes on. To those only who said that they
	// know it (fabric.Header.Kept).
	frameForsaken = 4

	// A whole frame fills four TLS records.
	frameMost = 4<<14 - frameHeader
)

// errFrame is wrapped by what is wrong with the bytes of a frame, as opposed to the connection.
var errFrame = errors.New("malformed frame")

// putFrame writes a header into the first four bytes of b.
func putFrame(b []byte, kind byte, size int) {
	b[0], b[1], b[2], b[3] = kind, byte(size>>16), byte(size>>8), byte(size)
}

// parseFrame reads a header. Only data has a size.
func parseFrame(b [frameHeader]byte) (kind byte, size int, err error) {
	size = int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	switch {
	case b[0] == frameData && size > 0 && size <= frameMost, b[0] >= frameEnd && b[0] <= frameForsaken && size == 0:
		return b[0], size, nil
	}
	return 0, 0, fmt.Errorf("%w: kind %d, %d bytes", errFrame, b[0], size)
}

package fabric

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// MaxDatagram is the most that a frame holds.
const MaxDatagram = 1<<16 - 1

// frameHead is the length of a frame, in front of it.
const frameHead = 2

// readAhead is how much of a stream of datagrams is read at once: one of nearly any kind, or a few small ones.
const readAhead = 4 << 10

// frames holds one frame each.
var frames = sync.Pool{New: func() any { b := make([]byte, frameHead+MaxDatagram); return &b }}

// Datagrams carries datagrams over the stream to a UDP target, after its status: each is its length in two
// bytes, big endian, then itself. It may be empty. The end of the stream between two datagrams is its end;
// there is no half-close. One goroutine may read while another one writes.
type Datagrams struct {
	w     io.Writer
	r     *bufio.Reader
	used  int     // bytes of r that the last ReadPacket lent
	large *[]byte // of frames, what the last ReadPacket lent if r has no room for it
}

// NewDatagrams makes Datagrams of a stream.
func NewDatagrams(stream io.ReadWriter) *Datagrams {
	return &Datagrams{w: stream, r: bufio.NewReaderSize(stream, readAhead)}
}

// ReadPacket gives the next datagram, which is good until the next call. No large buffer is held while it
// waits. At the end the error is io.EOF; a stream that ends within a datagram is io.ErrUnexpectedEOF.
func (d *Datagrams) ReadPacket() ([]byte, error) {
	d.release()
	head, err := d.r.Peek(frameHead)
	if err != nil {
		if err == io.EOF && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	size := frameHead + int(binary.BigEndian.Uint16(head))
	if size <= readAhead {
		b, err := d.r.Peek(size)
		if err != nil {
			return nil, midway(err)
		}
		d.used = size
		return b[frameHead:], nil
	}
	d.large = frames.Get().(*[]byte)
	b := (*d.large)[:size]
	if _, err := io.ReadFull(d.r, b); err != nil {
		d.release()
		return nil, midway(err)
	}
	return b[frameHead:], nil
}

// release takes back what the last ReadPacket lent.
func (d *Datagrams) release() {
	if d.used > 0 {
		_, _ = d.r.Discard(d.used) // it was peeked at: it is there
		d.used = 0
	}
	if d.large != nil {
		frames.Put(d.large)
		d.large = nil
	}
}

func midway(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// WritePacket sends a datagram of MaxDatagram at most, and waits for as long as the stream does not take it.
func (d *Datagrams) WritePacket(b []byte) error {
	f := frames.Get().(*[]byte)
	defer frames.Put(f)
	_, err := d.w.Write(AppendDatagram((*f)[:0], b))
	return err
}

// AppendDatagram frames a datagram of MaxDatagram at most, for who sends several at once.
func AppendDatagram(frames, b []byte) []byte {
	if len(b) > MaxDatagram {
		panic(fmt.Sprintf("a datagram of %d bytes", len(b))) // no network gives one
	}
	return append(binary.BigEndian.AppendUint16(frames, uint16(len(b))), b...)
}

// FrameSize is what a datagram of n bytes takes in a stream.
func FrameSize(n int) int { return frameHead + n }

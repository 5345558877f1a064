package tunnel

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of a link.
const (
	frameMost   = 4096             // a packet of the tunnel's MTU fits, whatever that becomes
	linkPackets = 256              // that wait to be written; more are dropped, like on any link
	linkUnsent  = 128 << 10        // bytes that the kernel holds back: what waits there is only late
	linkRecord  = 16 << 10         // bytes that are written at once: a TLS record
	linkSilence = 30 * time.Second // without a packet, and the link is over
	linkStall   = 10 * time.Second // for one write
)

var errFrame = errors.New("a packet in TLS has a length that none of WireGuard's has")

// buffers are of frameMost bytes.
var buffers = sync.Pool{New: func() any { return new([frameMost]byte) }}

// frame is one of WireGuard's, in one of buffers.
type frame struct {
	buf  *[frameMost]byte
	size int
	from *tlsEndpoint
}

func (p frame) bytes() []byte { return p.buf[:p.size] }
func (p frame) free()         { buffers.Put(p.buf) }

// tlsLink is a TLS connection that carries WireGuard's packets, each behind its length in two octets. It is a
// network: it drops what does not fit.
type tlsLink struct {
	conn net.Conn
	out  chan frame
	end  context.CancelFunc
	done <-chan struct{}
}

func newTLSLink(conn net.Conn) *tlsLink {
	ctx, end := context.WithCancel(context.Background())
	return &tlsLink{conn: conn, out: make(chan frame, linkPackets), end: end, done: ctx.Done()}
}

func (l *tlsLink) alive() bool {
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

// send queues packets. It reports how many were dropped.
func (l *tlsLink) send(bufs [][]byte) (dropped int) {
	for _, b := range bufs {
		if len(b) == 0 || len(b) > frameMost || !l.alive() {
			dropped++
			continue
		}
		p := frame{buf: buffers.Get().(*[frameMost]byte)}
		p.size = copy(p.buf[:], b)
		select {
		case l.out <- p:
		default:
			p.free()
			dropped++
		}
	}
	return dropped
}

// run carries packets until ctx ends, the link is ended, or the connection fails; then that is closed.
func (l *tlsLink) run(ctx context.Context, from *tlsEndpoint, in chan<- frame) error {
	stop := context.AfterFunc(ctx, l.end)
	defer stop()
	limitUnsent(l.conn)
	var wg sync.WaitGroup
	wg.Go(func() {
		<-l.done
		_ = l.conn.Close()
	})
	wg.Go(func() {
		defer l.end()
		_ = l.write()
	})
	err := l.read(from, in)
	l.end()
	wg.Wait()
	for {
		select {
		case p := <-l.out:
			p.free()
		default:
			return err
		}
	}
}

// read gives what comes to in. While nobody takes it the other end has to wait: nothing is kept.
func (l *tlsLink) read(from *tlsEndpoint, in chan<- frame) error {
	r := bufio.NewReaderSize(l.conn, linkRecord)
	for {
		if err := l.conn.SetReadDeadline(time.Now().Add(linkSilence)); err != nil {
			return err
		}
		p, err := readFrame(r)
		if err != nil {
			return err
		}
		p.from = from
		select {
		case in <- p:
		case <-l.done:
			p.free()
			return nil
		}
	}
}

// readFrame reads one packet with its length.
func readFrame(r io.Reader) (frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	size := int(binary.BigEndian.Uint16(head[:]))
	if size == 0 || size > frameMost {
		return frame{}, fmt.Errorf("%w: %d", errFrame, size)
	}
	p := frame{buf: buffers.Get().(*[frameMost]byte), size: size}
	if _, err := io.ReadFull(r, p.bytes()); err != nil {
		p.free()
		return frame{}, err
	}
	return p, nil
}

// write sends what is queued, as much at once as there is.
func (l *tlsLink) write() error {
	buf := make([]byte, 0, linkRecord)
	for {
		select {
		case <-l.done:
			return nil
		case p := <-l.out:
			buf = appendFrame(buf[:0], p)
		}
	gather:
		for len(buf)+2+frameMost <= linkRecord {
			select {
			case p := <-l.out:
				buf = appendFrame(buf, p)
			default:
				break gather
			}
		}
		if err := l.conn.SetWriteDeadline(time.Now().Add(linkStall)); err != nil {
			return err
		}
		if _, err := l.conn.Write(buf); err != nil {
			return err
		}
	}
}

func appendFrame(b []byte, p frame) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(p.size))
	b = append(b, p.bytes()...)
	p.free()
	return b
}

// limitUnsent keeps the kernel from taking more than can be sent soon. What fails here only makes a
// congested link slower to notice it.
func limitUnsent(conn net.Conn) {
	for {
		below, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = below.NetConn()
	}
	t, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := t.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, linkUnsent)
		})
	}
}

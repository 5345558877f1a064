package connector

import (
	"errors"
	"net"
	"sync"
	"syscall"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/udp"
)

// answers holds one datagram each, of whatever size.
var answers = sync.Pool{New: func() any { b := make([]byte, fabric.MaxDatagram); return &b }}

// whole holds one datagram each that comes out of a tunnel in one packet: none comes in several.
var whole = sync.Pool{New: func() any { b := make([]byte, 2048); return &b }}

// datagrams carries datagrams between a stream and a UDP target until the stream ends, which is when the
// node has forgotten the client: the node alone decides that. There is no queue. What a stream does not
// take in time waits in the socket's own, and what that can't hold is lost, as on any network.
func (c *Connector) datagrams(stream, target net.Conn) (toTarget, fromTarget int64) {
	packets, ok := target.(net.PacketConn)
	if !ok {
		return 0, 0
	}
	socket, err := udp.NewSocket(packets)
	if err != nil {
		return 0, 0
	}
	pool := &answers
	if _, ok := target.(syscall.Conn); !ok { // it holds a buffer while it waits
		pool = &whole
	}
	d := fabric.NewDatagrams(stream)
	var up, down int64
	var wg sync.WaitGroup
	wg.Go(func() {
		defer stream.Close()
		for {
			n, b, _, err := socket.ReadPooled(pool, nil)
			if err == nil {
				err = d.WritePacket((*b)[:n])
				down += int64(n)
			}
			if b != nil {
				pool.Put(b)
			}
			if err != nil && !c.lost(err) {
				return
			}
		}
	})
	for {
		b, err := d.ReadPacket()
		if err != nil {
			break
		}
		if _, err = target.Write(b); err == nil {
			up += int64(len(b))
		} else if !c.lost(err) {
			break
		}
	}
	_ = target.Close()
	_ = stream.Close()
	wg.Wait()
	return up, down
}

// lost reports whether an error of a UDP socket costs a datagram and no more: a target that is not there
// now may be back for the next one.
func (c *Connector) lost(err error) bool {
	for _, e := range []error{syscall.ECONNREFUSED, syscall.EMSGSIZE, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENOBUFS, syscall.EPERM} {
		if errors.Is(err, e) {
			c.m.lost.Inc()
			return true
		}
	}
	return false
}

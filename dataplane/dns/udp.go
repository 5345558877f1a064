package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/warrenedge/warren/dataplane/udp"
	"github.com/warrenedge/warren/shared/backoff"
)

// maxQuery bounds a query on either transport; real ones have a tenth of it.
const maxQuery = 4096

// readUDP answers one datagram after the other until ctx ends or the socket is closed.
func (s *Server) readUDP(ctx context.Context, d *udp.Socket) error {
	query := make([]byte, maxQuery+1) // one more, to notice what is longer
	out := make([]byte, 2*udpSize)    // packing needs the uncompressed size
	oob := make([]byte, udp.OOBSize)
	retry := backoff.Backoff{Min: time.Millisecond, Max: time.Second}
	for {
		n, from, err := d.Read(query, oob)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("read %s: %w", d.LocalAddr(), err)
			}
			s.m.drop(overUDP, dropRead)
			s.complain.Do(func() { s.log.Warn("dns socket can't be read", "err", err) })
			if !retry.Wait(ctx) {
				return nil
			}
			continue
		}
		retry.Reset()
		if n > maxQuery {
			s.m.drop(overUDP, dropMalformed)
			continue
		}
		var packet []byte
		if r := sender(query[:n], from.Addr, out); r.packet != nil {
			now := time.Now()
			packet = s.count(s.guard(r, query[:n], from.Addr.Addr(), overUDP, now, out), overUDP)
		} else {
			packet = s.handle(query[:n], from.Addr.Addr(), overUDP, out)
		}
		if packet == nil {
			continue
		}
		if err := d.Answer(packet, from); err != nil {
			s.m.drop(overUDP, dropWrite) // the client is unreachable, or its address is forged
		}
	}
}

package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/warrenedge/warren/shared/backoff"
)

// maxQuery bounds a query on either transport; real ones have a tenth of it.
const maxQuery = 4096

// readUDP answers one datagram after the other until ctx ends or the socket is closed.
func (s *Server) readUDP(ctx context.Context, d *datagrams) error {
	query := make([]byte, maxQuery+1) // one more, to notice what is longer
	out := make([]byte, 2*udpSize)    // packing needs the uncompressed size
	oob := make([]byte, 128)
	retry := backoff.Backoff{Min: time.Millisecond, Max: time.Second}
	for {
		n, from, err := d.read(query, oob)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("read %s: %w", d.conn.LocalAddr(), err)
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
		packet := s.handle(query[:n], overUDP, out)
		if packet == nil {
			continue
		}
		if err := d.write(packet, from); err != nil {
			s.m.drop(overUDP, dropWrite) // the client is unreachable, or its address is forged
		}
	}
}

// datagrams reads queries and sends each answer from the address that the query came to, also when the
// socket is bound to all of them: a resolver ignores an answer from another address.
type datagrams struct {
	conn net.PacketConn
	udp  *net.UDPConn // conn, if it is one
	all  bool         // bound to all addresses
}

// A sender is where an answer goes, and the control message that says where it comes from.
type sender struct {
	addr netip.AddrPort
	net  net.Addr // instead of addr, if conn is no UDPConn
	oob  []byte
}

func newDatagrams(conn net.PacketConn) (*datagrams, error) {
	d := &datagrams{conn: conn}
	d.udp, _ = conn.(*net.UDPConn)
	if d.udp == nil {
		return d, nil
	}
	if local, ok := conn.LocalAddr().(*net.UDPAddr); ok && local.IP.IsUnspecified() {
		d.all = true
		err6 := ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
		err4 := ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
		if err6 != nil && err4 != nil { // which one works depends on the socket's family
			return nil, fmt.Errorf("ask for destination addresses: %w", errors.Join(err4, err6))
		}
	}
	return d, nil
}

func (d *datagrams) read(buf, oob []byte) (n int, from sender, err error) {
	switch {
	case d.udp == nil:
		n, from.net, err = d.conn.ReadFrom(buf)
	case !d.all:
		n, from.addr, err = d.udp.ReadFromUDPAddrPort(buf)
	default:
		var oobn int
		n, oobn, _, from.addr, err = d.udp.ReadMsgUDPAddrPort(buf, oob)
		from.oob = sourceOf(oob[:oobn])
	}
	return n, from, err
}

func (d *datagrams) write(packet []byte, to sender) (err error) {
	switch {
	case d.udp == nil:
		_, err = d.conn.WriteTo(packet, to.net)
	case !d.all:
		_, err = d.udp.WriteToUDPAddrPort(packet, to.addr)
	default:
		_, _, err = d.udp.WriteMsgUDPAddrPort(packet, to.oob, to.addr)
	}
	return err
}

// sourceOf turns the control message of a query into the one of its answer. The interface is left to the
// routing table, except where an address means nothing without one.
func sourceOf(oob []byte) []byte {
	var dst net.IP
	var iface int
	var c6 ipv6.ControlMessage
	var c4 ipv4.ControlMessage
	if c6.Parse(oob) == nil && c6.Dst != nil {
		dst, iface = c6.Dst, c6.IfIndex
	} else if c4.Parse(oob) == nil {
		dst = c4.Dst
	}
	switch {
	case dst == nil || dst.IsMulticast() || dst.Equal(net.IPv4bcast):
		return nil
	case dst.To4() != nil: // also on an IPv6 socket that takes both families
		return (&ipv4.ControlMessage{Src: dst}).Marshal()
	case dst.IsLinkLocalUnicast():
		return (&ipv6.ControlMessage{Src: dst, IfIndex: iface}).Marshal()
	default:
		return (&ipv6.ControlMessage{Src: dst}).Marshal()
	}
}

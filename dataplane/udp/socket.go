// Package udp answers each datagram from the very address that it came to.
package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// OOBSize is room for the control message of any datagram.
const OOBSize = 128

// Socket reads datagrams and sends each answer from the address that its question came to, also when it is
// bound to all of them: clients take no answer from another address.
type Socket struct {
	net.PacketConn
	udp   *net.UDPConn // the same, if it is one
	local netip.Addr   // bound to; invalid if to all
}

// A Sender is where an answer goes, and the control message that says where it comes from.
type Sender struct {
	Addr  netip.AddrPort
	Local netip.Addr // that was asked; invalid if the system does not say
	net   net.Addr   // instead of Addr, if the socket is no UDPConn
	oob   []byte
}

// NewSocket makes a Socket of conn, which may be of any kind.
func NewSocket(conn net.PacketConn) (*Socket, error) {
	s := &Socket{PacketConn: conn}
	switch c := conn.(type) {
	case *net.UDPConn:
		s.udp = c
	case interface{ UDP() *net.UDPConn }: // with something around it
		s.udp = c.UDP()
	default:
		return s, nil
	}
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok || !local.IP.IsUnspecified() {
		if ok {
			s.local = local.AddrPort().Addr().Unmap()
		}
		return s, nil
	}
	err6 := ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	err4 := ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	if err6 != nil && err4 != nil { // which one works depends on the socket's family
		return nil, fmt.Errorf("ask for destination addresses: %w", errors.Join(err4, err6))
	}
	return s, nil
}

// Read waits for a datagram. It needs a buffer of OOBSize beside the one for the datagram.
func (s *Socket) Read(buf, oob []byte) (n int, from Sender, err error) {
	switch {
	case s.udp == nil:
		n, from.net, err = s.ReadFrom(buf)
		if a, ok := from.net.(*net.UDPAddr); ok {
			from.Addr = a.AddrPort()
		}
	case s.local.IsValid():
		n, from.Addr, err = s.udp.ReadFromUDPAddrPort(buf)
		from.Local = s.local
	default:
		var oobn int
		n, oobn, _, from.Addr, err = s.udp.ReadMsgUDPAddrPort(buf, oob)
		from.Local, from.oob = sourceOf(oob[:oobn])
	}
	return n, from, err
}

// ReadPooled is Read into a buffer of the pool, which is held only when there is something to read: ports
// are many, and most of them are quiet. The caller puts b back, unless it is nil.
func (s *Socket) ReadPooled(pool *sync.Pool, oob []byte) (n int, b *[]byte, from Sender, err error) {
	if s.udp == nil {
		b = pool.Get().(*[]byte)
		n, from, err = s.Read(*b, oob)
		return n, b, from, err
	}
	raw, err := s.udp.SyscallConn()
	if err != nil {
		return 0, nil, from, err
	}
	var oobn int
	var sa unix.Sockaddr
	var rerr error
	err = raw.Read(func(fd uintptr) bool {
		b = pool.Get().(*[]byte)
		for {
			n, oobn, _, sa, rerr = unix.Recvmsg(int(fd), *b, oob, 0)
			if rerr != unix.EINTR {
				break
			}
		}
		if rerr == unix.EAGAIN {
			pool.Put(b)
			b = nil
			return false
		}
		return true
	})
	if err == nil && rerr != nil {
		err = &net.OpError{Op: "read", Net: "udp", Addr: s.LocalAddr(), Err: os.NewSyscallError("recvmsg", rerr)}
	}
	if err != nil {
		return 0, b, from, err
	}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		from.Addr = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(a.Addr)
		if a.ZoneId != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(a.ZoneId), 10))
		}
		from.Addr = netip.AddrPortFrom(ip, uint16(a.Port))
	}
	if from.Local = s.local; !s.local.IsValid() {
		from.Local, from.oob = sourceOf(oob[:oobn])
	}
	return n, b, from, nil
}

// Answer sends a datagram to whom one came from.
func (s *Socket) Answer(packet []byte, to Sender) (err error) {
	switch {
	case s.udp == nil:
		_, err = s.WriteTo(packet, to.net)
	case len(to.oob) == 0:
		_, err = s.udp.WriteToUDPAddrPort(packet, to.Addr)
	default:
		_, _, err = s.udp.WriteMsgUDPAddrPort(packet, to.oob, to.Addr)
	}
	return err
}

// sourceOf turns the control message of a question into the one of its answer. The interface is left to the
// routing table, except where an address means nothing without one.
func sourceOf(oob []byte) (netip.Addr, []byte) {
	var dst net.IP
	var iface int
	var c6 ipv6.ControlMessage
	var c4 ipv4.ControlMessage
	if c6.Parse(oob) == nil && c6.Dst != nil {
		dst, iface = c6.Dst, c6.IfIndex
	} else if c4.Parse(oob) == nil {
		dst = c4.Dst
	}
	local, _ := netip.AddrFromSlice(dst)
	local = local.Unmap()
	switch {
	case !local.IsValid() || local.IsMulticast() || dst.Equal(net.IPv4bcast):
		return netip.Addr{}, nil
	case local.Is4(): // also on an IPv6 socket that takes both families
		return local, (&ipv4.ControlMessage{Src: dst}).Marshal()
	case local.IsLinkLocalUnicast():
		return local, (&ipv6.ControlMessage{Src: dst, IfIndex: iface}).Marshal()
	default:
		return local, (&ipv6.ControlMessage{Src: dst}).Marshal()
	}
}

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/join"
	"github.com/warrenedge/warren/dataplane/liveness"
)

// peer is WireGuard with heartbeats and nothing else: what a connector says in an idle tunnel, without the TCP stack
// and the batches of one, of which this machine can't hold two thousand.
type peer struct {
	dev   *device.Device
	sock  *socket
	to    netip.AddrPort
	wire  *wire
	beats *liveness.Monitor
}

// reminds is how often a connector reminds translators of addresses of a tunnel that is idle.
const reminds = 25 * time.Second

// newPeer opens a tunnel to the node, from an address of its own.
func newPeer(id *join.Identity, from netip.Addr, to node) (*peer, error) {
	w := &wire{self: id.Overlay, out: make(chan []byte, 16), in: make(chan []byte, 16), events: make(chan tun.Event), done: make(chan struct{})}
	sock := &socket{from: from}
	dev := device.NewDevice(w, sock, device.NewLogger(device.LogLevelSilent, ""))
	err := dev.IpcSet(fmt.Sprintf("private_key=%s\npublic_key=%s\nendpoint=%s\nallowed_ip=%s/128\n",
		id.WG.RevealHex(), to.Key.Hex(), to.WireGuard, to.Overlay))
	if err == nil {
		err = dev.Up()
	}
	if err != nil {
		dev.Close()
		return nil, fmt.Errorf("tunnel of %s: %w", id.ID, err)
	}
	beats := liveness.New(liveness.Options{Port: fabric.HeartbeatPort, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	beats.Apply([]liveness.Peer{{ID: to.ID, Addr: to.Overlay}})
	return &peer{dev, sock, to.WireGuard, w, beats}, nil
}

// run exchanges heartbeats until ctx ends.
func (p *peer) run(ctx context.Context) error {
	defer p.dev.Close()
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { p.remind(ctx) })
	return p.beats.Serve(ctx, p.wire)
}

// remind sends the reminders until ctx ends.
func (p *peer) remind(ctx context.Context) {
	tick := time.NewTicker(reminds)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = p.sock.Send([][]byte{{0}}, &conn.StdNetEndpoint{AddrPort: p.to})
		}
	}
}

// socket is a UDP socket at an address, which takes packets one by one.
type socket struct {
	from netip.Addr
	mu   sync.Mutex
	udp  *net.UDPConn // guarded by mu
}

func (s *socket) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.from, port)))
	if err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.udp = c
	return []conn.ReceiveFunc{func(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		n, from, err := c.ReadFromUDPAddrPort(bufs[0])
		sizes[0], eps[0] = n, &conn.StdNetEndpoint{AddrPort: from}
		return 1, err
	}}, c.LocalAddr().(*net.UDPAddr).AddrPort().Port(), nil
}

func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.udp == nil {
		return nil
	}
	return s.udp.Close()
}

func (s *socket) Send(bufs [][]byte, ep conn.Endpoint) error {
	s.mu.Lock()
	c := s.udp
	s.mu.Unlock()
	for _, b := range bufs {
		if _, err := c.WriteToUDPAddrPort(b, ep.(*conn.StdNetEndpoint).AddrPort); err != nil {
			return err
		}
	}
	return nil
}

func (s *socket) ParseEndpoint(text string) (conn.Endpoint, error) {
	a, err := netip.ParseAddrPort(text)
	return &conn.StdNetEndpoint{AddrPort: a}, err
}

func (s *socket) SetMark(uint32) error { return nil }
func (s *socket) BatchSize() int       { return 1 }

// wire is an interface with one socket of UDP on it, that of the heartbeats.
type wire struct {
	net.PacketConn // the rest is not asked for
	self           netip.Addr
	out, in        chan []byte // packets of IPv6; what does not fit is lost
	events         chan tun.Event
	done           chan struct{}
	once           sync.Once
}

const headers = 40 + 8 // IPv6 and UDP

func (w *wire) File() *os.File           { return nil }
func (w *wire) MTU() (int, error)        { return 1420, nil }
func (w *wire) Name() (string, error)    { return "wire", nil }
func (w *wire) Events() <-chan tun.Event { return w.events }
func (w *wire) BatchSize() int           { return 1 }

func (w *wire) Close() error {
	w.once.Do(func() { close(w.done); close(w.events) })
	return nil
}

func (w *wire) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	select {
	case p := <-w.out:
		sizes[0] = copy(bufs[0][offset:], p)
		return 1, nil
	case <-w.done:
		return 0, os.ErrClosed
	}
}

func (w *wire) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		select {
		case w.in <- append([]byte(nil), b[offset:]...):
		default:
		}
	}
	return len(bufs), nil
}

var errHeaders = errors.New("shorter than its headers")

// ReadFrom gives the content of the next packet.
func (w *wire) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-w.in:
		if len(p) < headers {
			return 0, nil, errHeaders
		}
		from := netip.AddrPortFrom(netip.AddrFrom16([16]byte(p[8:24])), binary.BigEndian.Uint16(p[40:]))
		return copy(b, p[headers:]), net.UDPAddrFromAddrPort(from), nil
	case <-w.done:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo puts headers before a datagram.
func (w *wire) WriteTo(b []byte, to net.Addr) (int, error) {
	dst := to.(*net.UDPAddr).AddrPort()
	p := make([]byte, headers, headers+len(b))
	p[0], p[6], p[7] = 0x60, 17, 64
	size := uint16(headers - 40 + len(b))
	binary.BigEndian.PutUint16(p[4:], size)
	copy(p[8:], w.self.AsSlice())
	copy(p[24:], dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(p[40:], fabric.HeartbeatPort)
	binary.BigEndian.PutUint16(p[42:], dst.Port())
	binary.BigEndian.PutUint16(p[44:], size)
	p = append(p, b...)
	binary.BigEndian.PutUint16(p[46:], checksum(p))
	select {
	case w.out <- p:
	default:
	}
	return len(b), nil
}

// checksum is that of UDP in IPv6 (RFC 8200 §8.1) for a packet whose own is zero.
func checksum(p []byte) uint16 {
	sum := uint32(len(p)-40) + uint32(p[6])
	for i := 8; i+1 < len(p); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	if len(p)%2 == 1 {
		sum += uint32(p[len(p)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if sum == 0xffff {
		return 0xffff
	}
	return ^uint16(sum)
}

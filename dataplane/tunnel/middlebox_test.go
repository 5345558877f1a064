package tunnel

import (
	"net"
	"net/netip"
	"sync"
	"testing"
)

// middlebox passes UDP on to a node like a router that translates addresses.
type middlebox struct {
	addr netip.AddrPort

	mu      sync.Mutex
	in      *net.UDPConn
	node    netip.AddrPort
	flows   map[netip.AddrPort]*net.UDPConn // guarded by mu; by client
	refused map[netip.AddrPort]bool         // guarded by mu; clients that nothing is passed on for
	blocked bool                            // guarded by mu; nothing passes
	oneWay  bool                            // guarded by mu; nothing passes to clients
	most    int                             // guarded by mu; larger datagrams don't pass; 0: all do
	wg      sync.WaitGroup
}

func loopback(t testing.TB, port uint16) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newMiddlebox(t testing.TB, nodePort uint16) *middlebox {
	t.Helper()
	m := &middlebox{
		in: loopback(t, 0), node: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), nodePort),
		flows: map[netip.AddrPort]*net.UDPConn{}, refused: map[netip.AddrPort]bool{},
	}
	m.addr = m.in.LocalAddr().(*net.UDPAddr).AddrPort()
	m.wg.Go(func() { m.pass() })
	t.Cleanup(func() {
		_ = m.in.Close()
		m.forget()
		m.wg.Wait()
	})
	return m
}

// pass brings datagrams to the node.
func (m *middlebox) pass() {
	b := make([]byte, 4096)
	for {
		n, client, err := m.in.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if out := m.flow(client); out != nil && m.fits(n) {
			_, _ = out.Write(b[:n])
		}
	}
}

// flow is the way to the node for a client; nil when there is none.
func (m *middlebox) flow(client netip.AddrPort) *net.UDPConn {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.blocked || m.refused[client] {
		return nil
	}
	out := m.flows[client]
	if out == nil {
		var err error
		if out, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(m.node)); err != nil {
			return nil
		}
		m.flows[client] = out
		m.wg.Go(func() {
			b := make([]byte, 4096)
			for {
				n, err := out.Read(b)
				if err != nil {
					if e, ok := err.(net.Error); ok && !e.Timeout() && !isClosed(err) {
						continue // the node is away
					}
					return
				}
				m.mu.Lock()
				pass := !m.blocked && !m.oneWay && !m.refused[client]
				m.mu.Unlock()
				if pass && m.fits(n) {
					_, _ = m.in.WriteToUDPAddrPort(b[:n], client)
				}
			}
		})
	}
	return out
}

func (m *middlebox) fits(size int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.most == 0 || size <= m.most
}

// forget makes every flow come from a new port, like a router that was restarted.
func (m *middlebox) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for client, c := range m.flows {
		_ = c.Close()
		delete(m.flows, client)
	}
}

// refuse passes nothing on any more for the clients there are: a router whose entry for them is stale.
func (m *middlebox) refuse() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for client := range m.flows {
		m.refused[client] = true
	}
}

func (m *middlebox) set(blocked, oneWay bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blocked, m.oneWay = blocked, oneWay
}

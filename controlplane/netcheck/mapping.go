package netcheck

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Mapping is what becomes of this machine's address and port on the way to nodes, in the words of RFC 5780. What passes the
// other way, the filtering, is not looked at: nobody calls a connector.
type Mapping string

// Mappings.
const (
	MappingUnknown      Mapping = "unknown"              // too few nodes have said what they see
	MappingNone         Mapping = "none"                 // nodes see this machine's own: there is no NAT
	EndpointIndependent Mapping = "endpoint-independent" // all nodes see the same
	AddressDependent    Mapping = "address-dependent"    // each node sees another one
)

// WhoAmI is the question, of class CH and type TXT, that nodes answer with the address and port that it came from.
const WhoAmI = "whoami.warren."

// Seen is what nodes have said, each by the address at which it was asked.
type Seen map[netip.Addr]netip.AddrPort

// Mapped asks nodes, all from one socket, what they see of it, and judges that. own is what this machine's address towards them
// is. All of them are of one family.
func (p Probe) Mapped(ctx context.Context, nodes []netip.AddrPort) (m Mapping, seen Seen, err error) {
	ctx, cancel := context.WithTimeout(ctx, AskTime)
	defer cancel()
	sock, err := net.ListenPacket("udp", ":0")
	if err != nil {
		return MappingUnknown, nil, err
	}
	defer sock.Close()
	deadline, _ := ctx.Deadline()
	_ = sock.SetDeadline(deadline)
	q, err := whoAmI()
	if err != nil {
		return MappingUnknown, nil, err
	}
	waiting := map[netip.Addr]bool{}
	for _, at := range nodes {
		waiting[at.Addr()] = true
	}
	var asking sync.WaitGroup
	stop := make(chan struct{})
	asking.Go(func() { // a packet may be lost
		tick := time.NewTicker(AskTime / 4)
		defer tick.Stop()
		for {
			for _, at := range nodes {
				_, _ = sock.WriteTo(q, net.UDPAddrFromAddrPort(at))
			}
			select {
			case <-stop:
				return
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	defer asking.Wait()
	defer close(stop)
	seen = Seen{}
	buf := make([]byte, 4096)
	for len(waiting) > 0 {
		n, from, err := sock.ReadFrom(buf)
		if err != nil {
			break // the time is over
		}
		at := from.(*net.UDPAddr).AddrPort()
		if node := at.Addr().Unmap(); waiting[node] {
			said, ok := whoSaid(buf[:n])
			if delete(waiting, node); ok { // or it is a node that does not know the question
				seen[node] = said
			}
		}
	}
	return judge(sock.LocalAddr().(*net.UDPAddr).AddrPort().Port(), ownAddresses(ctx, nodes), seen), seen, nil
}

// judge says what the mapping is, by what nodes see of a socket on a port of a machine with these addresses.
func judge(port uint16, own []netip.Addr, seen Seen) Mapping {
	var all []netip.AddrPort
	translated := false
	for _, at := range seen {
		all = append(all, at)
		translated = translated || at.Port() != port || !slices.Contains(own, at.Addr())
	}
	slices.SortFunc(all, netip.AddrPort.Compare)
	switch {
	case len(all) == 0:
		return MappingUnknown
	case !translated:
		return MappingNone
	case len(all) == 1:
		return MappingUnknown // that there is one, one node can say; not of which kind
	case len(slices.Compact(all)) == 1:
		return EndpointIndependent
	}
	return AddressDependent
}

// ownAddresses are those that this machine has towards nodes.
func ownAddresses(ctx context.Context, nodes []netip.AddrPort) (own []netip.Addr) {
	for _, at := range nodes {
		c, err := (&net.Dialer{}).DialContext(ctx, "udp", at.String())
		if err != nil {
			continue
		}
		own = append(own, c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap())
		_ = c.Close()
	}
	return own
}

func whoAmI() ([]byte, error) {
	q := new(dns.Msg).SetQuestion(WhoAmI, dns.TypeTXT)
	q.Question[0].Qclass, q.RecursionDesired = dns.ClassCHAOS, false
	return q.Pack()
}

// whoSaid reads an answer.
func whoSaid(packet []byte) (at netip.AddrPort, ok bool) {
	in := new(dns.Msg)
	if in.Unpack(packet) != nil || !in.Response || in.Rcode != dns.RcodeSuccess || len(in.Answer) != 1 {
		return at, false
	}
	txt, ok := in.Answer[0].(*dns.TXT)
	if !ok || len(txt.Txt) != 1 {
		return at, false
	}
	at, err := netip.ParseAddrPort(txt.Txt[0])
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), err == nil
}

// Sizes of packets, with IP's header, for which it is tried whether they get through: what WireGuard, PPPoE, tunnels and plain
// Ethernet leave, and what IPv6 asks for at least.
var packetSizes = []int{1280, 1340, 1380, 1400, 1420, 1440, 1452, 1460, 1480, 1492, 1500}

// What IP and UDP put before a packet's content.
const (
	headers4 = 20 + 8
	headers6 = 40 + 8
)

// PathMTU says of which size packets get to a node's DNS without being cut on the way: the largest one that it has answered.
// 0: it can't be said, as none was, or this system can't forbid cutting.
func (p Probe) PathMTU(ctx context.Context, at netip.AddrPort) (mtu int, err error) {
	ctx, cancel := context.WithTimeout(ctx, AskTime)
	defer cancel()
	c, err := uncut(ctx, at)
	if err != nil || c == nil {
		return 0, words(err)
	}
	defer c.Close()
	headers := headers4
	if at.Addr().Is6() {
		headers = headers6
	}
	const rounds = 2 // a packet may be lost
	buf := make([]byte, 4096)
	for round := range rounds {
		for i := len(packetSizes) - 1; i >= 0 && packetSizes[i] > mtu; i-- {
			q, err := padded(uint16(packetSizes[i]), packetSizes[i]-headers)
			if err != nil {
				return 0, err
			}
			_, _ = c.Write(q) // too large for the first network already: that is an answer, too
		}
		_ = c.SetReadDeadline(time.Now().Add(AskTime / rounds / 2 * time.Duration(round+1)))
		for mtu < packetSizes[len(packetSizes)-1] {
			n, err := c.Read(buf)
			if err != nil {
				break
			}
			in := new(dns.Msg)
			if in.Unpack(buf[:n]) == nil && in.Response && slices.Contains(packetSizes, int(in.Id)) {
				mtu = max(mtu, int(in.Id))
			}
		}
	}
	if mtu == 0 {
		return 0, ErrSilent
	}
	return mtu, nil
}

// padded is a question of so many octets (RFC 7830).
func padded(id uint16, size int) ([]byte, error) {
	q := new(dns.Msg).SetQuestion(".", dns.TypeSOA)
	q.Id, q.RecursionDesired = id, false
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT, Class: 1232}}
	pad := new(dns.EDNS0_PADDING)
	opt.Option, q.Extra = []dns.EDNS0{pad}, []dns.RR{opt}
	if short := size - q.Len(); short > 0 {
		pad.Padding = make([]byte, short)
	}
	b, err := q.Pack()
	if err == nil && len(b) != size {
		err = fmt.Errorf("question of %d octets, want %d", len(b), size)
	}
	return b, err
}

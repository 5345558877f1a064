package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/netcheck"
	"github.com/warrenedge/warren/shared/endpoint"
)

// reached is how one address of a node is reached from here.
type reached struct {
	Node      string  `json:"node"`
	Address   string  `json:"address"`
	TCP       string  `json:"tcp"` // ok, or what is wrong
	RoundTrip float64 `json:"round_trip_ms,omitempty"`
	UDP       string  `json:"udp"`                // of its DNS, which answers
	WireGuard string  `json:"wireguard"`          // "not refused" is all that can be known: it answers no stranger
	MTU       int     `json:"mtu,omitempty"`      // as this machine's kernel knows it: no packet may be larger
	PathMTU   int     `json:"path_mtu,omitempty"` // of packets that the node has answered; absent: not known
}

// network is what can be said of this machine's.
type network struct {
	IPv4  string    `json:"ipv4"` // ok, failed or not tried
	IPv6  string    `json:"ipv6"`
	TCP   bool      `json:"tcp"`
	UDP   bool      `json:"udp"`
	MTU   int       `json:"mtu,omitempty"`  // the smallest of a node
	Best  string    `json:"best,omitempty"` // node
	NAT   []natView `json:"nat"`
	Nodes []reached `json:"nodes"`
}

// natView is what becomes of this machine's address, of one family.
type natView struct {
	Family  string            `json:"family"` // IPv4 or IPv6
	Mapping netcheck.Mapping  `json:"mapping"`
	Seen    map[string]string `json:"seen"` // the address and port of one socket, by the node that saw it
}

func (a *app) netcheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "netcheck [ADDRESS…]", Short: "Say what of the nodes this machine reaches, and how well",
		Long: "Say what of the nodes this machine reaches: TCP to their TLS port with the round trip, UDP by a question to their DNS, the WireGuard\n" +
			"port, over IPv4 and IPv6, how large packets may be, and what a NAT does. With addresses it needs no control plane: on the machine of a connector.\n" +
			"WireGuard answers no stranger: of its port can be said that it is refused, or that it is not. Exits with 1 when no node is reached.\n\n" +
			"The MTU is the largest of some sizes at which a node's DNS has answered a packet that must not be cut; \"at most\" is what this machine's\n" +
			"kernel knows, where no answer came. The mapping of a NAT is judged by what two nodes see of one socket (RFC 5780): endpoint-independent\n" +
			"if it is the same, address-dependent if not; unknown with fewer. Tunnels work through either.",
		Example: "  warren netcheck\n  warren netcheck 192.0.2.1 2001:db8::1",
		RunE: func(cmd *cobra.Command, args []string) error {
			nodes, err := a.netcheckNodes(cmd.Context(), args)
			if err != nil {
				return err
			}
			n := look(cmd.Context(), netcheck.Probe{}, nodes)
			if a.structured() {
				err = a.print(n)
			} else {
				err = a.showNetwork(n)
			}
			if err == nil && !n.TCP {
				err = errors.New("no node is reached from here")
			}
			return err
		},
	}
}

func (a *app) netcheckNodes(ctx context.Context, args []string) ([]edge, error) {
	var out []edge
	for _, text := range args {
		if _, err := netip.ParseAddr(text); err != nil {
			return nil, usagef("%q is no address: want one such as 192.0.2.1", text)
		}
		out = append(out, edge{Name: text, Addresses: []string{text}})
	}
	if len(out) > 0 {
		return out, nil
	}
	s, err := a.connect()
	if err != nil {
		return nil, err
	}
	return s.edges(ctx, "")
}

// atOnce bounds how many addresses are asked at a time.
const atOnce = 16

func look(ctx context.Context, p netcheck.Probe, nodes []edge) network {
	n := network{IPv4: "not tried", IPv6: "not tried", NAT: []natView{}, Nodes: []reached{}}
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, e := range nodes {
		for _, at := range e.addrs(0) {
			all.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				r := lookAt(ctx, p, e, at)
				mu.Lock()
				defer mu.Unlock()
				n.Nodes = append(n.Nodes, r)
			})
		}
	}
	all.Go(func() { n.NAT = lookThrough(ctx, p, nodes) })
	all.Wait()
	slices.SortFunc(n.Nodes, func(a, b reached) int {
		return slices.Compare([]string{a.Node, a.Address}, []string{b.Node, b.Address})
	})
	n.sum()
	return n
}

// sum says of the machine what its addresses have in common.
func (n *network) sum() {
	best := 0.0
	for _, r := range n.Nodes {
		family := &n.IPv4
		if at, err := netip.ParseAddrPort(r.Address); err == nil && at.Addr().Is6() {
			family = &n.IPv6
		}
		ok := r.TCP == "ok"
		if ok {
			*family, n.TCP = "ok", true
		} else if *family == "not tried" {
			*family = "failed"
		}
		n.UDP = n.UDP || r.UDP == "ok" || r.UDP == notAsked
		if mtu := cmp.Or(r.PathMTU, r.MTU); mtu > 0 && (n.MTU == 0 || mtu < n.MTU) {
			n.MTU = mtu
		}
		if ok && (best == 0 || r.RoundTrip < best) {
			best, n.Best = r.RoundTrip, r.Node
		}
	}
}

// notAsked is said of a DNS on loopback: no resolver asks it, so it may listen at any port.
const notAsked = "not asked on loopback"

func lookAt(ctx context.Context, p netcheck.Probe, e edge, at netip.AddrPort) reached {
	r := reached{Node: e.Name, Address: at.String(), TCP: "ok", UDP: "ok", WireGuard: "not refused"}
	const tries = 3
	for range tries { // the shortest is nearest to what the way takes
		took, mtu, err := p.Connect(ctx, at)
		if err != nil {
			r.TCP = err.Error()
			break
		}
		r.MTU = mtu
		if ms := float64(took.Microseconds()) / 1000; r.RoundTrip == 0 || ms < r.RoundTrip {
			r.RoundTrip = ms
		}
	}
	if at.Addr().IsLoopback() {
		r.UDP = notAsked
	} else if _, err := p.Answers(ctx, netip.AddrPortFrom(at.Addr(), 53), "."); err != nil {
		r.UDP = err.Error()
	} else if mtu, err := p.PathMTU(ctx, netip.AddrPortFrom(at.Addr(), 53)); err == nil {
		r.PathMTU = mtu
	}
	port := uint16(51820)
	if w, err := endpoint.Parse(e.WireguardEndpoint); err == nil && w.Addr.IsValid() {
		port = w.Addr.Port()
	}
	if err := p.Refused(ctx, netip.AddrPortFrom(at.Addr(), port)); err != nil {
		r.WireGuard = err.Error()
	}
	return r
}

// lookThrough asks the nodes of each family what they see of this machine.
func lookThrough(ctx context.Context, p netcheck.Probe, nodes []edge) []natView {
	out := []natView{}
	for _, family := range []string{"IPv4", "IPv6"} {
		var at []netip.AddrPort
		names := map[netip.Addr]string{}
		for _, e := range nodes {
			for _, r := range e.resolvers() {
				if r.Addr().Is6() == (family == "IPv6") && len(at) < atOnce {
					at = append(at, r)
					names[r.Addr()] = e.Name
				}
			}
		}
		if len(at) == 0 {
			continue
		}
		v := natView{Family: family, Mapping: netcheck.MappingUnknown, Seen: map[string]string{}}
		if mapping, seen, err := p.Mapped(ctx, at); err == nil {
			v.Mapping = mapping
			for node, as := range seen {
				v.Seen[names[node]] = as.String()
			}
		}
		out = append(out, v)
	}
	return out
}

func (a *app) showNetwork(n network) error {
	var rows [][]string
	for _, r := range n.Nodes {
		trip, mtu := "", ""
		if r.RoundTrip > 0 {
			trip = millis(time.Duration(r.RoundTrip * float64(time.Millisecond)))
		}
		switch {
		case r.PathMTU > 0:
			mtu = strconv.Itoa(r.PathMTU)
		case r.MTU > 0:
			mtu = fmt.Sprintf("at most %d", r.MTU)
		}
		rows = append(rows, []string{r.Node, r.Address, r.TCP, trip, r.UDP, r.WireGuard, mtu})
	}
	if err := a.table([]string{"node", "address", "tcp", "round trip", "udp", "wireguard", "mtu"}, rows); err != nil {
		return err
	}
	yes := map[bool]string{true: "gets through", false: "gets no answer"}
	fmt.Fprintf(a.out, "\nIPv4 %s, IPv6 %s; UDP %s; best node: %s\n", n.IPv4, n.IPv6, yes[n.UDP], firstOf(n.Best, "none"))
	for _, v := range n.NAT {
		fmt.Fprintf(a.out, "NAT of %s: %s\n", v.Family, v.words())
	}
	if len(n.NAT) == 0 {
		fmt.Fprintln(a.out, "NAT: not known, no node's DNS can be asked from here")
	}
	if n.TCP && !n.UDP {
		fmt.Fprintln(a.out, "Without UDP tunnels go inside TLS, to the nodes' TLS port: slower, and all works.")
	}
	return nil
}

// words says what a mapping means.
func (v natView) words() string {
	switch v.Mapping {
	case netcheck.MappingNone:
		return "none, nodes see this machine's own address"
	case netcheck.EndpointIndependent:
		return "endpoint-independent mapping, all nodes see " + slices.Sorted(maps.Values(v.Seen))[0]
	case netcheck.AddressDependent:
		return "address-dependent mapping, nodes see " + strings.Join(slices.Sorted(maps.Values(v.Seen)), ", ")
	}
	if len(v.Seen) > 0 {
		return "there is one, as " + slices.Sorted(maps.Keys(v.Seen))[0] + " sees " + slices.Sorted(maps.Values(v.Seen))[0] + "; two nodes have to be asked for its mapping"
	}
	return "unknown, no node has said what it sees"
}

package lab

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// rules is what the lab's firewalls hold. They stand in the segments, so that a sender does not learn
// from its own kernel that a packet was dropped.
type rules struct {
	blocked map[block][]int // ports of which nothing passes; none named: nothing of the protocol at all
	parts   []partition
}

// block is of one protocol at a host.
type block struct {
	host     *Host
	protocol string
}

// A partition keeps what one group of hosts sends from another.
type partition struct {
	from, to []*Host
}

// BlockUDP drops every UDP packet that the host sends or is sent, or only those from or to the ports.
// At a site's router it is the site's firewall.
func (h *Host) BlockUDP(ports ...int) error { return h.block("udp", ports) }

// AllowUDP ends BlockUDP.
func (h *Host) AllowUDP() error { return h.allow("udp") }

// BlockTCP is BlockUDP for the other protocol: connections hear nothing of it, they fall silent.
func (h *Host) BlockTCP(ports ...int) error { return h.block("tcp", ports) }

// AllowTCP ends BlockTCP.
func (h *Host) AllowTCP() error { return h.allow("tcp") }

func (h *Host) block(protocol string, ports []int) error {
	for _, p := range ports {
		if p < 1 || p > 65535 {
			return fmt.Errorf("%s: block %s: %d is no port", h.Name, strings.ToUpper(protocol), p)
		}
	}
	return h.lab.changeWall(func(r *rules) {
		if r.blocked == nil {
			r.blocked = map[block][]int{}
		}
		r.blocked[block{h, protocol}] = slices.Clone(ports)
	})
}

func (h *Host) allow(protocol string) error {
	return h.lab.changeWall(func(r *rules) { delete(r.blocked, block{h, protocol}) })
}

// Partition keeps two groups of hosts apart, both ways. A host in a private network is meant by its own address;
// the network as a whole by its router.
func (l *Lab) Partition(a, b []*Host) error {
	return l.changeWall(func(r *rules) { r.parts = append(r.parts, partition{a, b}, partition{b, a}) })
}

// PartitionOneWay keeps what the first group sends from the second; the other way stays open.
func (l *Lab) PartitionOneWay(from, to []*Host) error {
	return l.changeWall(func(r *rules) { r.parts = append(r.parts, partition{from, to}) })
}

// Unite ends every partition.
func (l *Lab) Unite() error {
	return l.changeWall(func(r *rules) { r.parts = nil })
}

// changeWall changes what the firewalls hold and loads them.
func (l *Lab) changeWall(change func(*rules)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.wall)
	return l.applyWallLocked()
}

// applyWallLocked loads the whole wanted state into every segment.
func (l *Lab) applyWallLocked() error {
	var errs []error
	for _, s := range l.segments {
		errs = append(errs, nft(s.ns, l.wall.render(s)))
	}
	return errors.Join(errs...)
}

// render is a segment's ruleset.
func (r rules) render(s *segment) string {
	var b strings.Builder
	b.WriteString("table bridge wall\ndelete table bridge wall\ntable bridge wall {\n\tchain forwarded {\n\t\ttype filter hook forward priority 0\n")
	var blocked []block
	for b := range r.blocked {
		if b.host.wire.seg == s {
			blocked = append(blocked, b)
		}
	}
	slices.SortFunc(blocked, func(x, y block) int {
		return cmp.Or(strings.Compare(x.host.Name, y.host.Name), strings.Compare(x.protocol, y.protocol))
	})
	for _, at := range blocked {
		for _, side := range []string{"iifname", "oifname"} {
			if len(r.blocked[at]) == 0 {
				fmt.Fprintf(&b, "\t\t%s %s meta l4proto %s drop\n", side, at.host.wire.port, at.protocol)
			}
			for _, port := range r.blocked[at] {
				fmt.Fprintf(&b, "\t\t%[1]s %[2]s %[3]s sport %[4]d drop\n\t\t%[1]s %[2]s %[3]s dport %[4]d drop\n", side, at.host.wire.port, at.protocol, port)
			}
		}
	}
	for _, p := range r.parts {
		for _, family := range []string{"ip", "ip6"} {
			from, to := addresses(p.from, family), addresses(p.to, family)
			if from != "" && to != "" {
				fmt.Fprintf(&b, "\t\t%[1]s saddr { %[2]s } %[1]s daddr { %[3]s } drop\n", family, from, to)
			}
		}
	}
	b.WriteString("\t}\n}\n")
	return b.String()
}

// addresses lists the hosts' addresses of a family for nft.
func addresses(hosts []*Host, family string) string {
	var all []netip.Addr
	for _, h := range hosts {
		for _, a := range h.addrsLocked() {
			if a.Is4() == (family == "ip") {
				all = append(all, a)
			}
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	var out []string
	for _, a := range slices.Compact(all) {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}

package policy

import (
	"fmt"
	"net/netip"

	"github.com/gaissmai/bart"
)

// few is up to how many networks are looked through one after the other, which is faster than a table and takes less room.
const few = 8

// networks is a set of prefixes.
type networks struct {
	list  []netip.Prefix
	table *bart.Lite
}

func compileNetworks(field string, texts []string) (networks, error) {
	if len(texts) == 0 {
		return networks{}, nil
	}
	n := networks{list: make([]netip.Prefix, len(texts))}
	for i, s := range texts {
		p, err := ParseNetwork(s)
		if err != nil {
			return n, wrong(fmt.Sprintf("%s[%d]", field, i), "%v", err)
		}
		n.list[i] = p
	}
	if len(n.list) > few {
		n.table = new(bart.Lite)
		for _, p := range n.list {
			n.table.Insert(p)
		}
		n.list = nil
	}
	return n, nil
}

// ParseNetwork reads a network, or an address as the network of it alone. IPv4 has one spelling: what is written as IPv6 that
// maps IPv4 is refused, clients are never seen that way.
func ParseNetwork(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, aerr := netip.ParseAddr(s)
		if aerr != nil {
			return p, fmt.Errorf("%q is no network: want one such as 192.0.2.0/24 or 2001:db8::/32", s)
		}
		if a.Zone() != "" {
			return p, fmt.Errorf("%q: a zone means something on one machine only", s)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() {
		return p, fmt.Errorf("%s: write it as IPv4", s)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%s is an address in %s: want the network", p, p.Masked())
	}
	return p, nil
}

// contain expects an address as Facts have it.
func (n *networks) contain(a netip.Addr) bool {
	if n.table != nil {
		return n.table.Contains(a)
	}
	for i := range n.list {
		if n.list[i].Contains(a) {
			return true
		}
	}
	return false
}

func (n *networks) empty() bool { return n.list == nil && n.table == nil }

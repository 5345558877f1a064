package policy

import (
	"fmt"
	"net/netip"

	"github.com/gaissmai/bart"
)

// few is up to how many networks are looked through one after the other, which is faster than a table and takes less room.
const few = 8

func (c *Compiled) compileNetworks(field string, w *Conditions) error {
	var table *bart.Lite
	if len(w.Networks) > few {
		table = new(bart.Lite)
	}
	from := len(c.lists.networks)
	for i, s := range w.Networks {
		p, err := ParseNetwork(s)
		if err != nil {
			return wrong(fmt.Sprintf("%snetworks[%d]", field, i), "%v", err)
		}
		if table != nil {
			table.Insert(p)
		} else {
			c.lists.networks = append(c.lists.networks, p)
		}
	}
	if table != nil {
		c.lists.tables = append(c.lists.tables, table)
		c.add(byTable, len(c.lists.tables)-1, len(c.lists.tables))
	}
	c.add(byNetwork, from, len(c.lists.networks))
	return nil
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

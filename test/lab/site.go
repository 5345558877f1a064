package lab

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Site is a private network behind a router that masquerades.
type Site struct {
	Router *Host
	seg    *segment
	lab    *Lab
	lans   []netip.Prefix // one of a family at most
	turns  int            // guarded by lab.mu; how often the translation was rebound
}

// Site makes a private network whose first address is the router's; the router has an address on the internet.
// Both are of IPv4 or both are of IPv6; Also adds the other family.
func (l *Lab) Site(name, wan, lan string) *Site {
	l.t.Helper()
	s := &Site{lab: l, seg: l.segment(name + "-lan")}
	prefix := s.addLAN(lan)
	s.Router = l.Host(name+"-nat", wan)
	l.plug(s.seg, s.Router.ns, "lan0", netip.PrefixFrom(prefix.Addr().Next(), prefix.Bits()))
	// Nothing comes in that was not asked for: a private network as people have it.
	err := nft(s.Router.ns, `
table inet guard {
	chain forwarded {
		type filter hook forward priority 0; policy drop;
		ct state established,related accept
		iifname lan0 accept
	}
}
`)
	if err == nil {
		err = s.translate()
	}
	if err == nil {
		err = s.forward()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

func (s *Site) addLAN(lan string) netip.Prefix {
	p := netip.MustParsePrefix(lan)
	s.lans = append(s.lans, p)
	return p
}

// Also gives the site the other family of addresses as well.
func (s *Site) Also(wan, lan string) {
	s.lab.t.Helper()
	prefix := s.addLAN(lan)
	w := internet(wan)
	s.lab.mu.Lock()
	s.Router.addrs = append(s.Router.addrs[:1:1], w)
	s.lab.mu.Unlock()
	for ifname, addr := range map[string]netip.Prefix{"eth0": w, "lan0": netip.PrefixFrom(prefix.Addr().Next(), prefix.Bits())} {
		err := sysctl(s.Router.ns, "net/ipv6/conf/"+ifname+"/disable_ipv6", "0")
		if err == nil {
			err = addAddr(s.Router.ns, ifname, addr)
		}
		if err != nil {
			s.lab.t.Fatal(err)
		}
	}
	if err := s.forward(); err != nil {
		s.lab.t.Fatal(err)
	}
}

// forward makes a router of the site's router.
func (s *Site) forward() error {
	if err := sysctl(s.Router.ns, "net/ipv4/ip_forward", "1"); err != nil {
		return err
	}
	return sysctl(s.Router.ns, "net/ipv6/conf/all/forwarding", "1")
}

// translate loads the address translation; each turn uses other source ports than the one before, and than
// the hosts' own.
func (s *Site) translate() error {
	ports := ""
	if s.turns > 0 {
		low := 10000 + s.turns%2*10000
		ports = fmt.Sprintf("oifname eth0 meta l4proto { tcp, udp } masquerade to :%d-%d", low, low+9999)
	}
	return nft(s.Router.ns, fmt.Sprintf(`
table inet translate
delete table inet translate
table inet translate {
	chain out {
		type nat hook postrouting priority 100
		%s
		oifname eth0 masquerade
	}
}
`, ports))
}

// Rebind forgets every translation, as a router does that was restarted: flows that go on get other source
// ports, and what comes for the old ones arrives nowhere.
func (s *Site) Rebind() error {
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	s.turns++
	if err := s.translate(); err != nil {
		return err
	}
	ns, err := netns.GetFromName(s.Router.ns)
	if err != nil {
		return fmt.Errorf("%s: rebind: %w", s.Router.Name, err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return fmt.Errorf("%s: rebind: %w", s.Router.Name, err)
	}
	defer h.Close()
	if err := h.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		return fmt.Errorf("%s: rebind: flush translations: %w", s.Router.Name, err)
	}
	return nil
}

// ChangeWAN gives the router another address on the internet, as providers do at night: the kernel forgets
// translations to the old one, and flows that go on come from the new.
func (s *Site) ChangeWAN(addr string) error { return s.Router.ChangeAddr(addr) }

// Host puts a machine into the private network, with an address of each family that it shall speak.
func (s *Site) Host(name string, addrs ...string) *Host {
	s.lab.t.Helper()
	var prefixes []netip.Prefix
	var routers []netip.Addr
	for _, a := range addrs {
		addr := netip.MustParseAddr(a)
		for _, lan := range s.lans {
			if lan.Contains(addr) {
				prefixes = append(prefixes, netip.PrefixFrom(addr, lan.Bits()))
				routers = append(routers, lan.Addr().Next())
			}
		}
	}
	if len(prefixes) != len(addrs) {
		s.lab.t.Fatalf("host %s: %v are not all in %v", name, addrs, s.lans)
	}
	h := s.lab.host(s.seg, name, prefixes)
	for _, gw := range routers {
		s.lab.run("ip", "-n", h.ns, "route", "add", "default", "via", gw.String())
	}
	return h
}

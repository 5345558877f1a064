package docker

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Options say how containers are reached.
type Options struct {
	Network string // whose addresses count where a container is in several; a label says otherwise
	// HostAddress is where this machine is reached in the site: containers are reached at their published ports there.
	// "": they are reached at their own addresses.
	HostAddress string
	Routed      bool // containers' own addresses lead to them from the whole site
}

// anywhere reports whether addresses mean the same on every machine of the site.
func (o Options) anywhere() bool {
	return o.Routed || o.HostAddress != "" && !isLoopback(o.HostAddress)
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

const loopback = "127.0.0.1"

// place is where one port of a container is reached. network is what its label says, "" if nothing; port 0 is the only
// one that it exposes.
func place(c *Container, o Options, network string, port int, protocol string) (address string, at int, err error) {
	if port == 0 {
		if port, err = onlyPort(c, protocol); err != nil {
			return "", 0, err
		}
	}
	if o.HostAddress != "" {
		if hostMode(c) {
			return o.HostAddress, port, nil
		}
		if p, ok := published(c, port, protocol, o.HostAddress); ok {
			return o.HostAddress, p, nil
		}
		return "", 0, fmt.Errorf("port %d is not published at %s", port, o.HostAddress)
	}
	address, err = ownAddress(c, o, network)
	if err != nil || address != "" {
		return address, port, err
	}
	// Engines without privileges give containers no address that leads anywhere.
	if p, ok := published(c, port, protocol, loopback); ok {
		return loopback, p, nil
	}
	if hostMode(c) {
		return loopback, port, nil
	}
	return "", 0, errors.New("it has no address in any network, and does not publish the port")
}

// ownAddress is the container's address in the network that counts; "": it has none at all.
func ownAddress(c *Container, o Options, network string) (string, error) {
	have := map[string]string{}
	var names []string
	for name, n := range c.Networks {
		a := n.IPv4
		if a == "" {
			a = n.IPv6
		}
		if _, err := netip.ParseAddr(a); err == nil {
			have[name] = a
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if network != "" {
		if have[network] == "" {
			return "", fmt.Errorf("it has no address in the network %q, but in %s", network, some(names))
		}
		return have[network], nil
	}
	if a := have[o.Network]; a != "" {
		return a, nil
	}
	switch len(names) {
	case 0:
		return "", nil
	case 1:
		return have[names[0]], nil
	}
	return "", fmt.Errorf("it is in the networks %s: say by label %s which one counts", strings.Join(names, ", "), networkLabel)
}

func some(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// hostMode reports whether the container has the network of its machine. What has a network of its own has not, whatever
// the engine says of it: Podman says "host" of every container.
func hostMode(c *Container) bool {
	for name := range c.Networks {
		if name != "host" {
			return false
		}
	}
	return c.NetworkMode == "host" && len(c.Ports) == 0
}

// onlyPort is the one port that a container exposes.
func onlyPort(c *Container, protocol string) (int, error) {
	var found []int
	for _, p := range c.Ports {
		if p.Type == protocol && !slices.Contains(found, p.Private) {
			found = append(found, p.Private)
		}
	}
	slices.Sort(found)
	switch len(found) {
	case 0:
		return 0, fmt.Errorf("not said, and the container exposes no %s port", protocol)
	case 1:
		return found[0], nil
	}
	return 0, fmt.Errorf("not said, and the container exposes %s", strings.Trim(fmt.Sprint(found), "[]"))
}

// published is at which port of a machine's address a port of a container is reached.
func published(c *Container, port int, protocol, address string) (int, bool) {
	for _, p := range c.Ports {
		if p.Private != port || p.Type != protocol || p.Public == 0 {
			continue
		}
		at, err := netip.ParseAddr(p.IP)
		if p.IP == "" || err == nil && (at.IsUnspecified() || p.IP == address || at.IsLoopback() && isLoopback(address)) {
			return p.Public, true
		}
	}
	return 0, false
}

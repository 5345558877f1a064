package connector

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// Config is all that a connector may do.
type Config struct {
	Site    string                // id of the site it stands in
	Targets map[string]Target     // by id, the only ones that are dialled
	Nodes   map[netip.Addr]string // overlay address → node id, the only ones that are served
	Peer    netip.Addr            // of a Local, and a site that is a stock WireGuard peer: its address, which all targets have
}

// Target is what may be dialled.
type Target struct {
	Address string         // "host:port"
	Network fabric.Network // streams for the other one are refused
	Ports   int            // how many may be dialled, from Address's on; 0 is 1
}

// TargetError is about one target of a Config. The rest was applied.
type TargetError struct {
	ID  string
	Err error
}

func (e *TargetError) Error() string { return fmt.Sprintf("target %s: %v", e.ID, e.Err) }

// Unwrap gives the cause.
func (e *TargetError) Unwrap() error { return e.Err }

// target is a checked Target.
type target struct {
	host     string
	port     uint16 // the first of
	ports    int
	network  fabric.Network
	loopback bool // the address itself names this machine
}

func parseTarget(in Target, permit permission) (target, error) {
	h, p, err := net.SplitHostPort(in.Address)
	if err != nil {
		return target{}, fmt.Errorf("address %q is not host:port: %w", in.Address, err)
	}
	port, err := strconv.ParseUint(p, 10, 16)
	if err != nil || port == 0 {
		return target{}, fmt.Errorf("port %q is not from 1 to 65535", p)
	}
	ports := max(in.Ports, 1)
	if int(port)+ports-1 > 65535 {
		return target{}, fmt.Errorf("%d ports from %d on: the last one is behind 65535", ports, port)
	}
	t := target{host: h, port: uint16(port), ports: ports, network: in.Network}
	if ip, err := netip.ParseAddr(h); err == nil {
		t.loopback = ip.Unmap().IsLoopback()
		return t, permit(ip, t.loopback)
	}
	// Private networks have names that the public DNS would not take, so only what can't be a name is refused.
	if strings.Trim(h, "0123456789.") == "" || len(h) > 254 || strings.ContainsFunc(h, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' }) {
		return target{}, fmt.Errorf("host %q is neither an address nor a name", h)
	}
	if t.loopback = strings.EqualFold(strings.TrimSuffix(h, "."), "localhost"); t.loopback {
		return t, permit(netip.IPv6Loopback(), true) // as good as an address
	}
	return t, nil
}

// address is where to dial for a stream of a network with a port offset.
func (t target) address(network fabric.Network, offset uint16) (string, error) {
	if network != t.network {
		return "", fmt.Errorf("the target speaks %s, not %s", t.network, network)
	}
	if int(offset) >= t.ports {
		return "", fmt.Errorf("port %d of a target that has %d", int(offset)+1, t.ports)
	}
	return net.JoinHostPort(t.host, strconv.Itoa(int(t.port)+int(offset))), nil
}

// DeniedError is the refusal of an address that no target may have.
type DeniedError struct {
	Addr netip.Addr
	Why  string
}

func (e *DeniedError) Error() string { return fmt.Sprintf("address %s is %s", e.Addr, e.Why) }

// permission says whether an address may be dialled for a target; loopback: its address itself names this
// machine. It is asked for every address that a name resolves to, right before the connection is made: what
// the name said earlier does not count.
type permission func(ip netip.Addr, loopback bool) error

// permit is the permission of a connector.
func permit(ip netip.Addr, loopback bool) error {
	ip = ip.Unmap()
	deny := func(why string) error { return &DeniedError{ip, why} }
	switch {
	case !ip.IsValid():
		return errors.New("no address")
	case ip.IsUnspecified(), thisNetwork.Contains(ip):
		return deny("unspecified")
	case ip.IsMulticast(), ip == broadcast:
		return deny("multicast or broadcast")
	case ip.IsLinkLocalUnicast():
		return deny("link-local")
	case ip.IsLoopback() && !loopback:
		return deny("loopback, which only a target that says so reaches")
	case fabric.Overlay.Contains(ip):
		return deny("inside the tunnels")
	}
	return nil
}

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8") // Linux connects to 0.0.0.0 on loopback
	broadcast   = netip.MustParseAddr("255.255.255.255")
)

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
	Targets map[string]string     // target id → "host:port", the only ones that are dialled
	Nodes   map[netip.Addr]string // overlay address → node id, the only ones that are served
}

// TargetError is about one target of a Config. The rest was applied.
type TargetError struct {
	ID  string
	Err error
}

func (e *TargetError) Error() string { return fmt.Sprintf("target %s: %v", e.ID, e.Err) }

// Unwrap gives the cause.
func (e *TargetError) Unwrap() error { return e.Err }

// target is a checked address.
type target struct {
	address  string // host:port
	loopback bool   // the address itself names this machine
}

func parseTarget(address string) (target, error) {
	h, p, err := net.SplitHostPort(address)
	if err != nil {
		return target{}, fmt.Errorf("address %q is not host:port: %w", address, err)
	}
	if port, err := strconv.ParseUint(p, 10, 16); err != nil || port == 0 {
		return target{}, fmt.Errorf("port %q is not from 1 to 65535", p)
	}
	t := target{address: net.JoinHostPort(h, p)}
	if ip, err := netip.ParseAddr(h); err == nil {
		t.loopback = ip.Unmap().IsLoopback()
		return t, permit(ip, t.loopback)
	}
	// Private networks have names that the public DNS would not take, so only what can't be a name is refused.
	if strings.Trim(h, "0123456789.") == "" || len(h) > 254 || strings.ContainsFunc(h, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' }) {
		return target{}, fmt.Errorf("host %q is neither an address nor a name", h)
	}
	t.loopback = strings.EqualFold(strings.TrimSuffix(h, "."), "localhost")
	return t, nil
}

// DeniedError is the refusal of an address that no target may have.
type DeniedError struct {
	Addr netip.Addr
	Why  string
}

func (e *DeniedError) Error() string { return fmt.Sprintf("address %s is %s", e.Addr, e.Why) }

// permit says whether an address may be dialled. It is asked for every address that a name resolves to,
// right before the connection is made: what the name said earlier does not count.
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

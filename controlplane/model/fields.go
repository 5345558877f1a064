package model

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/hostname"
)

var nameRE = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// checkEndpoint accepts an endpoint, or none: it is not known until the node joins.
func checkEndpoint(field string, e endpoint.Endpoint) error {
	if e == (endpoint.Endpoint{}) {
		return nil
	}
	if e.Addr.Port() == 0 {
		return fault.Field(field, "want a port, 1 to 65535")
	}
	if e.Host == "" {
		return checkAddress(field, e.Addr.Addr())
	}
	if name, err := hostname.Canonical(e.Host); err != nil || name != e.Host {
		return fault.Field(field, "%q is no canonical hostname", e.Host)
	}
	return nil
}

func checkAllow(allow []netip.Prefix) error {
	if len(allow) > MaxAllow {
		return fault.Field("allow", "%d networks, want %d at most", len(allow), MaxAllow)
	}
	for i, p := range allow {
		field := fmt.Sprintf("allow[%d]", i)
		switch {
		case !p.IsValid():
			return fault.Field(field, "missing")
		case p.Addr().Is4In6():
			return fault.Field(field, "%s: want the IPv4 form", p)
		case p != p.Masked():
			return fault.Field(field, "%s is an address in %s: want the network", p, p.Masked())
		case i > 0 && ComparePrefix(allow[i-1], p) >= 0:
			return fault.Field(field, "networks must be sorted and different")
		}
	}
	return nil
}

// ComparePrefix orders networks: by family, address, then length.
func ComparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// CanonicalAddress returns the one spelling of a target's address: an IP literal as netip writes it, or
// a canonical hostname. Addresses that mean something else on every machine, or no machine at all, are
// refused: link-local (cloud metadata services live there), unspecified, multicast, broadcast, and
// Warren's own overlay.
func CanonicalAddress(s string) (string, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return hostname.Canonical(s)
	}
	if a.Zone() != "" {
		return "", fmt.Errorf("a zone means nothing at the site")
	}
	a = a.Unmap()
	if err := usable(a); err != nil {
		return "", err
	}
	return a.String(), nil
}

func usable(a netip.Addr) error {
	switch {
	case !a.IsValid():
		return fmt.Errorf("missing")
	case a.Zone() != "":
		return fmt.Errorf("a zone means nothing on another machine")
	case a.Is4In6():
		return fmt.Errorf("want %s", a.Unmap())
	case a.IsUnspecified():
		return fmt.Errorf("%s is the unspecified address", a)
	case thisNetwork.Contains(a):
		return fmt.Errorf("%s is in %s, which is nobody's", a, thisNetwork)
	case a.IsMulticast():
		return fmt.Errorf("%s is a multicast address", a)
	case a.IsLinkLocalUnicast():
		return fmt.Errorf("%s is a link-local address", a)
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%s is the broadcast address", a)
	case Overlay.Contains(a):
		return fmt.Errorf("%s is in %s, where Warren's own addresses are", a, Overlay)
	}
	return nil
}

func checkAddress(field string, a netip.Addr) error {
	if err := usable(a); err != nil {
		return fault.Field(field, "%v", err)
	}
	return nil
}

func checkName(name string, most int) error {
	switch {
	case name == "":
		return fault.Field("name", "missing")
	case len(name) > most:
		return fault.Field("name", "%d characters, want %d at most", len(name), most)
	case !nameRE.MatchString(name):
		return fault.Field("name", "want lower-case letters, digits and inner hyphens")
	}
	return nil
}

func checkSet[K kind](field string, id ID[K]) error {
	if id.IsZero() {
		return fault.Field(field, "missing")
	}
	return nil
}

func checkHash(h []byte) error {
	if len(h) != 32 {
		return fault.New(fault.Internal, "hash of %d bytes, want 32", len(h))
	}
	return nil
}

func checkCanonical(field, s string, canonical func(string) (string, error)) error {
	if s == "" {
		return fault.Field(field, "missing")
	}
	want, err := canonical(s)
	if err != nil {
		return fault.Field(field, "%v", err)
	}
	if want != s {
		return fault.Field(field, "%q is not canonical, want %q", s, want)
	}
	return nil
}

// checkPath accepts "/" and "/a/b": whole segments of characters that need no escape (RFC 3986 §3.3), so
// that a prefix has one spelling and cannot mean different paths to different programs.
func checkPath(field, p string) error {
	switch {
	case p == "":
		return fault.Field(field, "missing")
	case p[0] != '/':
		return fault.Field(field, "want a slash first")
	case len(p) > MaxPath:
		return fault.Field(field, "%d characters, want %d at most", len(p), MaxPath)
	case p == "/":
		return nil
	case strings.HasSuffix(p, "/"):
		return fault.Field(field, "want no slash at the end: %q covers %q already", strings.TrimRight(p, "/"), p)
	}
	for segment := range strings.SplitSeq(p[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fault.Field(field, "segment %q", segment)
		}
		for i := range len(segment) {
			if !pathChar(segment[i]) {
				return fault.Field(field, "character %q", segment[i])
			}
		}
	}
	return nil
}

func pathChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~!$&'()*+,=:@", c) >= 0
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

package model

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/shared/hostname"
)

// Limits.
const (
	MaxName      = 63
	MaxNodeName  = MaxName - len(GluePrefix)                      // "ns-<name>" is one label
	MaxApex      = 253 - len(GluePrefix) - MaxNodeName - len(".") // "ns-<name>.<apex>" is one name
	MaxTunnels   = 8
	MaxCapacity  = 1000
	MaxSiteNodes = 64
	MaxWeight    = 1000
	MaxPath      = 255
	MaxAddresses = 16
	MaxAllow     = 256
)

// GluePrefix starts the names under which a zone lists its own nodes, "ns-<node name>.<apex>".
const GluePrefix = "ns-"

// Validate reports what is wrong with one row by itself, as a fault that names the field as REST does.

func (r *Region) Validate() error { return checkName(r.Name, MaxName) }
func (p *Pool) Validate() error   { return checkName(p.Name, MaxName) }

// MaxPerSecond is more requests than a node carries.
const MaxPerSecond = 1_000_000

func (o *Organization) Validate() error {
	if err := checkName(o.Name, MaxName); err != nil {
		return err
	}
	if o.RequestsPerSecond < 0 || o.RequestsPerSecond > MaxPerSecond {
		return fault.Field("requests_per_second", "%d, want 0 (no bound) to %d", o.RequestsPerSecond, MaxPerSecond)
	}
	return nil
}

func (n *Node) Validate() error {
	if err := first(checkName(n.Name, MaxNodeName), checkSet("pool", n.Pool)); err != nil {
		return err
	}
	if n.Lifecycle != Active && n.Lifecycle != Draining {
		return fault.Field("lifecycle", "want %q or %q", Active, Draining)
	}
	if len(n.Addresses) > MaxAddresses {
		return fault.Field("addresses", "%d addresses, want %d at most", len(n.Addresses), MaxAddresses)
	}
	for i, a := range n.Addresses {
		field := fmt.Sprintf("addresses[%d]", i)
		if err := checkAddress(field, a); err != nil {
			return err
		}
		if slices.Contains(n.Addresses[:i], a) {
			return fault.Field(field, "%s is there twice", a)
		}
	}
	if n.Capacity < 1 || n.Capacity > MaxCapacity {
		return fault.Field("capacity", "%d, want 1 to %d", n.Capacity, MaxCapacity)
	}
	return first(checkEndpoint("wireguard_endpoint", n.WireGuardEndpoint), checkEndpoint("stream_endpoint", n.StreamEndpoint),
		checkEndpoint("gossip_endpoint", n.GossipEndpoint))
}

func (s *Site) Validate() error {
	if err := first(checkName(s.Name, MaxName), checkSet("organization", s.Org), checkSet("pool", s.Pool)); err != nil {
		return err
	}
	if s.Tunnels < 1 || s.Tunnels > MaxTunnels {
		return fault.Field("tunnels", "%d, want 1 to %d", s.Tunnels, MaxTunnels)
	}
	switch s.Carrier {
	case AutoCarrier, StreamCarrier, WireGuardCarrier:
	default:
		return fault.Field("carrier", "want %q, %q or %q", AutoCarrier, StreamCarrier, WireGuardCarrier)
	}
	switch {
	case s.Kind != ConnectorSite && s.Kind != LocalSite && s.Kind != WireGuardSite:
		return fault.Field("kind", "want %q, %q or %q", ConnectorSite, LocalSite, WireGuardSite)
	case s.Kind == LocalSite && len(s.Nodes) == 0:
		return fault.Field("nodes", "missing: a local site needs one node at least that stands in its network")
	case s.Kind == LocalSite && s.Carrier != AutoCarrier:
		return fault.Field("carrier", "a local site has none: its nodes dial the targets themselves")
	case s.Kind == WireGuardSite && s.Carrier != AutoCarrier:
		return fault.Field("carrier", "a wireguard site has none: nodes dial it through its tunnels")
	case s.Kind != WireGuardSite && !s.PeerKey.IsZero():
		return fault.Field("wireguard_public_key", "only a wireguard site has one of its own")
	case s.Kind != LocalSite && len(s.Nodes) > 0:
		return fault.Field("nodes", "only a local site has nodes of its own; the others get theirs from the pool")
	case len(s.Nodes) > MaxSiteNodes:
		return fault.Field("nodes", "%d nodes, want %d at most", len(s.Nodes), MaxSiteNodes)
	case s.Publish != nil && s.Kind != ConnectorSite:
		return fault.Field("publish", "of sites with connectors only")
	case s.Publish != nil:
		return s.Publish.Validate()
	}
	return nil
}

func (c *Connector) Validate() error {
	return first(checkName(c.Name, MaxName), checkSet("organization", c.Org), checkSet("site", c.Site))
}

func (s *Service) Validate() error {
	if err := first(checkName(s.Name, MaxName), checkSet("organization", s.Org), checkSet("pool", s.Pool)); err != nil {
		return err
	}
	switch s.Kind {
	case HTTP, TLS:
		if err := checkCanonical("hostname", s.Hostname, hostname.CanonicalPattern); err != nil {
			return err
		}
	case TCP, UDP:
		if err := first(s.Ports.validate(s.Kind), checkAllow(s.Allow)); err != nil {
			return err
		}
	default:
		return fault.Field("kind", "want %q, %q, %q or %q", HTTP, TLS, TCP, UDP)
	}
	if s.ProxyProtocol < 0 || s.ProxyProtocol > 2 {
		return fault.Field("proxy_protocol", "%d, want 0 (none), 1 or 2", s.ProxyProtocol)
	}
	return s.checkKind()
}

// checkKind refuses what the kind of a service can't have.
func (s *Service) checkKind() error {
	switch {
	case s.Raw() && s.Hostname != "":
		return fault.Field("hostname", "a %s service has no name, it is reached at its ports", s.Kind)
	case !s.Raw() && !s.Ports.IsZero():
		return fault.Field("ports", "of %s and %s services only", TCP, UDP)
	case !s.Raw() && len(s.Allow) > 0:
		return fault.Field("allow", "of %s and %s services only", TCP, UDP)
	case s.ProxyProtocol != 0 && s.Kind != TCP && s.Kind != TLS:
		return fault.Field("proxy_protocol", "of %s and %s services only", TCP, TLS)
	case s.Terminate && s.Kind != TLS:
		return fault.Field("terminate", "of %s services only", TLS)
	case s.Delivery != nil && s.Kind != HTTP:
		return fault.Field("delivery", "of %s services only", HTTP)
	case s.Maintenance != nil && s.Kind != HTTP:
		return fault.Field("maintenance", "of %s services only", HTTP)
	}
	if s.Delivery != nil {
		if err := s.Delivery.Validate(); err != nil {
			return err
		}
	}
	if s.Maintenance != nil {
		return s.Maintenance.Validate()
	}
	return nil
}

func (t *Target) Validate() error {
	if err := first(checkName(t.Name, MaxName), checkSet("organization", t.Org), checkSet("service", t.Service), checkSet("site", t.Site)); err != nil {
		return err
	}
	// Whose address in the overlay it may be is for CheckTarget.
	if a, err := netip.ParseAddr(t.Address); err != nil || !Overlay.Contains(a) || a.String() != t.Address {
		if err := checkCanonical("address", t.Address, CanonicalAddress); err != nil {
			return err
		}
	}
	if t.Port == 0 {
		return fault.Field("port", "want 1 to 65535")
	}
	if t.Weight < 1 || t.Weight > MaxWeight {
		return fault.Field("weight", "%d, want 1 to %d", t.Weight, MaxWeight)
	}
	if err := first(checkPath("path_prefix", t.PathPrefix), t.Upstream.validate()); err != nil || t.HealthCheck == nil {
		return err
	}
	return t.HealthCheck.Validate()
}

func (d *Domain) Validate() error {
	if err := first(checkSet("organization", d.Org), checkSet("pool", d.Pool), checkCanonical("name", d.Name, hostname.Canonical)); err != nil {
		return err
	}
	if len(d.Name) > MaxApex {
		return fault.Field("name", "%d characters, want %d at most: the names of nodes stand below it", len(d.Name), MaxApex)
	}
	return nil
}

func (c *Certificate) Validate() error {
	if err := checkSet("organization", c.Org); err != nil {
		return err
	}
	if len(c.Names) == 0 {
		return fault.Field("names", "want one at least")
	}
	for i, n := range c.Names {
		field := fmt.Sprintf("names[%d]", i)
		if err := checkCanonical(field, n, hostname.CanonicalPattern); err != nil {
			return err
		}
		if i > 0 && c.Names[i-1] >= n {
			return fault.Field(field, "names must be sorted and different")
		}
	}
	switch {
	case len(c.ChainPEM) == 0:
		return fault.Field("chain", "missing")
	case len(c.SealedKey) == 0:
		return fault.Field("private_key", "missing")
	case !c.NotBefore.Before(c.NotAfter):
		return fault.Field("not_after", "not after not_before")
	}
	return nil
}

func (j *JoinToken) Validate() error {
	if err := checkName(j.Name, MaxName); err != nil {
		return err
	}
	if j.Node.IsZero() == j.Connector.IsZero() {
		return fault.Field("node", "want either a node or a connector")
	}
	return checkHash(j.Hash)
}

// thisNetwork is refused by connectors too: some systems take its addresses for their own (RFC 1122 §3.2.1.3).
var thisNetwork = netip.MustParsePrefix("0.0.0.0/8")

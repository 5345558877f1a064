package model

import (
	"net/netip"
	"time"

	"github.com/warrenedge/warren/shared/brand"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/wgkey"
)

// Revision is the number of a committed configuration change: dense, in commit order, without gaps.
type Revision uint64

// Meta is what every object has.
type Meta struct {
	Created time.Time
	Updated time.Time
}

// Organization is a tenant.
type Organization struct {
	ID      OrgID
	Name    string
	Brand   brand.Brand // of the pages that nodes answer with
	Trusted bool        // administrators of the cluster answer for its domains: they need no proof
	// RequestsPerSecond is how many requests and new connections each node serves for it; 0: as many as there are.
	RequestsPerSecond int
	Meta
}

// Region is where nodes stand.
type Region struct {
	ID   RegionID
	Name string
	Meta
}

// Pool is a named set of nodes that serve services.
type Pool struct {
	ID   PoolID
	Name string
	Meta
}

// Lifecycle is what an operator wants of a node.
type Lifecycle string

// Lifecycles of a node.
const (
	Active   Lifecycle = "active"
	Draining Lifecycle = "draining"
)

// Node is an edge machine. It is enrolled once WireGuardKey is set.
type Node struct {
	ID                NodeID
	Name              string
	Pool              PoolID
	Region            RegionID // zero: none
	Addresses         []netip.Addr
	WireGuardKey      wgkey.Public
	WireGuardEndpoint endpoint.Endpoint // see WireGuard
	StreamEndpoint    endpoint.Endpoint // see Stream
	GossipEndpoint    endpoint.Endpoint // see Gossip
	Pinned            []string          // which of the four fields that say where it is an operator wrote, sorted
	Capacity          int               // weight in the assignment of sites, 1..1000
	Lifecycle         Lifecycle
	Revoked           time.Time // zero: not revoked
	Meta
}

// Enrolled reports whether the node has joined and is trusted: only such nodes are named to others.
func (n *Node) Enrolled() bool { return !n.WireGuardKey.IsZero() && n.Revoked.IsZero() }

// Ports of a node that says nothing else about them.
const (
	StreamPort = 443
	GossipPort = 7946
)

// WireGuard is where tunnels reach the node; zero if it is not known. Of a name, like the others, it has the
// node's first address beside it.
func (n *Node) WireGuard() endpoint.Endpoint { return n.reached(n.WireGuardEndpoint, 0) }

// Stream is where connectors dial streams of the node; zero if it is not known.
func (n *Node) Stream() endpoint.Endpoint { return n.reached(n.StreamEndpoint, StreamPort) }

// Gossip is where the node's gossip is reached; zero if it is not known.
func (n *Node) Gossip() endpoint.Endpoint { return n.reached(n.GossipEndpoint, GossipPort) }

// reached is what is said; where nothing is, a port of the first address, if it is not 0.
func (n *Node) reached(said endpoint.Endpoint, port uint16) endpoint.Endpoint {
	switch {
	case len(n.Addresses) == 0:
	case !said.IsZero():
		return said.Or(n.Addresses[0])
	case port != 0:
		return endpoint.At(netip.AddrPortFrom(n.Addresses[0], port))
	}
	return said
}

// SiteKind is how a site's targets are reached.
type SiteKind string

// Kinds of site.
const (
	ConnectorSite SiteKind = "connector" // through connectors
	LocalSite     SiteKind = "local"     // by nodes that stand in the same network
	WireGuardSite SiteKind = "wireguard" // it is one stock WireGuard peer, which nodes dial through its tunnels
)

// Carrier is over what TCP goes between nodes and a site's connectors.
type Carrier string

// Carriers.
const (
	AutoCarrier      Carrier = "auto" // the ends choose by measurement
	StreamCarrier    Carrier = "stream"
	WireGuardCarrier Carrier = "wireguard"
)

// Site is one private network of an organization.
type Site struct {
	ID      SiteID
	Org     OrgID
	Name    string
	Pool    PoolID // the nodes that its connectors dial
	Tunnels int    // to how many nodes each connector, or a WireGuard peer, keeps tunnels, 1..8
	Kind    SiteKind
	Carrier Carrier
	Region  RegionID     // where it stands; zero: not said
	Nodes   []NodeID     // of a local site: those that stand in its network, sorted
	PeerKey wgkey.Public // of a WireGuard site: its device's; zero: none yet
	Publish *Publish     // of a connector site: what its connectors may publish of their own accord; nil: nothing
	Meta
}

// Connector is one agent inside a site.
type Connector struct {
	ID           ConnectorID
	Org          OrgID
	Site         SiteID
	Name         string
	WireGuardKey wgkey.Public
	Revoked      time.Time
	Meta
}

// Enrolled reports whether the connector has joined and is trusted.
func (c *Connector) Enrolled() bool { return !c.WireGuardKey.IsZero() && c.Revoked.IsZero() }

// ServiceKind is how a service is published.
type ServiceKind string

// Kinds of service.
const (
	HTTP ServiceKind = "http" // TLS ends at the node, HTTP is routed
	TLS  ServiceKind = "tls"  // by SNI: passed through, or, with Terminate, what is inside goes to the target
	TCP  ServiceKind = "tcp"  // ports that nodes open
	UDP  ServiceKind = "udp"
)

// Service is what is published: under one hostname, or, of kinds TCP and UDP, at ports.
type Service struct {
	ID            ServiceID
	Org           OrgID
	Name          string
	Kind          ServiceKind
	Hostname      string // canonical pattern, in a domain of the same organization; "" of TCP and UDP
	Pool          PoolID
	Ports         Ports          // of TCP and UDP: unique in the pool for the protocol
	Allow         []netip.Prefix // of TCP and UDP: clients; canonical, sorted, different; empty: everybody
	ProxyProtocol int            // of TCP and TLS: version that targets are sent; 0: none
	Terminate     bool           // of TLS: TLS ends at the node
	Policy        PolicyID       // who may reach it, of the same organization; zero: everybody
	Delivery      *Delivery      // of HTTP: how requests are changed on the way; nil: not at all
	Maintenance   *Maintenance   // of HTTP: a page in its place; nil: none
	Meta
}

// Raw reports whether the service is reached at ports of its own, not by name.
func (s *Service) Raw() bool { return s.Kind == TCP || s.Kind == UDP }

// EndsTLS reports whether nodes need a certificate for the service.
func (s *Service) EndsTLS() bool { return s.Kind == HTTP || s.Kind == TLS && s.Terminate }

// Target is one address behind a service.
type Target struct {
	ID          TargetID
	Org         OrgID
	Name        string
	Service     ServiceID
	Site        SiteID
	Address     string       // IP literal or canonical hostname, as seen in the site
	Port        uint16       // of a service with several ports: for the first, the others follow
	PathPrefix  string       // "/" or "/a/b", of http services; requests go to the longest that matches
	Weight      uint16       // 1..1000
	HealthCheck *HealthCheck // nil: the target counts as healthy
	Upstream    Upstream     // of HTTP services: how it is spoken to
	Meta
}

// Domain is a DNS zone delegated to the nodes of a pool.
type Domain struct {
	ID   DomainID
	Org  OrgID
	Name string // canonical apex; unique in the cluster, and within no other organization's domain
	Pool PoolID
	// Unproven: nobody has shown that it is the organization's. Nodes don't answer for it, no service can stand in it, and it
	// is in nobody's way.
	Unproven   bool
	CAAAccount bool // its CAA records name the accounts by which certificates are ordered
	Meta
}

// Certificate is a TLS certificate with its sealed private key.
type Certificate struct {
	ID        CertificateID
	Org       OrgID
	Names     []string // canonical patterns, sorted
	ChainPEM  []byte
	SealedKey []byte // Tink AEAD over the PKCS #8 PEM, associated data: the ID's text form
	NotBefore time.Time
	NotAfter  time.Time

	Managed      ManagedCertificateID // zero: nothing orders it
	Issuer       IssuerID             // zero: the cluster's own authority, or uploaded
	Uploaded     bool
	SupersededBy CertificateID // what took its place; zero: nothing did
	KeyType      KeyType       // "": not known
	Meta
}

// JoinToken is a single-use right to become one node or connector. Only a hash of its secret is kept.
type JoinToken struct {
	ID        JoinTokenID
	Node      NodeID      // exactly one of Node
	Connector ConnectorID // and Connector is set
	Name      string      // of the node or connector
	Hash      []byte      // SHA-256
	Expires   time.Time
	Used      time.Time // zero: not used
	By        string    // who made it, as he was called then; "": not known
	Meta
}

// GossipKeyState is how far a gossip key has come.
type GossipKeyState string

// States of a gossip key, in the order in which a key goes through them.
const (
	GossipKeyAsked   GossipKeyState = "asked"   // for a rotation that has not begun: there is no key yet
	GossipKeyOpens   GossipKeyState = "opens"   // nodes learn it
	GossipKeySeals   GossipKeyState = "seals"   // nodes seal with it
	GossipKeyRetired GossipKeyState = "retired" // nodes still open with it
)

// Told reports whether nodes hold a key in this state.
func (s GossipKeyState) Told() bool {
	return s == GossipKeyOpens || s == GossipKeySeals || s == GossipKeyRetired
}

// GossipKey is one key of the gossip between nodes.
type GossipKey struct {
	ID        GossipKeyID
	State     GossipKeyState
	SealedKey []byte // Tink AEAD over 32 bytes, associated data: the ID's text form
	Meta
}

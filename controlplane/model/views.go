package model

import (
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/shared/hostname"
)

// Kinds of authority.
const (
	IdentityAuthority = "identity" // signs nodes, connectors and the control plane
	WebAuthority      = "web"      // signs hostnames of services
)

// Revision is the newest change that the model contains.
func (m *Model) Revision() Revision { return m.rev }

// CommittedAt is when that change was committed, by the database's clock.
func (m *Model) CommittedAt() time.Time { return m.committed }

// SignInURL is where browsers sign in, "" for nowhere.
func (m *Model) SignInURL() string { return m.signInURL }

// Revocation returns a revocation of access, nil if there is none.
func (m *Model) Revocation(id RevocationID) *AccessRevocation { return m.revoked.get(id) }

// Revocations yields those that are needed, by id.
func (m *Model) Revocations() iter.Seq[*AccessRevocation] { return m.revoked.all() }

// AccessKeys yields the keys of access tokens, by id.
func (m *Model) AccessKeys() iter.Seq[*AccessKey] { return m.accessKeys.all() }

// Authority returns the certificate of an authority as PEM, nil if there is none.
func (m *Model) Authority(kind string) []byte { return m.authority[kind] }

// The rows by id; nil if there is none.

func (m *Model) Organization(id OrgID) *Organization       { return m.orgs.get(id) }
func (m *Model) Region(id RegionID) *Region                { return m.regions.get(id) }
func (m *Model) Pool(id PoolID) *Pool                      { return m.pools.get(id) }
func (m *Model) Node(id NodeID) *Node                      { return m.nodes.get(id) }
func (m *Model) Site(id SiteID) *Site                      { return m.sites.get(id) }
func (m *Model) Connector(id ConnectorID) *Connector       { return m.connectors.get(id) }
func (m *Model) Service(id ServiceID) *Service             { return m.services.get(id) }
func (m *Model) Target(id TargetID) *Target                { return m.targets.get(id) }
func (m *Model) Domain(id DomainID) *Domain                { return m.domains.get(id) }
func (m *Model) Certificate(id CertificateID) *Certificate { return m.certs.get(id) }
func (m *Model) GossipKey(id GossipKeyID) *GossipKey       { return m.gossipKeys.get(id) }
func (m *Model) TicketKey(id TicketKeyID) *TicketKey       { return m.ticketKeys.get(id) }
func (m *Model) Challenge(id ChallengeID) *Challenge       { return m.challenges.get(id) }

// All rows of a kind, ordered by id.

func (m *Model) Organizations() iter.Seq[*Organization] { return m.orgs.all() }
func (m *Model) Regions() iter.Seq[*Region]             { return m.regions.all() }
func (m *Model) Pools() iter.Seq[*Pool]                 { return m.pools.all() }
func (m *Model) Nodes() iter.Seq[*Node]                 { return m.nodes.all() }
func (m *Model) Sites() iter.Seq[*Site]                 { return m.sites.all() }
func (m *Model) Connectors() iter.Seq[*Connector]       { return m.connectors.all() }
func (m *Model) Services() iter.Seq[*Service]           { return m.services.all() }
func (m *Model) Targets() iter.Seq[*Target]             { return m.targets.all() }
func (m *Model) Domains() iter.Seq[*Domain]             { return m.domains.all() }
func (m *Model) Certificates() iter.Seq[*Certificate]   { return m.certs.all() }
func (m *Model) GossipKeys() iter.Seq[*GossipKey]       { return m.gossipKeys.all() }
func (m *Model) Challenges() iter.Seq[*Challenge]       { return m.challenges.all() }
func (m *Model) Issuers() iter.Seq[*Issuer]             { return m.issuers.all() } // without the cluster's own

// Rows by what they belong to, ordered by id.

func (m *Model) NodesOf(p PoolID) iter.Seq[*Node] { return rows(m.nodesByPool, key(p), m.nodes) }
func (m *Model) SitesOf(p PoolID) iter.Seq[*Site] { return rows(m.sitesByPool, key(p), m.sites) }

// SitesAtNode yields the local sites that stand in a node's network.
func (m *Model) SitesAtNode(n NodeID) iter.Seq[*Site] { return rows(m.sitesByNode, key(n), m.sites) }

// TicketKeysOf yields the keys of session tickets of a pool's nodes.
func (m *Model) TicketKeysOf(p PoolID) iter.Seq[*TicketKey] {
	return rows(m.ticketKeysByPool, key(p), m.ticketKeys)
}

// DomainsOf yields the domains that a pool's nodes answer for: not such as are only claimed.
func (m *Model) DomainsOf(p PoolID) iter.Seq[*Domain] {
	return rows(m.domainsByPool, key(p), m.domains)
}
func (m *Model) ConnectorsOf(s SiteID) iter.Seq[*Connector] {
	return rows(m.connectorsBySite, key(s), m.connectors)
}
func (m *Model) TargetsOf(s ServiceID) iter.Seq[*Target] {
	return rows(m.targetsByService, key(s), m.targets)
}
func (m *Model) TargetsAt(s SiteID) iter.Seq[*Target] {
	return rows(m.targetsBySite, key(s), m.targets)
}

// ServicesNamed yields the services of a canonical hostname or pattern; validation leaves one at most.
func (m *Model) ServicesNamed(hostname string) iter.Seq[*Service] {
	return rows(m.servicesByHostname, reversed(hostname), m.services)
}

// ServicesWithin yields the services whose hostname is the apex or below it, ordered by hostname from
// its last label on.
func (m *Model) ServicesWithin(apex string) iter.Seq[*Service] {
	return func(yield func(*Service) bool) {
		for p := range m.servicesByHostname.under(reversed(apex)) {
			if !yield(m.services.get(ServiceID{UUID: p.id})) {
				return
			}
		}
	}
}

// ChallengesWithin yields the challenges whose name is the apex or below it.
func (m *Model) ChallengesWithin(apex string) iter.Seq[*Challenge] {
	return func(yield func(*Challenge) bool) {
		for p := range m.challengesByName.under(reversed(apex)) {
			if !yield(m.challenges.get(ChallengeID{UUID: p.id})) {
				return
			}
		}
	}
}

// ServicesFor yields the services, of whatever organization and kind, whose hostname a certificate
// carries. A service may come twice.
func (m *Model) ServicesFor(c *Certificate) iter.Seq[*Service] {
	return func(yield func(*Service) bool) {
		for _, name := range c.Names {
			for s := range m.ServicesNamed(name) {
				if !yield(s) {
					return
				}
			}
			for s := range rows(m.servicesByWildcard, name, m.services) {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// CertificatesNamed yields the certificates that carry exactly this canonical name or pattern.
func (m *Model) CertificatesNamed(name string) iter.Seq[*Certificate] {
	return rows(m.certsByName, name, m.certs)
}

// DomainNamed returns the domain with this apex, nil if there is none. Like all that finds domains by name or pool, it passes over
// those that are only claimed.
func (m *Model) DomainNamed(apex string) *Domain {
	for d := range rows(m.domainsByName, apex, m.domains) {
		return d
	}
	return nil
}

// DomainCovering returns the domain in whose zone a canonical hostname or pattern stands: the longest
// apex that it is within. Nil if there is none.
func (m *Model) DomainCovering(hostname string) *Domain {
	for name, ok := strings.TrimPrefix(hostname, "*."), true; ok; _, name, ok = strings.Cut(name, ".") {
		if d := m.DomainNamed(name); d != nil {
			return d
		}
	}
	return nil
}

// PoolsUsingSite yields the pools whose services have a target at the site, ordered by id.
func (m *Model) PoolsUsingSite(s SiteID) iter.Seq[PoolID] { return pools(m.siteUse, key(s)) }

// PoolsUsingCertificate yields the pools of the services for which the certificate is chosen, ordered by id.
func (m *Model) PoolsUsingCertificate(c CertificateID) iter.Seq[PoolID] {
	return pools(m.certUse, key(c))
}

// covering is the wildcard under which a certificate may carry a hostname. A hostname that is a wildcard
// itself has none.
func covering(name string) (string, bool) {
	if hostname.IsWildcard(name) {
		return "", false
	}
	return hostname.Wildcard(name)
}

// reversed writes a name with its last label first and a dot after each: what is within a domain starts
// with the domain's.
func reversed(name string) string {
	var b strings.Builder
	b.Grow(len(name) + 1)
	for name != "" {
		i := strings.LastIndexByte(name, '.')
		b.WriteString(name[i+1:])
		b.WriteByte('.')
		name = name[:max(i, 0)]
	}
	return b.String()
}

func rows[K kind, V any](x index, key string, t table[K, V]) iter.Seq[*V] {
	return func(yield func(*V) bool) {
		for id := range x.of(key) {
			if !yield(t.get(ID[K]{id})) {
				return
			}
		}
	}
}

// ServicesBy yields the services of an organization, those of each pool together.
func (m *Model) ServicesBy(id OrgID) iter.Seq[*Service] {
	return func(yield func(*Service) bool) {
		for e := range m.servicesByOrg.under(key(id)) {
			if s := m.services.get(ServiceID{UUID: e.id}); s != nil && !yield(s) {
				return
			}
		}
	}
}

// PoolsUsedBy yields the pools of an organization's services, ordered by id.
func (m *Model) PoolsUsedBy(id OrgID) iter.Seq[PoolID] { return pools(m.servicesByOrg, key(id)) }

func pools(x index, prefix string) iter.Seq[PoolID] {
	return func(yield func(PoolID) bool) {
		for k := range x.keys(prefix) {
			var id PoolID
			copy(id.UUID[:], k[len(prefix):])
			if !yield(id) {
				return
			}
		}
	}
}

// CAAIdentities are the domains that stand for the authorities of which the cluster orders certificates, sorted:
// what zones say in CAA records (RFC 8659). Nil, so that any may issue, while there is no issuer, or one of which
// it is not known under which domains it goes. One that was suspended before it had an account has issued nothing.
func (m *Model) CAAIdentities() []string {
	var out []string
	for i := range m.Issuers() {
		domains := i.CAADomains()
		if len(domains) == 0 && !(i.Suspended && i.AccountURL == "") {
			return nil
		}
		out = append(out, domains...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

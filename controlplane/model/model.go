package model

import (
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Model is the whole configuration at one Revision. It is immutable: Apply makes the next one, which
// shares all that did not change. The rows it returns must not be modified. Safe for concurrent use.
type Model struct {
	rev       Revision
	committed time.Time

	orgs       table[orgKind, Organization]
	regions    table[regionKind, Region]
	pools      table[poolKind, Pool]
	nodes      table[nodeKind, Node]
	sites      table[siteKind, Site]
	connectors table[connectorKind, Connector]
	services   table[serviceKind, Service]
	targets    table[targetKind, Target]
	domains    table[domainKind, Domain]
	certs      table[certKind, Certificate]
	gossipKeys table[gossipKeyKind, GossipKey]
	challenges table[challengeKind, Challenge]
	ticketKeys table[ticketKeyKind, TicketKey]
	policies   table[policyKind, Policy]
	issuers    table[issuerKind, Issuer]
	accessKeys table[accessKeyKind, AccessKey]
	revoked    table[revocationKind, AccessRevocation]
	authority  map[string][]byte
	signInURL  string
	indexes

	forking *sync.Mutex // a copy on write marks what it was copied from
}

// indexes find rows by something else than their id.
type indexes struct {
	nodesByPool, sitesByPool        index
	sitesByNode                     index // local ones
	connectorsBySite                index
	servicesByHostname              index // hostname: labels reversed, so that a domain is one range
	servicesByWildcard              index // by the wildcard that would cover the hostname
	servicesByPolicy                index // and pool
	servicesByOrg                   index // and pool
	targetsByService, targetsBySite index
	domainsByPool, domainsByName    index
	certsByName                     index
	challengesByName                index // labels reversed
	ticketKeysByPool                index

	// Derived from several rows: who uses what, grouped by pool, so that the pools which need a site
	// or certificate are found without visiting every user.
	siteUse index // site and pool -> targets there, of services of that pool
	certUse index // certificate and pool -> services of that pool for which it is chosen
}

func (x *indexes) each() []*index {
	return []*index{
		&x.nodesByPool, &x.sitesByPool, &x.sitesByNode, &x.connectorsBySite, &x.servicesByHostname, &x.servicesByWildcard, &x.servicesByPolicy, &x.servicesByOrg,
		&x.targetsByService, &x.targetsBySite, &x.domainsByPool, &x.domainsByName, &x.certsByName, &x.challengesByName, &x.ticketKeysByPool,
		&x.siteUse, &x.certUse,
	}
}

// Empty is the model before the first load.
func Empty() *Model {
	m := &Model{
		orgs: newTable[orgKind, Organization](), regions: newTable[regionKind, Region](), pools: newTable[poolKind, Pool](),
		nodes: newTable[nodeKind, Node](), sites: newTable[siteKind, Site](), connectors: newTable[connectorKind, Connector](),
		services: newTable[serviceKind, Service](), targets: newTable[targetKind, Target](), domains: newTable[domainKind, Domain](),
		certs: newTable[certKind, Certificate](), gossipKeys: newTable[gossipKeyKind, GossipKey](),
		challenges: newTable[challengeKind, Challenge](), ticketKeys: newTable[ticketKeyKind, TicketKey](),
		policies: newTable[policyKind, Policy](), issuers: newTable[issuerKind, Issuer](),
		accessKeys: newTable[accessKeyKind, AccessKey](), revoked: newTable[revocationKind, AccessRevocation](), authority: map[string][]byte{}, forking: new(sync.Mutex),
	}
	for _, x := range m.each() {
		*x = newIndex()
	}
	return m
}

// Apply returns the model after a batch. Its cost is O(changes · log n), where a change of a
// certificate counts once for every service that it could serve.
func (m *Model) Apply(b Batch) *Model {
	prev := m
	if b.Reload {
		prev = Empty()
	}
	n := prev.fork()
	n.rev, n.committed = b.To, b.CommittedAt
	for id, v := range b.Organizations {
		n.orgs.set(id, v)
	}
	for id, v := range b.Regions {
		n.regions.set(id, v)
	}
	for id, v := range b.Pools {
		n.pools.set(id, v)
	}
	put(n.nodes, b.Nodes, func(v *Node, do edit) { do(n.nodesByPool, key(v.Pool), v.ID.UUID) })
	for id, v := range b.GossipKeys {
		n.gossipKeys.set(id, v)
	}
	for id, v := range b.Policies {
		n.policies.set(id, v)
	}
	for id, v := range b.Issuers {
		n.issuers.set(id, v)
	}
	put(n.sites, b.Sites, func(v *Site, do edit) {
		do(n.sitesByPool, key(v.Pool), v.ID.UUID)
		for _, at := range v.Nodes {
			do(n.sitesByNode, key(at), v.ID.UUID)
		}
	})
	put(n.connectors, b.Connectors, func(v *Connector, do edit) { do(n.connectorsBySite, key(v.Site), v.ID.UUID) })
	put(n.services, b.Services, func(v *Service, do edit) {
		do(n.servicesByOrg, key(v.Org)+key(v.Pool), v.ID.UUID)
		if !v.Policy.IsZero() {
			do(n.servicesByPolicy, key(v.Policy)+key(v.Pool), v.ID.UUID)
		}
		if v.Hostname == "" {
			return
		}
		do(n.servicesByHostname, reversed(v.Hostname), v.ID.UUID)
		if w, ok := covering(v.Hostname); ok {
			do(n.servicesByWildcard, w, v.ID.UUID)
		}
	})
	put(n.targets, b.Targets, func(v *Target, do edit) {
		do(n.targetsByService, key(v.Service), v.ID.UUID)
		do(n.targetsBySite, key(v.Site), v.ID.UUID)
	})
	put(n.domains, b.Domains, func(v *Domain, do edit) {
		if v.Unproven {
			return
		}
		do(n.domainsByPool, key(v.Pool), v.ID.UUID)
		do(n.domainsByName, v.Name, v.ID.UUID)
	})
	put(n.certs, b.Certificates, func(v *Certificate, do edit) {
		for _, name := range v.Names {
			do(n.certsByName, name, v.ID.UUID)
		}
	})
	put(n.challenges, b.Challenges, func(v *Challenge, do edit) { do(n.challengesByName, reversed(v.Name), v.ID.UUID) })
	put(n.ticketKeys, b.TicketKeys, func(v *TicketKey, do edit) { do(n.ticketKeysByPool, key(v.Pool), v.ID.UUID) })
	for id, v := range b.AccessKeys {
		n.accessKeys.set(id, v)
	}
	for id, v := range b.Revocations {
		n.revoked.set(id, v)
	}
	if b.SignInURL != nil {
		n.signInURL = *b.SignInURL
	}
	if len(b.Authorities) > 0 {
		n.authority = maps.Clone(n.authority)
		maps.Copy(n.authority, b.Authorities)
		maps.DeleteFunc(n.authority, func(_ string, pem []byte) bool { return pem == nil })
	}
	n.reuse(prev, b)
	return n
}

// reuse brings siteUse and certUse up to date: what a changed row stood for in prev leaves them, what it
// stands for in m enters.
func (m *Model) reuse(prev *Model, b Batch) {
	services, targets := map[ServiceID]bool{}, map[TargetID]bool{}
	for id := range b.Targets {
		targets[id] = true
	}
	for id := range b.Services {
		services[id] = true
		for _, at := range [...]*Model{prev, m} {
			for t := range at.TargetsOf(id) {
				targets[t.ID] = true
			}
		}
	}
	for id := range b.Certificates {
		for _, at := range [...]*Model{prev, m} {
			if c := at.Certificate(id); c != nil {
				// Services that changed as well are in the set already, at both their hostnames.
				for s := range m.ServicesFor(c) {
					services[s.ID] = true
				}
			}
		}
	}
	for id := range targets {
		if site, pool, ok := prev.targetUse(id); ok {
			m.siteUse.remove(key(site)+key(pool), id.UUID)
		}
		if site, pool, ok := m.targetUse(id); ok {
			m.siteUse.add(key(site)+key(pool), id.UUID)
		}
	}
	for id := range services {
		if s := prev.Service(id); s != nil {
			for _, c := range prev.CertificatesFor(s) {
				m.certUse.remove(key(c.ID)+key(s.Pool), id.UUID)
			}
		}
		if s := m.Service(id); s != nil {
			for _, c := range m.CertificatesFor(s) {
				m.certUse.add(key(c.ID)+key(s.Pool), id.UUID)
			}
		}
	}
}

func (m *Model) targetUse(id TargetID) (SiteID, PoolID, bool) {
	t := m.Target(id)
	if t == nil {
		return SiteID{}, PoolID{}, false
	}
	s := m.Service(t.Service)
	if s == nil {
		return SiteID{}, PoolID{}, false
	}
	return t.Site, s.Pool, true
}

// edit is index.add or index.remove.
type edit func(x index, key string, id uuid.UUID)

// put writes rows and keeps the indexes that indexed names: first the old row leaves them, then the new
// one enters.
func put[K kind, V any](t table[K, V], rows map[ID[K]]*V, indexed func(*V, edit)) {
	for id, v := range rows {
		if old := t.get(id); old != nil {
			indexed(old, index.remove)
		}
		t.set(id, v)
		if v != nil {
			indexed(v, index.add)
		}
	}
}

func (m *Model) fork() *Model {
	m.forking.Lock()
	defer m.forking.Unlock()
	n := *m
	n.forking = new(sync.Mutex)
	n.orgs, n.regions, n.pools = m.orgs.copy(), m.regions.copy(), m.pools.copy()
	n.nodes, n.sites, n.connectors = m.nodes.copy(), m.sites.copy(), m.connectors.copy()
	n.services, n.targets, n.domains, n.certs = m.services.copy(), m.targets.copy(), m.domains.copy(), m.certs.copy()
	n.gossipKeys, n.challenges, n.ticketKeys, n.issuers = m.gossipKeys.copy(), m.challenges.copy(), m.ticketKeys.copy(), m.issuers.copy()
	n.policies = m.policies.copy()
	n.accessKeys, n.revoked = m.accessKeys.copy(), m.revoked.copy()
	for _, x := range n.each() {
		*x = x.copy()
	}
	return &n
}

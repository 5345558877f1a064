package snapshot

import (
	"slices"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/resource"
)

// A key is a resource by the row it is compiled from. Trust, which has no row, has the zero id.
type key struct {
	typeURL string
	id      uuid.UUID
}

// all returns the keys of everything that a model may call for.
func all(m *model.Model) map[key]bool {
	keys := map[key]bool{{typeURL: resource.Trust}: true}
	for n := range m.Nodes() {
		keys[key{resource.NodeConfig, n.ID.UUID}] = true
		keys[key{resource.Node, n.ID.UUID}] = true
	}
	for s := range m.Sites() {
		keys[key{resource.Site, s.ID.UUID}] = true
		keys[key{resource.ConnectorConfig, s.ID.UUID}] = true
	}
	for s := range m.Services() {
		keys[key{resource.Route, s.ID.UUID}] = true
		keys[key{resource.Forward, s.ID.UUID}] = true
		keys[key{resource.RecordSet, s.ID.UUID}] = true
	}
	for d := range m.Domains() {
		keys[key{resource.Zone, d.ID.UUID}] = true
	}
	for o := range m.Organizations() {
		keys[key{resource.Brand, o.ID.UUID}] = true
		keys[key{resource.Quota, o.ID.UUID}] = true
	}
	for p := range m.Policies() {
		keys[key{resource.Policy, p.ID.UUID}] = true
	}
	for c := range m.Challenges() {
		keys[key{resource.Challenge, c.ID.UUID}] = true
	}
	for r := range m.Revocations() {
		keys[key{resource.Revocation, r.ID.UUID}] = true
	}
	for c := range m.Certificates() {
		keys[key{resource.Certificate, c.ID.UUID}] = true
	}
	return keys
}

// affected returns the keys whose resources a batch may change. It must name every one that does change
// (the tests compare with a full build), and no more than a few that do not, because each is compiled
// twice. Rows are looked at as they were and as they are: a target that moves touches both its sites.
func affected(prev, next *model.Model, b model.Batch) map[key]bool {
	t := touch{keys: map[key]bool{}, prev: prev, next: next}
	if len(b.Authorities)+len(b.AccessKeys) > 0 || b.SignInURL != nil {
		t.add(resource.Trust, uuid.Nil)
	}
	if len(b.Issuers) > 0 {
		any, bound := &model.Domain{}, &model.Domain{CAAAccount: true}
		names, accounts := !slices.Equal(prev.CAAOf(any), next.CAAOf(any)), !slices.Equal(prev.CAAOf(bound), next.CAAOf(bound))
		for d := range next.Domains() {
			if names || accounts && d.CAAAccount {
				t.add(resource.Zone, d.ID.UUID)
			}
		}
	}
	for id := range b.Revocations {
		t.add(resource.Revocation, id.UUID)
	}
	for id := range b.Organizations {
		t.organization(id)
	}
	for id := range b.Pools {
		t.pool(id)
	}
	t.nodes(b.Nodes)
	t.gossip(b.GossipKeys)
	t.tickets(b.TicketKeys)
	for id := range b.Sites {
		t.site(id)
	}
	for id := range b.Connectors {
		for _, m := range t.both() {
			if c := m.Connector(id); c != nil {
				t.site(c.Site)
			}
		}
	}
	for id := range b.Services {
		t.service(id)
	}
	for id := range b.Targets {
		for _, m := range t.both() {
			if v := m.Target(id); v != nil {
				t.reached(v.Service)
				t.site(v.Site)
			}
		}
	}
	for id := range b.Domains {
		t.domain(id)
	}
	for id := range b.Certificates {
		t.certificate(id)
	}
	for id := range b.Challenges {
		t.add(resource.Challenge, id.UUID)
	}
	for id := range b.Policies {
		t.add(resource.Policy, id.UUID)
	}
	return t.keys
}

type touch struct {
	keys       map[key]bool
	prev, next *model.Model
}

func (t *touch) add(typeURL string, id uuid.UUID) { t.keys[key{typeURL, id}] = true }

func (t *touch) both() [2]*model.Model { return [2]*model.Model{t.prev, t.next} }

func (t *touch) site(id model.SiteID) {
	t.add(resource.Site, id.UUID)
	t.add(resource.ConnectorConfig, id.UUID)
}

// organization: what nodes know of it.
func (t *touch) organization(id model.OrgID) {
	t.add(resource.Brand, id.UUID)
	t.add(resource.Quota, id.UUID)
}

// pool: its name is in the configuration of its nodes.
func (t *touch) pool(id model.PoolID) {
	for n := range t.next.NodesOf(id) {
		t.add(resource.NodeConfig, n.ID.UUID)
	}
}

// nodes: a node's own resources, and the sites of its pool that choose it, or chose it.
func (t *touch) nodes(changed map[model.NodeID]*model.Node) {
	pools := map[model.PoolID]bool{}
	for id := range changed {
		t.add(resource.NodeConfig, id.UUID)
		t.add(resource.Node, id.UUID)
		was, is := t.prev.Node(id), t.next.Node(id)
		if samePeer(was, is) {
			continue
		}
		for _, n := range [...]*model.Node{was, is} {
			if n != nil {
				pools[n.Pool] = true
			}
		}
		for s := range t.next.SitesAtNode(id) {
			t.add(resource.Site, s.ID.UUID) // its nodes, their order, or the pools that they are in
		}
	}
	for id := range pools {
		for s := range t.next.SitesOf(id) {
			if s.Kind != model.LocalSite {
				t.assignment(s, changed)
			}
		}
	}
}

// assignment: a site whose nodes are others than before, or the same ones in another guise. That its
// row changed as well, or is gone, is told by its own entry in the batch.
func (t *touch) assignment(s *model.Site, changed map[model.NodeID]*model.Node) {
	was, is := t.prev.Assigned(s), t.next.Assigned(s)
	if !slices.EqualFunc(was, is, func(a, b *model.Node) bool { return a.ID == b.ID }) {
		t.site(s.ID)
		return
	}
	for i := range is {
		if _, ok := changed[is[i].ID]; ok && !samePeer(was[i], is[i]) {
			t.add(resource.ConnectorConfig, s.ID.UUID) // Site has the ids only
			return
		}
	}
}

// samePeer reports whether a change of a node is none of the sites' business.
func samePeer(a, b *model.Node) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Enrolled() == b.Enrolled() && a.Pool == b.Pool && a.Lifecycle == b.Lifecycle && a.Region == b.Region && a.Capacity == b.Capacity &&
		a.Name == b.Name && a.WireGuardKey == b.WireGuardKey && a.WireGuard() == b.WireGuard() && a.Stream() == b.Stream()
}

// gossip: every node has all keys that are told.
func (t *touch) gossip(changed map[model.GossipKeyID]*model.GossipKey) {
	told := func(k *model.GossipKey) bool { return k != nil && k.State.Told() }
	for id := range changed {
		if told(t.prev.GossipKey(id)) || told(t.next.GossipKey(id)) {
			for n := range t.next.Nodes() {
				t.add(resource.NodeConfig, n.ID.UUID)
			}
			return
		}
	}
}

// tickets: every node of the pool has all keys.
func (t *touch) tickets(changed map[model.TicketKeyID]*model.TicketKey) {
	pools := map[model.PoolID]bool{}
	for id := range changed {
		for _, m := range t.both() {
			if k := m.TicketKey(id); k != nil {
				pools[k.Pool] = true
			}
		}
	}
	for p := range pools {
		for n := range t.next.NodesOf(p) {
			t.add(resource.NodeConfig, n.ID.UUID)
		}
	}
}

// service: how it is reached, its records, the certificates chosen for it, and the sites where its targets
// are: the scopes of these, and what may be dialled there.
func (t *touch) service(id model.ServiceID) {
	t.reached(id)
	t.add(resource.RecordSet, id.UUID)
	t.chosen(id)
	for _, m := range t.both() { // the pools whose nodes hold the policy
		if s := m.Service(id); s != nil && !s.Policy.IsZero() {
			t.add(resource.Policy, s.Policy.UUID)
		}
	}
	was, is := t.prev.Service(id), t.next.Service(id)
	moved := was == nil || is == nil || was.Pool != is.Pool
	if moved || was.Org != is.Org { // perhaps it is the first or the last of its organization there
		for _, s := range [...]*model.Service{was, is} {
			if s != nil {
				t.organization(s.Org)
			}
		}
	}
	if !moved && dialled(was, is) {
		return
	}
	for _, m := range t.both() {
		for v := range m.TargetsOf(id) {
			t.site(v.Site)
		}
	}
}

// reached: by name or at ports, as one of the kinds that the service was or is.
func (t *touch) reached(id model.ServiceID) {
	named, raw := false, false
	for _, m := range t.both() {
		if s := m.Service(id); s != nil {
			named, raw = named || !s.Raw(), raw || s.Raw()
		}
	}
	if named {
		t.add(resource.Route, id.UUID)
	}
	if raw {
		t.add(resource.Forward, id.UUID)
	}
}

// chosen: the certificates that a service was served with and is now.
func (t *touch) chosen(id model.ServiceID) {
	for _, m := range t.both() {
		if s := m.Service(id); s != nil {
			for _, c := range m.CertificatesFor(s) {
				t.add(resource.Certificate, c.ID.UUID)
			}
		}
	}
}

// domain: the records of services that stand in it, or stood, and challenges.
func (t *touch) domain(id model.DomainID) {
	t.add(resource.Zone, id.UUID)
	was, is := t.prev.Domain(id), t.next.Domain(id)
	if was != nil && is != nil && was.Org == is.Org && was.Name == is.Name && was.Pool == is.Pool && was.Unproven == is.Unproven {
		return
	}
	apexes := map[string]bool{}
	for _, d := range [...]*model.Domain{was, is} {
		if d != nil {
			apexes[d.Name] = true
		}
	}
	for apex := range apexes {
		for s := range t.next.ServicesWithin(apex) {
			t.add(resource.RecordSet, s.ID.UUID)
		}
		for c := range t.next.ChallengesWithin(apex) {
			t.add(resource.Challenge, c.ID.UUID)
		}
	}
}

// certificate: the routes that name it, or now name another, and that other one.
func (t *touch) certificate(id model.CertificateID) {
	t.add(resource.Certificate, id.UUID)
	services := map[model.ServiceID]bool{}
	for _, m := range t.both() {
		if c := m.Certificate(id); c != nil {
			for s := range t.next.ServicesFor(c) {
				services[s.ID] = true
			}
		}
	}
	for s := range services {
		t.add(resource.Route, s.UUID)
		t.chosen(s)
	}
}

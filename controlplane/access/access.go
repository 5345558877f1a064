// Package access says who may do what to which object.
package access

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// Principal is a caller whose credential was checked: a key, or the session of a user. The zero Principal may do
// nothing. It is a value: nothing in it changes.
type Principal struct {
	Key     model.APIKeyID  // one of Key
	Session model.SessionID // and Session
	User    model.UserID    // whose session, or whose key, it is; zero: nobody's
	Account model.AccountID // whose key it is; zero: no service account's
	Name    string          // of the user, the service account, the connector, or of a key that nobody owns
	Address netip.Addr      // where the call came from

	// Connector is set, and neither Key nor Session, of a connector that publishes what labels of containers ask for.
	Connector model.ConnectorID

	Grants Grants
}

// Actor names the caller in revisions.
func (p Principal) Actor() string {
	switch {
	case !p.Session.IsZero():
		return "user:" + p.User.String()
	case !p.Connector.IsZero():
		return "connector:" + p.Connector.String()
	case p.Key.IsZero():
		return ""
	}
	return "key:" + p.Key.String()
}

// IsZero reports whether it is nobody.
func (p Principal) IsZero() bool {
	return p.Key.IsZero() && p.Session.IsZero() && p.Connector.IsZero()
}

// Publishing is a connector that publishes in its organization. It may do no more than that takes; what of it its site is
// permitted is for who publishes to ask.
func Publishing(c *model.Connector) Principal {
	return Principal{Connector: c.ID, Name: c.Name, Grants: Grants{Orgs: map[model.OrgID]Set{c.Org: {
		ServicesRead: {}, ServicesWrite: {}, TargetsRead: {}, TargetsWrite: {}, PoliciesRead: {}, DomainsRead: {}, SitesRead: {},
	}}}}
}

// Grants are what somebody may do: in the cluster, which is everywhere, and in organizations beside.
type Grants struct {
	Cluster Set
	Orgs    map[model.OrgID]Set
}

// Everything is what an administrator of the cluster may do.
func Everything() Grants { return Grants{Cluster: builtin[model.RoleClusterAdmin]} }

// Unscoped is what a key may do that says nothing of it and that nobody owns, as all were once: everything in the
// cluster, or, of an organization's, what configures it; people and keys are not among that.
func Unscoped(org model.OrgID) Grants {
	if org.IsZero() {
		return Everything()
	}
	return Grants{Orgs: map[model.OrgID]Set{org: builtin[model.RoleMember]}}
}

// Collect adds up what somebody's roles permit.
func Collect(roles []model.Grant) Grants {
	g := Grants{Orgs: map[model.OrgID]Set{}}
	for _, r := range roles {
		s, ok := builtin[r.Role]
		if !ok {
			s = NewSet(r.Permissions)
		}
		if r.Org.IsZero() {
			g.Cluster = g.Cluster.with(s)
			continue
		}
		s = s.only(Permission.InOrganization)
		g.Orgs[r.Org] = g.Orgs[r.Org].with(s)
	}
	return g
}

// Narrow leaves of g what a key may do: in its organization if it has one, and of its permissions if it names some.
func (g Grants) Narrow(org model.OrgID, permissions []string) Grants {
	if !org.IsZero() {
		s, ok := g.Orgs[org]
		if s = s.with(g.Cluster.only(Permission.InOrganization)); !ok && len(s) == 0 {
			return Grants{}
		}
		g = Grants{Orgs: map[model.OrgID]Set{org: s}}
	}
	if permissions == nil {
		return g
	}
	keep := NewSet(permissions)
	out := Grants{Cluster: g.Cluster.only(keep.Has), Orgs: map[model.OrgID]Set{}}
	for o, s := range g.Orgs {
		out.Orgs[o] = s.only(keep.Has)
	}
	return out
}

// Scoped are the permissions of a key that nobody owns, as far as they can be given there.
func Scoped(org model.OrgID, permissions []string) Grants {
	if org.IsZero() {
		return Grants{Cluster: NewSet(permissions)}
	}
	return Grants{Orgs: map[model.OrgID]Set{org: NewSet(permissions).only(Permission.InOrganization)}}
}

// In is all that somebody may do in an organization, or, where that is zero, in the cluster.
func (g Grants) In(org model.OrgID) Set {
	if org.IsZero() {
		return g.Cluster
	}
	return g.Orgs[org].with(g.Cluster.only(Permission.InOrganization))
}

// Check says whether a caller may use an operation somewhere: in the cluster, or in one organization at least.
func (p Principal) Check(need Permission) error {
	if p.IsZero() {
		return fault.New(fault.Denied, "no key, and not signed in")
	}
	if need.ForEverybody() || p.Grants.Cluster.Has(need) {
		return nil
	}
	if need.InOrganization() {
		for _, s := range p.Grants.Orgs {
			if s.Has(need) {
				return nil
			}
		}
	}
	return Refused(need)
}

// Refused is the fault of a caller who lacks a permission.
func Refused(need Permission) error {
	return fault.New(fault.Denied, "this needs the permission %s", need)
}

// CheckOrg says whether a caller may see an organization at all. Another one's objects are not denied: they are
// not there.
func (p Principal) CheckOrg(org model.OrgID) error {
	if !p.IsZero() && !org.IsZero() {
		if _, ok := p.Grants.Orgs[org]; ok || p.Everywhere() {
			return nil
		}
	}
	return fault.New(fault.NotFound, "no such organization")
}

// Can says whether a caller has a permission in an organization, or, where that is zero, in the cluster.
func (p Principal) Can(need Permission, org model.OrgID) bool {
	switch {
	case p.IsZero():
		return false
	case need.ForEverybody(), p.Grants.Cluster.Has(need):
		return true
	}
	return !org.IsZero() && need.InOrganization() && p.Grants.Orgs[org].Has(need)
}

// Everywhere reports whether a caller sees all organizations.
func (p Principal) Everywhere() bool {
	for s := range p.Grants.Cluster {
		if s.InOrganization() {
			return true
		}
	}
	return false
}

// Organizations are those that a caller sees by name, sorted; if Everywhere, he sees the others as well.
func (p Principal) Organizations() []model.OrgID {
	return slices.SortedFunc(maps.Keys(p.Grants.Orgs), model.OrgID.Compare)
}

// CheckGive says whether a caller may give away permissions in an organization, or, where that is zero, in the
// cluster: nobody gives what he has not.
func (p Principal) CheckGive(what Set, org model.OrgID) error {
	if p.IsZero() {
		return fault.New(fault.Denied, "no key, and not signed in")
	}
	have := p.Grants.In(org)
	for _, s := range what.Sorted() {
		if !have.Has(s) {
			return fault.New(fault.Denied, "you can't give %s: you don't have it", s)
		}
	}
	return nil
}

// Package admin is the write side: one method per intention, each of which authorises, brings names into
// their one form, checks the rules and writes, in one transaction.
package admin

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/tail"
)

// Admin is the write side of one cluster. Safe for concurrent use.
type Admin struct {
	store       *store.Store
	issuer      *certs.Issuer
	sealer      Sealer
	fingerprint string // of the identity authority, for join tokens
	callers     callers
	see         func(access.Principal) store.As // what the database lets a caller see

	// Health is shown with targets; nil: it is not. Set before the first call.
	Health Health
	// Hops says how services and sites are; nil: nobody knows. Set before the first call.
	Hops Hops
	// Alarms is shown with nodes and connectors; nil: it is not. Set before the first call.
	Alarms Alarms
	// Ended is called in the transaction in which sessions of a user end, or, without any, all that was given to him:
	// what rests on them has to end as well. nil: nothing does. Set before the first call.
	Ended func(ctx context.Context, tx *store.Tx, user model.UserID, sessions []model.SessionID) error
	// Changed is called in the transaction in which something changes that nodes were told of users, or, without any, of all
	// who visit services of an organization. nil: nodes learn it when they ask again. Set before the first call.
	Changed func(ctx context.Context, tx *store.Tx, org model.OrgID, users []model.UserID) error
	// Outbound says where webhooks may lead; nil: what they lead to is checked only when they are called. Set before the
	// first call.
	Outbound Outbound

	// Tails shows requests to who watches; nil: nobody can. Set before the first call.
	Tails *tail.Hub

	// Post sends mail; nil: nobody does. Set before the first call.
	Post Post

	// Inviter makes links of invitations; nil: nobody is invited. Set before the first call.
	Inviter Inviter

	Organizations *Collection[model.Organization, OrganizationSpec, Organization]
	Regions       *Collection[model.Region, RegionSpec, Region]
	Pools         *Collection[model.Pool, PoolSpec, Pool]
	Nodes         *Collection[model.Node, NodeSpec, Node]
	Sites         *Collection[model.Site, SiteSpec, Site]
	Connectors    *Collection[model.Connector, ConnectorSpec, Connector]
	Services      *Collection[model.Service, ServiceSpec, Service]
	Policies      *Collection[model.Policy, PolicySpec, Policy]
	Targets       *Collection[model.Target, TargetSpec, Target]
	Domains       *Collection[model.Domain, DomainSpec, Domain]
	Certificates  *Collection[model.Certificate, struct{}, Certificate]
	Issuers       *Collection[model.Issuer, IssuerSpec, Issuer]
	Managed       *Collection[model.ManagedCertificate, ManagedSpec, Managed]
	Webhooks      *Collection[model.Webhook, WebhookSpec, Webhook]
	APIKeys       *Collection[model.APIKey, struct{}, APIKey]
	OrgAPIKeys    *Collection[model.APIKey, struct{}, APIKey]
	MyAPIKeys     *Collection[model.APIKey, struct{}, APIKey]
	JoinTokens    *Collection[model.JoinToken, struct{}, JoinToken]

	ConnectorJoinTokens *Collection[model.JoinToken, struct{}, JoinToken]

	Users        *Collection[model.User, UserSpec, User]
	Members      *Collection[model.Membership, MemberSpec, Member]
	Roles        *Collection[model.Role, RoleSpec, Role] // of an organization
	ClusterRoles *Collection[model.Role, RoleSpec, Role]

	IdentityProviders        *Collection[model.IdentityProvider, IdentityProviderSpec, IdentityProvider] // of organizations
	ClusterIdentityProviders *Collection[model.IdentityProvider, IdentityProviderSpec, IdentityProvider]
	Invitations              *Collection[model.Invitation, InvitationSpec, Invitation]
	Visitors                 *Collection[model.Visitor, struct{}, Visitor]

	Groups          *Collection[model.Group, GroupSpec, Group]
	ServiceAccounts *Collection[model.ServiceAccount, ServiceAccountSpec, ServiceAccount]
	ClusterWebhooks *Collection[model.Webhook, WebhookSpec, Webhook]

	AlertRules        *Collection[model.AlertRule, AlertRuleSpec, AlertRule] // of organizations
	ClusterAlertRules *Collection[model.AlertRule, AlertRuleSpec, AlertRule]
}

// New makes the write side. fingerprint is that of the identity authority.
func New(s *store.Store, issuer *certs.Issuer, sealer Sealer, fingerprint string) *Admin {
	a := &Admin{store: s, issuer: issuer, sealer: sealer, fingerprint: fingerprint}
	a.see = as
	a.callers.entries = map[[32]byte]*known{}
	a.Organizations, a.Regions, a.Pools = organizations(a), regions(a), pools(a)
	a.Nodes, a.Sites, a.Connectors = nodes(a), sites(a), connectors(a)
	a.Services, a.Targets, a.Domains = services(a), targets(a), domains(a)
	a.Policies, a.Visitors = policies(a), visitors(a)
	a.Issuers, a.Managed = issuers(a), managedCertificates(a)
	a.Webhooks, a.ClusterWebhooks = webhooks(a, true), webhooks(a, false)
	a.AlertRules, a.ClusterAlertRules = alertRules(a, true), alertRules(a, false)
	a.Certificates, a.JoinTokens, a.ConnectorJoinTokens = certificates(a), joinTokens(a), connectorJoinTokens(a)
	a.Users, a.Members, a.Groups = users(a), members(a), groups(a)
	a.Roles, a.ClusterRoles, a.ServiceAccounts = roles(a, true), roles(a, false), serviceAccounts(a)
	a.APIKeys, a.OrgAPIKeys, a.MyAPIKeys = apiKeys(a), orgAPIKeys(a), myAPIKeys(a)
	a.IdentityProviders, a.ClusterIdentityProviders, a.Invitations = identityProviders(a, true), identityProviders(a, false), invitations(a)
	return a
}

// call is one operation inside its transaction.
type call struct {
	context.Context
	a   *Admin
	tx  *store.Tx
	p   access.Principal
	org model.OrgID // of the path; zero for what belongs to no organization

	action string // of a write, for the audit log

	names  map[string]string // of rows that were looked up, by id
	secret string            // that the call has made, for its answer alone
	seen   *hops.Facts       // what the call has looked at; see hops
}

func (a *Admin) call(ctx context.Context, tx *store.Tx, p access.Principal) *call {
	return &call{Context: ctx, a: a, tx: tx, p: p, names: map[string]string{}}
}

// organization finds the organization of a path by name or id, if the caller may see it, and has what he needs there.
func (c *call) organization(ref string, need access.Permission) error {
	if err := c.enter(ref); err != nil {
		return err
	}
	if !c.p.Can(need, c.org) {
		return access.Refused(need)
	}
	return nil
}

// enter finds the organization of a path, if the caller may see it.
func (c *call) enter(ref string) error {
	var o *model.Organization
	id, err := model.OrgID{}.Parse(ref)
	if err == nil {
		o, err = c.tx.GetOrganization(c, id)
	} else {
		o, err = c.tx.GetOrganizationByName(c, ref)
	}
	if err != nil {
		return err
	}
	if err := c.p.CheckOrg(o.ID); err != nil {
		return err
	}
	c.org = o.ID // also of what is refused now, for the audit log
	return nil
}

// Meta is what every object shows besides its own fields.
type Meta struct {
	ID        string    `json:"id" readOnly:"true" doc:"Typed id"`
	Name      string    `json:"name" doc:"Unique among its kind in the organization, or in the cluster"`
	CreatedAt time.Time `json:"created_at" readOnly:"true"`
	UpdatedAt time.Time `json:"updated_at" readOnly:"true"`

	Labels    model.Labels `json:"labels,omitempty" doc:"What people call the object by; nodes never see it"`
	ManagedBy string       `json:"managed_by,omitempty" readOnly:"true" doc:"The set of manifests that keeps the object: what is changed elsewhere is changed back by the next apply"`

	tag string
}

func meta(id, name string, m model.Meta) Meta {
	return Meta{ID: id, Name: name, CreatedAt: m.Created.UTC(), UpdatedAt: m.Updated.UTC()}
}

// missing turns "not found" of something that a field refers to, and what the database can't take as a name,
// into a fault of that field.
func missing(field, ref string, err error) error {
	if fault.Of(err) == fault.NotFound {
		return fault.Field(field, "%q does not exist", ref)
	}
	if fe, ok := errors.AsType[*fault.Error](err); ok && fe.Kind == fault.Invalid && fe.Field == "" {
		return &fault.Error{Kind: fault.Invalid, Field: field, Msg: fe.Msg, Err: err}
	}
	return err
}

// isID reports whether a reference is a typed id; names have no underscore, but mail addresses may.
func isID(ref string) bool { return strings.Contains(ref, "_") && !strings.Contains(ref, "@") }

func (c *call) pool(field, ref string) (*model.Pool, error) {
	if ref == "" {
		return nil, fault.Field(field, "missing")
	}
	if id, err := (model.PoolID{}).Parse(ref); err == nil {
		p, err := c.tx.GetPool(c, id)
		return p, missing(field, ref, err)
	}
	p, err := c.tx.GetPoolByName(c, ref)
	return p, missing(field, ref, err)
}

// region finds the region of a field that may be empty; then it is zero.
func (c *call) region(field, ref string) (model.RegionID, error) {
	if ref == "" {
		return model.RegionID{}, nil
	}
	r, err := c.regionByRef(field, ref)
	if err != nil {
		return model.RegionID{}, err
	}
	return r.ID, nil
}

func (c *call) regionByRef(field, ref string) (*model.Region, error) {
	if id, err := (model.RegionID{}).Parse(ref); err == nil {
		r, err := c.tx.GetRegion(c, id)
		return r, missing(field, ref, err)
	}
	r, err := c.tx.GetRegionByName(c, ref)
	return r, missing(field, ref, err)
}

func (c *call) site(field, ref string) (*model.Site, error) {
	if ref == "" {
		return nil, fault.Field(field, "missing")
	}
	s, err := siteByRef(c, ref)
	return s, missing(field, ref, err)
}

func (c *call) service(field, ref string) (*model.Service, error) {
	if ref == "" {
		return nil, fault.Field(field, "missing")
	}
	s, err := serviceByRef(c, ref)
	return s, missing(field, ref, err)
}

// The names of rows that an object refers to, looked up once a call.

func (c *call) name(id string, get func() (string, error)) (string, error) {
	if n, ok := c.names[id]; ok {
		return n, nil
	}
	n, err := get()
	if err == nil {
		c.names[id] = n
	}
	return n, err
}

func (c *call) orgName(id model.OrgID) (string, error) {
	return c.name(id.String(), func() (string, error) {
		o, err := c.tx.GetOrganization(c, id)
		if err != nil {
			return "", err
		}
		return o.Name, nil
	})
}

func (c *call) poolName(id model.PoolID) (string, error) {
	return c.name(id.String(), func() (string, error) {
		p, err := c.tx.GetPool(c, id)
		if err != nil {
			return "", err
		}
		return p.Name, nil
	})
}

func (c *call) regionName(id model.RegionID) (string, error) {
	if id.IsZero() {
		return "", nil
	}
	return c.name(id.String(), func() (string, error) {
		r, err := c.tx.GetRegion(c, id)
		if err != nil {
			return "", err
		}
		return r.Name, nil
	})
}

func (c *call) userName(id model.UserID) (string, error) {
	return c.name(id.String(), func() (string, error) {
		u, err := c.tx.GetUser(c, id)
		if err != nil {
			return "", err
		}
		return u.Email, nil
	})
}

// nodeName is the id of a node that is not there: a row written by hand may name one.
func (c *call) nodeName(id model.NodeID) (string, error) {
	return c.name(id.String(), func() (string, error) {
		n, err := c.tx.GetNode(c, id)
		if fault.Of(err) == fault.NotFound {
			return id.String(), nil
		}
		if err != nil {
			return "", err
		}
		return n.Name, nil
	})
}

func (c *call) siteName(id model.SiteID) (string, error) {
	return c.name(id.String(), func() (string, error) {
		s, err := c.tx.GetSite(c, id)
		if err != nil {
			return "", err
		}
		return s.Name, nil
	})
}

// OrganizationID finds an organization that the caller may read.
func (a *Admin) OrganizationID(ctx context.Context, p access.Principal, ref string) (id model.OrgID, err error) {
	err = a.read(ctx, p, func(c *call) error {
		if err := a.Services.begin(c, access.PoliciesRead, ref); err != nil {
			return err
		}
		id = c.org
		return nil
	})
	return id, err
}

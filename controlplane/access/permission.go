package access

import (
	"slices"

	"github.com/warrenedge/warren/controlplane/model"
)

// Permission is what an operation needs; the API description lists it.
type Permission string

// Permissions of everybody who is somebody.
const (
	PoolsRead       Permission = "pools:read"
	RegionsRead     Permission = "regions:read"
	AuthoritiesRead Permission = "authorities:read"
	StatusRead      Permission = "status:read" // of what else he may see
	MeRead          Permission = "me:read"
	MeWrite         Permission = "me:write" // his own name, sessions and keys
)

// Permissions of the cluster: over what belongs to no organization.
const (
	OrganizationsRead     Permission = "organizations:read"
	OrganizationsWrite    Permission = "organizations:write"
	RegionsWrite          Permission = "regions:write"
	PoolsWrite            Permission = "pools:write"
	NodesRead             Permission = "nodes:read"
	NodesWrite            Permission = "nodes:write"
	NodesEnroll           Permission = "nodes:enroll"
	NodesDrain            Permission = "nodes:drain"
	NodesRevoke           Permission = "nodes:revoke"
	IssuersRead           Permission = "issuers:read"
	IssuersWrite          Permission = "issuers:write"
	JoinTokensRead        Permission = "join-tokens:read"
	JoinTokensDelete      Permission = "join-tokens:delete"
	GossipRead            Permission = "gossip:read"
	GossipRotate          Permission = "gossip:rotate"
	SnapshotsRead         Permission = "snapshots:read"
	LocalSitesWrite       Permission = "local-sites:write" // sites that open the network of nodes
	UsersRead             Permission = "users:read"
	UsersManage           Permission = "users:manage"
	ClusterWebhooksRead   Permission = "cluster-webhooks:read"
	ClusterWebhooksManage Permission = "cluster-webhooks:manage"
	ClusterAlertsRead     Permission = "cluster-alerts:read"
	ClusterAlertsManage   Permission = "cluster-alerts:manage"
	JobsRead              Permission = "jobs:read" // the queue of the cluster
	JobsManage            Permission = "jobs:manage"
	ClusterManage         Permission = "cluster:manage" // mail, identity providers and sign-in rules for everybody
)

// Permissions in an organization.
const (
	SitesRead             Permission = "sites:read"
	SitesWrite            Permission = "sites:write"
	ConnectorsRead        Permission = "connectors:read"
	ConnectorsWrite       Permission = "connectors:write"
	ConnectorsEnroll      Permission = "connectors:enroll"
	ConnectorsRevoke      Permission = "connectors:revoke"
	ServicesRead          Permission = "services:read"
	ServicesWrite         Permission = "services:write"
	TargetsRead           Permission = "targets:read"
	TargetsWrite          Permission = "targets:write"
	DomainsRead           Permission = "domains:read"
	DomainsWrite          Permission = "domains:write"
	CertificatesRead      Permission = "certificates:read"
	CertificatesWrite     Permission = "certificates:write"
	CertificatesUpload    Permission = "certificates:upload"
	PoliciesRead          Permission = "policies:read"
	PoliciesWrite         Permission = "policies:write"
	VisitorsRead          Permission = "visitors:read" // who was mailed codes
	VisitorsManage        Permission = "visitors:manage"
	MembersRead           Permission = "members:read"
	MembersManage         Permission = "members:manage"
	RolesRead             Permission = "roles:read"
	RolesManage           Permission = "roles:manage"
	GroupsRead            Permission = "groups:read"
	GroupsManage          Permission = "groups:manage"
	InvitationsRead       Permission = "invitations:read"
	InvitationsManage     Permission = "invitations:manage"
	ServiceAccountsRead   Permission = "service-accounts:read"
	ServiceAccountsManage Permission = "service-accounts:manage"
	KeysRead              Permission = "keys:read"
	KeysManage            Permission = "keys:manage"
	WebhooksRead          Permission = "webhooks:read" // where they lead may be a secret, so not everybody's
	WebhooksManage        Permission = "webhooks:manage"
	AlertsRead            Permission = "alerts:read"
	AlertsManage          Permission = "alerts:manage"
	AuditRead             Permission = "audit:read"
	TrafficRead           Permission = "traffic:read"  // how much there is of what
	RequestsRead          Permission = "requests:read" // who asked for what
	RequestsManage        Permission = "requests:manage"
	EventsRead            Permission = "events:read"
	BrandingRead          Permission = "branding:read"
	BrandingWrite         Permission = "branding:write" // of the pages that nodes answer with
	SecurityRead          Permission = "security:read"
	SecurityManage        Permission = "security:manage" // second factors, session ages, identity providers of the organization
)

// level is the least of the built-in roles that has a permission.
type level int

const (
	everyone      level = iota
	viewer              // of an organization; a cluster viewer has it everywhere
	member              // of an organization
	admin               // of an organization
	owner               // of an organization
	clusterViewer       // of the cluster only
	clusterAdmin        // of the cluster only
)

// levels is every permission there is.
var levels = map[Permission]level{
	PoolsRead: everyone, RegionsRead: everyone, AuthoritiesRead: everyone, StatusRead: everyone, MeRead: everyone, MeWrite: everyone,

	OrganizationsRead: clusterViewer, NodesRead: clusterViewer, IssuersRead: clusterViewer, JoinTokensRead: clusterViewer, GossipRead: clusterViewer,
	SnapshotsRead: clusterViewer, UsersRead: clusterViewer,
	OrganizationsWrite: clusterAdmin, RegionsWrite: clusterAdmin, PoolsWrite: clusterAdmin, NodesWrite: clusterAdmin, NodesEnroll: clusterAdmin,
	NodesDrain: clusterAdmin, NodesRevoke: clusterAdmin, IssuersWrite: clusterAdmin, JoinTokensDelete: clusterAdmin, GossipRotate: clusterAdmin,
	LocalSitesWrite: clusterAdmin, UsersManage: clusterAdmin, ClusterManage: clusterAdmin,
	ClusterWebhooksRead: clusterAdmin, ClusterWebhooksManage: clusterAdmin, ClusterAlertsRead: clusterViewer, ClusterAlertsManage: clusterAdmin,
	JobsRead: clusterViewer, JobsManage: clusterAdmin,

	SitesRead: viewer, ConnectorsRead: viewer, ServicesRead: viewer, TargetsRead: viewer, DomainsRead: viewer, CertificatesRead: viewer, PoliciesRead: viewer,
	SitesWrite: member, ConnectorsWrite: member, ConnectorsEnroll: member, ConnectorsRevoke: member, ServicesWrite: member, TargetsWrite: member,
	DomainsWrite: member, CertificatesWrite: member, CertificatesUpload: member, PoliciesWrite: member,
	VisitorsRead: member, VisitorsManage: member,
	MembersRead: viewer, RolesRead: viewer, GroupsRead: viewer, InvitationsRead: admin, ServiceAccountsRead: admin, KeysRead: admin, AuditRead: admin,
	SecurityRead: admin, MembersManage: admin, RolesManage: admin, GroupsManage: admin, InvitationsManage: admin, ServiceAccountsManage: admin, KeysManage: admin,
	WebhooksRead: admin, WebhooksManage: admin, AlertsRead: viewer, AlertsManage: admin,
	TrafficRead: viewer, EventsRead: viewer, RequestsRead: member, RequestsManage: admin,
	BrandingRead: viewer, BrandingWrite: admin,
	SecurityManage: owner,
}

// InOrganization reports whether a permission can be given in one organization alone.
func (p Permission) InOrganization() bool {
	l, ok := levels[p]
	return ok && l >= viewer && l <= owner
}

// Known reports whether there is such a permission that can be given.
func (p Permission) Known() bool {
	l, ok := levels[p]
	return ok && l != everyone
}

// ForEverybody reports whether everybody who is somebody has the permission.
func (p Permission) ForEverybody() bool { return p.Declared() && levels[p] == everyone }

// Declared reports whether there is such a permission at all.
func (p Permission) Declared() bool {
	_, ok := levels[p]
	return ok
}

// Permissions lists what can be given: in an organization, or in the cluster, sorted.
func Permissions(cluster bool) []Permission {
	var out []Permission
	for p := range levels {
		if p.InOrganization() || cluster && p.Known() {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// builtin is what the built-in roles permit.
var builtin = map[model.RoleID]Set{
	model.RoleViewer:       upTo(viewer),
	model.RoleMember:       upTo(member),
	model.RoleAdmin:        upTo(admin),
	model.RoleOwner:        upTo(owner),
	model.RoleClusterAdmin: upTo(clusterAdmin),
	// It reads everything, of organizations as well, but for what only those read who manage it.
	model.RoleClusterViewer: reads(),
}

func upTo(most level) Set {
	out := Set{}
	for p, l := range levels {
		if l > everyone && l <= most {
			out[p] = struct{}{}
		}
	}
	return out
}

func reads() Set {
	out := upTo(viewer)
	for p, l := range levels {
		if l == clusterViewer {
			out[p] = struct{}{}
		}
	}
	out[AuditRead], out[RequestsRead] = struct{}{}, struct{}{}
	return out
}

// Of is what a role permits.
func Of(r *model.Role) Set {
	if s, ok := builtin[r.ID]; ok {
		return s
	}
	return NewSet(r.Permissions)
}

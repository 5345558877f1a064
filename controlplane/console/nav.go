package console

import (
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/model"
)

// entry is a link of the navigation, for those who have a permission.
type entry struct {
	text string
	to   string // below the organization or the cluster; "" is the overview
	need access.Permission
}

type section struct {
	title   string
	cluster bool
	entries []entry
}

// navigation is what there is, in the order in which it is shown.
var navigation = []section{
	{"", false, []entry{
		{"Overview", "", access.StatusRead},
		{"Topology", "topology", access.SitesRead},
		{"Sites", "sites", access.SitesRead},
		{"Services", "services", access.ServicesRead},
		{"Policies", "policies", access.PoliciesRead},
		{"Domains", "domains", access.DomainsRead},
		{"Certificates", "certificates", access.CertificatesRead},
	}},
	{"Logs", false, []entry{
		{"Requests", "requests", access.RequestsRead},
		{"Events", "events", access.EventsRead},
		{"Alerts", "alerts", access.AlertsRead},
		{"Audit log", "audit", access.AuditRead},
	}},
	{"People", false, people},
	{"Settings", false, []entry{
		{"Webhooks", "webhooks", access.WebhooksRead},
		{"Settings", "settings", access.BrandingRead},
		{"GitOps", "gitops", access.StatusRead},
		{"API", "api", access.StatusRead},
	}},
	{"Cluster", true, []entry{
		{"Nodes", "nodes", access.NodesRead},
		{"Pools", "pools", access.NodesRead},
		{"Regions", "regions", access.NodesRead},
		{"Issuers", "issuers", access.IssuersRead},
		{"Join tokens", "join-tokens", access.JoinTokensRead},
		{"Organizations", "organizations", access.OrganizationsRead},
		{"Users", "users", access.UsersRead},
		{"Roles", "roles", access.RolesRead},
		{"Identity providers", "identity-providers", access.ClusterManage},
		{"Alerts", "alerts", access.ClusterAlertsRead},
		{"Webhooks", "webhooks", access.ClusterWebhooksRead},
		{"Audit log", "audit", access.AuditRead},
		{"Settings", "settings", access.ClusterManage},
		{"Jobs", "jobs", access.JobsRead},
		{"Diagnostics", "diagnostics", access.SnapshotsRead},
	}},
}

// link is an entry as it is shown to somebody.
type link struct {
	Text, To string
	Here     bool
}

type linkSection struct {
	Title string
	Links []link
}

// links is the navigation of a request.
func links(q *Request) []linkSection {
	var out []linkSection
	for _, s := range navigation {
		v := linkSection{Title: s.title}
		for _, e := range s.entries {
			can := q.Can(e.need)
			if s.cluster {
				can = q.Who.Can(e.need, model.OrgID{})
			}
			if !e.need.ForEverybody() && !can || !s.cluster && q.Org == nil {
				continue
			}
			to := q.To(e.to)
			if s.cluster {
				to = q.ToCluster(e.to)
			}
			here := q.URL.Path == to || e.to != "" && strings.HasPrefix(q.URL.Path, to+"/")
			v.Links = append(v.Links, link{e.text, to, here})
		}
		if len(v.Links) > 0 {
			out = append(out, v)
		}
	}
	return out
}

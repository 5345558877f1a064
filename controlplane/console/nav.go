package console

import (
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
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
		{"Domains", "domains", access.DomainsRead},
		{"Certificates", "certificates", access.CertificatesRead},
	}},
	{"Logs", false, []entry{
		{"Requests", "requests", access.RequestsRead},
	}},
	{"Cluster", true, []entry{
		{"Nodes", "nodes", access.NodesRead},
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
			if !e.need.ForEverybody() && !q.Can(e.need) || !s.cluster && q.Org == nil {
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

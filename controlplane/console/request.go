package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/model"
)

// Request is one call of a page by somebody who may see it.
type Request struct {
	*http.Request
	*Console
	Who  access.Principal
	Org  *model.Organization // of the path; of cluster pages the one last looked at, perhaps nil
	Now  time.Time
	Said string // what was done just now

	m    *model.Model
	seen *hops.Facts // what was looked at; see facts
}

// Model is the newest configuration, the same during the whole request.
func (q *Request) Model() *model.Model { return q.m }

// Can says whether the caller has a permission: in the organization, or, if it is none of organizations, in the cluster.
func (q *Request) Can(need access.Permission) bool {
	if need.InOrganization() && q.Org != nil {
		return q.Who.Can(need, q.Org.ID)
	}
	return q.Who.Can(need, model.OrgID{})
}

// To is the path of a page of the organization.
func (q *Request) To(parts ...string) string {
	if q.Org == nil {
		return Root + "/"
	}
	return Root + "/orgs/" + url.PathEscape(q.Org.Name) + "/" + path(parts)
}

// ToCluster is the path of a page of the cluster.
func (q *Request) ToCluster(parts ...string) string { return Root + "/cluster/" + path(parts) }

func path(parts []string) string {
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = url.PathEscape(p)
	}
	return strings.Join(out, "/")
}

// Page is what is shown to a request.
type Page struct {
	Title   string
	Crumbs  []Crumb         // the way here, without the page itself
	Actions templ.Component // beside the title
	Kept    *Kept           // who changes back what is written here; nil: nobody
	Top     templ.Component // never replaced while somebody looks at it: what is typed into it stays
	Live    templ.Component // rendered anew whenever something changes
	Stream  string          // where Live comes from then, if it is not the page itself
	Charts  bool            // there are charts on it, which a script draws
	Status  int             // 200 if 0
}

// Crumb is a link to a page above.
type Crumb struct{ Text, To string }

// Done is what an action came to: where the browser goes, what that page says, and what it has to know by then.
type Done struct {
	To       string
	Said     string
	Revision model.Revision
	Page     *Page // shown instead: what is shown once, or a form with what is wrong with it
}

// organizations are those that a caller sees, by name, at most most of them.
func organizations(m *model.Model, p access.Principal, most int) []*model.Organization {
	var out []*model.Organization
	if p.Everywhere() {
		out = slices.Collect(m.Organizations())
	} else {
		for _, id := range p.Organizations() {
			if o := m.Organization(id); o != nil {
				out = append(out, o)
			}
		}
	}
	slices.SortFunc(out, func(a, b *model.Organization) int { return cmp.Compare(a.Name, b.Name) })
	return out[:min(len(out), most)]
}

// byName is the organization of a path, by name or id; nil if the caller does not see it.
func byName(m *model.Model, p access.Principal, ref string) *model.Organization {
	var found *model.Organization
	if id, err := (model.OrgID{}).Parse(ref); err == nil {
		found = m.Organization(id)
	} else {
		for o := range m.Organizations() {
			if o.Name == ref {
				found = o
			}
		}
	}
	if found == nil || p.CheckOrg(found.ID) != nil {
		return nil
	}
	return found
}

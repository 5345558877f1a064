package console

import (
	"context"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
)

// listSets is what files keep: each set of manifests with its last apply.
func listSets(q *Request) (*Page, error) {
	list, err := part(q, func(ctx context.Context, p access.Principal, org, after string, limit int) ([]admin.ManifestSet, string, error) {
		return q.Admin.ManifestSets(ctx, p, org, after, limit)
	})
	return &Page{Title: "GitOps", Top: setsView(q, list)}, err
}

// showSet is a set with what was changed elsewhere since.
func showSet(q *Request) (*Page, error) {
	v, err := q.Admin.ManifestSet(q.Context(), q.Who, q.Org.ID.String(), q.PathValue("set"))
	if err != nil {
		return nil, err
	}
	return &Page{Title: v.Name, Crumbs: []Crumb{{"GitOps", q.To("gitops")}}, Top: setView(q, v)}, nil
}

func driftBadge(v admin.ManifestDrift) Badge {
	switch v.State {
	case "gone":
		return Badge{bad, "deleted", "The next apply makes it again"}
	case "released":
		return Badge{idle, "released", "Another set keeps it now"}
	}
	return Badge{warn, "changed", "The next apply changes it back"}
}

// objectPage is the page of an object that a set keeps, "" if it has none here.
func (q *Request) objectPage(v admin.ManifestDrift) string {
	list, ok := map[string]string{
		"Site": "sites", "Service": "services", "Policy": "policies", "Domain": "domains", "Webhook": "webhooks", "AlertRule": "alerts", "ServiceAccount": "service-accounts",
	}[v.Kind]
	switch {
	case v.State == "gone":
		return ""
	case v.Kind == "Node":
		return q.ToCluster("nodes", v.Name)
	case v.Kind == "Target":
		if id, err := (model.TargetID{}).Parse(v.ID); err == nil && q.m.Target(id) != nil && q.m.Service(q.m.Target(id).Service) != nil {
			return q.To("services", q.m.Service(q.m.Target(id).Service).Name)
		}
	case ok:
		return q.To(list, v.Name)
	}
	return ""
}

// Kept says who keeps an object that is about to be written by hand: whoever does changes it back.
type Kept struct{ Text, To, Link string }

// keeping has a form say who keeps what is written by it.
func (q *Request) keeping(by string) func(*Page, error) (*Page, error) {
	return func(p *Page, err error) (*Page, error) {
		if p != nil {
			p.Kept = q.kept(by)
		}
		return p, err
	}
}

// kept finds out who, by what an object says of it; nil: nobody does.
func (q *Request) kept(by string) *Kept {
	if by == "" {
		return nil
	}
	if id, err := (model.SiteID{}).Parse(by); err == nil {
		if s := q.m.Site(id); s != nil {
			return &Kept{"Labels of containers in the network " + s.Name + " keep this: what is written here is written over as soon as they say something else.", q.toSite(s), s.Name}
		}
	}
	return &Kept{"Files keep this, in the set of manifests " + by + ": what is changed here is changed back when they are applied again.", q.To("gitops", by), "What has been changed"}
}

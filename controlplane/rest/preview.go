package rest

import (
	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
)

// Previewer tells what a step of the configuration would do to each node and connector.
type Previewer interface {
	Preview(prev, next *model.Model, b model.Batch) ([]snapshot.Preview, []snapshot.Problem)
}

// preview adds what nodes and connectors would receive, as far as this replica has the configuration and the caller may see
// them: nodes without their names if he may not read nodes.
func (a *API) preview(out *Applied, who access.Principal, b model.Batch) {
	prev := a.World.Get()
	if a.Previewer == nil || prev.Revision() == 0 || b.To == 0 {
		return
	}
	b.From = prev.Revision()
	next := prev.Apply(b)
	readers, problems := a.Previewer.Preview(prev, next, b)
	for _, r := range readers {
		if !maySee(who, next, &r) {
			continue
		}
		v := AppliedReader{Kind: string(r.Kind), Name: r.Name, All: r.All}
		for _, ref := range r.Upserts {
			v.Upserts = append(v.Upserts, refName(ref))
		}
		for _, ref := range r.Removed {
			v.Removed = append(v.Removed, refName(ref))
		}
		out.Readers = append(out.Readers, v)
	}
	for _, p := range problems {
		out.Problems = append(out.Problems, refName(p.Ref)+": "+p.Err.Error())
	}
}

// maySee reports whether a caller may hear of a reader, and takes away its name if he may not hear that.
func maySee(who access.Principal, m *model.Model, r *snapshot.Preview) bool {
	if r.Kind == identity.Node {
		if !who.Can(access.NodesRead, model.OrgID{}) {
			r.Name = ""
		}
		return true
	}
	id, err := model.ConnectorID{}.Parse(r.ID)
	if err != nil || m.Connector(id) == nil {
		return false
	}
	return who.Can(access.ConnectorsRead, m.Connector(id).Org)
}

func refName(r snapshot.Ref) string { return resource.ShortType(r.TypeURL) + "/" + r.Name }

package admin

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/model"
)

// Hops knows what was seen of nodes, tunnels and targets.
type Hops interface {
	Facts(now time.Time) *hops.Facts
}

// HealthSummary is how something is, and of what is wrong the most important.
type HealthSummary struct {
	State  hops.State `json:"state" enum:"healthy,unknown,degraded,inactive,down"`
	Hop    hops.Name  `json:"hop,omitempty" enum:"dns,node,tls,tunnel,target" doc:"What is broken; absent while all is well"`
	Code   hops.Code  `json:"code,omitempty" doc:"What is wrong there, the same in every release"`
	Reason string     `json:"reason,omitempty"`
}

func summary(r hops.Report) *HealthSummary {
	return &HealthSummary{r.State, r.Broken, r.Code, r.Reason}
}

// ServiceHealth says how each hop to a service is.
func (a *Admin) ServiceHealth(ctx context.Context, p access.Principal, org, ref string) (r hops.Report, err error) {
	return health(ctx, a.Services, p, org, ref, func(f *hops.Facts, v *model.Service) (hops.Report, bool) {
		if v = f.Model.Service(v.ID); v == nil {
			return hops.Report{}, false
		}
		return f.Service(v), true
	})
}

// SiteHealth says how nodes get into a site, and how its targets are.
func (a *Admin) SiteHealth(ctx context.Context, p access.Principal, org, ref string) (r hops.Report, err error) {
	return health(ctx, a.Sites, p, org, ref, func(f *hops.Facts, v *model.Site) (hops.Report, bool) {
		if v = f.Model.Site(v.ID); v == nil {
			return hops.Report{}, false
		}
		return f.Site(v), true
	})
}

// health is a report on one object of a collection; judge is false of what this replica has not read yet.
func health[M, S, V any](ctx context.Context, k *Collection[M, S, V], p access.Principal, org, ref string, judge func(*hops.Facts, *M) (hops.Report, bool)) (r hops.Report, err error) {
	err = k.a.read(ctx, p, func(c *call) error {
		if err := k.begin(c, k.read, org); err != nil {
			return err
		}
		v, err := k.byRef(c, ref)
		if err != nil {
			return err
		}
		known := false
		if f := c.hops(); f != nil {
			r, known = judge(f, v)
		}
		if !known {
			return fault.New(fault.Unavailable, "this replica has not read it yet: ask again")
		}
		return nil
	})
	return r, err
}

// hops is what was seen, once for a call; nil if nobody looks.
func (c *call) hops() *hops.Facts {
	if c.seen != nil || c.a.Hops == nil {
		return c.seen
	}
	f := c.a.Hops.Facts(time.Now())
	found := map[model.DomainID]*model.DomainFinding{}
	f.Finding = func(id model.DomainID) *model.DomainFinding {
		v, ok := found[id]
		if !ok {
			v, _ = c.tx.GetDomainFinding(c, id) // without one nothing is known, whatever the reason
			found[id] = v
		}
		return v
	}
	if !c.p.Can(access.NodesRead, model.OrgID{}) {
		f.NodeName = func(n *model.Node) string { return n.ID.String() }
	}
	c.seen = f
	return f
}

// serviceHealth is shown with a service that is read. What was just written is not seen yet.
func (c *call) serviceHealth(v *model.Service) *HealthSummary {
	if f := c.hops(); c.action == "" && f != nil && f.Model.Service(v.ID) != nil {
		return summary(f.Service(f.Model.Service(v.ID)))
	}
	return nil
}

// siteHealth is shown with a site that is read.
func (c *call) siteHealth(v *model.Site) *HealthSummary {
	if f := c.hops(); c.action == "" && f != nil && f.Model.Site(v.ID) != nil {
		return summary(f.Site(f.Model.Site(v.ID)))
	}
	return nil
}

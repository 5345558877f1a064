package console

import (
	"net/url"
	"slices"
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
)

// holder is a node or connector, which holds resources.
type holder struct {
	push.Reader
	Name   string
	base   string // its page's path, of what stands below it
	crumbs []Crumb
}

func (h holder) to(r Resource) string {
	return withQuery(h.base+"/resource", url.Values{"type": {r.Type}, "name": {r.Name}})
}

func (q *Request) nodeHolder() (h holder, err error) {
	n, err := q.nodeNamed()
	if err != nil {
		return h, err
	}
	at := q.ToCluster("nodes", n.Name)
	return holder{push.Reader{Kind: identity.Node, ID: n.ID.String()}, n.Name, at, q.nodeCrumbs(Crumb{n.Name, at})}, nil
}

func (q *Request) connectorHolder() (h holder, err error) {
	s, err := q.siteNamed()
	if err != nil {
		return h, err
	}
	c, err := q.connectorNamed()
	if err == nil && c.Site != s.ID {
		err = fault.New(fault.NotFound, "The connector %s is in another site.", c.Name)
	}
	if err != nil {
		return h, err
	}
	at := q.To("sites", s.Name)
	return holder{push.Reader{Kind: identity.Connector, ID: c.ID.String()}, c.Name, at + "/connectors/" + url.PathEscape(c.Name), q.siteCrumbs(Crumb{s.Name, at})}, nil
}

func (c *Console) snapshotRoutes(at string, of func(*Request) (holder, error)) {
	c.page(at+"/snapshot", access.SnapshotsRead, func(q *Request) (*Page, error) {
		h, err := of(q)
		if err != nil {
			return nil, err
		}
		return q.snapshotPage(h)
	})
	c.page(at+"/resource", access.SnapshotsRead, func(q *Request) (*Page, error) {
		h, err := of(q)
		if err != nil {
			return nil, err
		}
		return q.resourcePage(h)
	})
}

// Resource is one resource as somebody holds or should hold it.
type Resource struct {
	push.ResourceView
	Type  string
	Badge Badge
}

// mostResources is how many resources a snapshot shows: those that are not in sync come first.
const mostResources = 300

// snapshot compares what somebody should have with what he was sent, has acknowledged and has applied.
func (q *Request) snapshot(h holder) ([]Resource, *push.View, error) {
	var far *push.Elsewhere
	if e, ok := q.Presence.Get(presence.Key{Kind: h.Kind, ID: h.ID}); ok && e.Replica != q.Presence.Replica() {
		far = &push.Elsewhere{Applied: e.Applied, Omitted: e.Omitted}
		for _, r := range e.Rejected {
			far.Rejected = append(far.Rejected, push.Rejected(r))
		}
	}
	v, err := q.Push.Debug(h.Reader, far)
	if err != nil {
		return nil, nil, err
	}
	out := make([]Resource, len(v.Resources))
	for i, r := range v.Resources {
		out[i] = Resource{r, resource.ShortType(r.TypeURL), resourceBadge(r)}
	}
	return out, v, nil
}

func resourceBadge(r push.ResourceView) Badge {
	tones := map[push.Status]string{push.StatusSynced: good, push.StatusPending: warn, push.StatusRejected: bad, push.StatusProblem: bad, push.StatusUnknown: warn}
	return Badge{tones[r.Status], string(r.Status), r.Reason}
}

// short is the beginning of a version, which is a hash.
func short(s push.State) string {
	if s.Version == "" {
		return "–"
	}
	return s.Version[:min(len(s.Version), 8)]
}

func (q *Request) snapshotPage(h holder) (*Page, error) {
	all, v, err := q.snapshot(h)
	if err != nil {
		return nil, err
	}
	query := strings.TrimSpace(q.URL.Query().Get("q"))
	words := strings.Fields(strings.ToLower(query))
	var odd, even []Resource
	for _, r := range all {
		if !matches(words, r.Type+" "+r.Name, r, func(r Resource) []string { return q.aboutNames(r.Name) }) {
			continue
		}
		if r.Status == push.StatusSynced {
			even = append(even, r)
		} else {
			odd = append(odd, r)
		}
	}
	return &Page{
		Title: "Snapshot of " + h.Name, Crumbs: h.crumbs, Top: finder(q, query, "Search resources"), Live: snapshotView(q, h, append(odd, even...), v),
	}, nil
}

// about are the objects that a resource is made of, by its name, with their pages as far as the caller may see them. Its
// organization comes first.
func (q *Request) about(name string) (out []Crumb) {
	for id := range strings.SplitSeq(name, "/") {
		if text, to := q.object(id); text != "" {
			out = append(out, Crumb{text, to})
		}
	}
	return out
}

func (q *Request) aboutNames(name string) (out []string) {
	for _, o := range q.about(name) {
		out = append(out, o.Text)
	}
	return out
}

// object is what an id stands for, and its page; "" if it is known of nothing.
func (q *Request) object(id string) (text, to string) {
	in := func(org model.OrgID, parts ...string) string {
		o := q.m.Organization(org)
		if o == nil || q.Who.CheckOrg(org) != nil {
			return ""
		}
		return Root + "/orgs/" + path(append([]string{o.Name}, parts...))
	}
	switch kind, _, _ := strings.Cut(id, "_"); kind {
	case "org":
		if v, err := (model.OrgID{}).Parse(id); err == nil && q.m.Organization(v) != nil {
			return "organization " + q.m.Organization(v).Name, in(v, "")
		}
	case "service":
		if v, err := (model.ServiceID{}).Parse(id); err == nil && q.m.Service(v) != nil {
			s := q.m.Service(v)
			return "service " + s.Name, in(s.Org, "services", s.Name)
		}
	case "policy":
		if v, err := (model.PolicyID{}).Parse(id); err == nil && q.m.Policy(v) != nil {
			p := q.m.Policy(v)
			return "policy " + p.Name, in(p.Org, "policies", p.Name)
		}
	case "site":
		if v, err := (model.SiteID{}).Parse(id); err == nil && q.m.Site(v) != nil {
			s := q.m.Site(v)
			return "site " + s.Name, in(s.Org, "sites", s.Name)
		}
	case "domain":
		if v, err := (model.DomainID{}).Parse(id); err == nil && q.m.Domain(v) != nil {
			d := q.m.Domain(v)
			return "domain " + d.Name, in(d.Org, "domains", d.Name)
		}
	case "node":
		if v, err := (model.NodeID{}).Parse(id); err == nil && q.m.Node(v) != nil {
			return "node " + q.m.Node(v).Name, q.toNode(q.m.Node(v))
		}
	case "pool":
		if v, err := (model.PoolID{}).Parse(id); err == nil && q.m.Pool(v) != nil {
			return "pool " + q.m.Pool(v).Name, ""
		}
	default:
		if v, err := (model.CertificateID{}).Parse(id); err == nil && q.m.Certificate(v) != nil {
			c := q.m.Certificate(v)
			return "certificate of " + cut(strings.Join(c.Names, ", "), 80), in(c.Org, "certificates")
		}
	}
	return "", ""
}

// resourcePage shows one resource of somebody: how it stands, why, and what has changed in it.
func (q *Request) resourcePage(h holder) (*Page, error) {
	all, _, err := q.snapshot(h)
	if err != nil {
		return nil, err
	}
	kind, name := q.URL.Query().Get("type"), q.URL.Query().Get("name")
	i := slices.IndexFunc(all, func(r Resource) bool { return r.Type == kind && r.Name == name })
	if i < 0 {
		return nil, fault.New(fault.NotFound, "%s should hold no such resource, and holds none.", h.Name)
	}
	r := all[i]
	v := held{Resource: r, why: q.whyHeld(h, r), steps: stepsOf(r)}
	if r.Content != nil {
		if v.now, err = contentText(snapshot.Shown(r.Content)); err != nil {
			return nil, err
		}
	}
	if err := v.compare(q.Push.Former(r.TypeURL, r.Name)); err != nil {
		return nil, err
	}
	at := h.base + "/snapshot"
	return &Page{Title: r.Type + " at " + h.Name, Crumbs: append(h.crumbs, Crumb{"Snapshot", at}), Live: resourceView(q, h, v)}, nil
}

package console

import (
	"cmp"
	"slices"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

func (q *Request) sitesOf() []*model.Site {
	var out []*model.Site
	for s := range q.m.Sites() {
		if s.Org == q.Org.ID {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *model.Site) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// siteNamed is the site of the path.
func (q *Request) siteNamed() (*model.Site, error) {
	ref := q.PathValue("site")
	for s := range q.m.Sites() {
		if s.Org == q.Org.ID && (s.Name == ref || s.ID.String() == ref) {
			return s, nil
		}
	}
	return nil, fault.New(fault.NotFound, "There is no site %q in this organization.", ref)
}

func listSites(q *Request) (*Page, error) {
	flow, err := q.flow(model.BySite)
	if err != nil {
		return nil, err
	}
	r := rows(q, values(q.sitesOf()), func(s *model.Site) string { return s.Name }, func(s *model.Site) []string { return []string{string(s.Kind)} })
	return &Page{Title: "Sites", Actions: sitesActions(q), Top: finder(q, r.Query, "Search sites"), Live: sitesView(q, r, flow)}, nil
}

func (q *Request) siteCrumbs(more ...Crumb) []Crumb {
	return append([]Crumb{{"Sites", q.To("sites")}}, more...)
}

func showSite(q *Request) (*Page, error) {
	s, err := q.siteNamed()
	if err != nil {
		return nil, err
	}
	published, err := q.published(s)
	if err != nil {
		return nil, err
	}
	targets := q.targetsAt(s)
	p := &Page{Title: s.Name, Crumbs: q.siteCrumbs(), Actions: siteActions(q, s), Live: siteView(q, q.site(s), targets, published), Charts: true}
	if targets.Total > perPage || targets.Query != "" {
		p.Top = finder(q, targets.Query, "Search targets here")
	}
	return p, nil
}

func askDeleteSite(q *Request) (*Page, error) {
	s, err := q.siteNamed()
	if err != nil {
		return nil, err
	}
	return &Page{
		Title: "Delete " + s.Name + "?", Crumbs: q.siteCrumbs(Crumb{s.Name, q.To("sites", s.Name)}),
		Top: question("The site "+s.Name+" and its connectors are gone for good. Targets in it have to be deleted first.", "Delete the site", q.URL.Path, q.To("sites", s.Name)),
	}, nil
}

func deleteSite(q *Request) (*Done, error) {
	name := q.PathValue("site")
	rev, err := q.Admin.Sites.Delete(q.Context(), q.Who, q.Org.ID.String(), name)
	return &Done{To: q.To("sites"), Said: "The site " + name + " is deleted.", Revision: rev}, err
}

// connectorNamed is the connector of the path.
func (q *Request) connectorNamed() (*model.Connector, error) {
	ref := q.PathValue("connector")
	for c := range q.m.Connectors() {
		if c.Org == q.Org.ID && (c.Name == ref || c.ID.String() == ref) {
			return c, nil
		}
	}
	return nil, fault.New(fault.NotFound, "There is no connector %q in this organization.", ref)
}

func askRevokeConnector(q *Request) (*Page, error) {
	s, err := q.siteNamed()
	if err != nil {
		return nil, err
	}
	c, err := q.connectorNamed()
	if err != nil {
		return nil, err
	}
	return &Page{
		Title: "Revoke " + c.Name + "?", Crumbs: q.siteCrumbs(Crumb{s.Name, q.To("sites", s.Name)}),
		Top: question("The connector "+c.Name+" is trusted no more, for good: its tunnels end now.", "Revoke it", q.URL.Path, q.To("sites", s.Name)),
	}, nil
}

func revokeConnector(q *Request) (*Done, error) {
	name := q.PathValue("connector")
	_, rev, err := q.Admin.RevokeConnector(q.Context(), q.Who, q.Org.ID.String(), name)
	return &Done{To: q.To("sites", q.PathValue("site")), Said: "The connector " + name + " is revoked.", Revision: rev}, err
}

// kindOf says how a site is reached, as people say it.
func kindOf(k model.SiteKind) string {
	return map[model.SiteKind]string{model.ConnectorSite: "connectors", model.LocalSite: "network of nodes", model.WireGuardSite: "WireGuard device"}[k]
}

// reachedBy is the same with how many there are.
func reachedBy(s SiteState) string {
	switch s.Kind {
	case model.ConnectorSite:
		return plural(len(s.Connectors), "connector", "connectors")
	case model.LocalSite:
		return plural(len(s.Connectors), "node stands in it", "nodes stand in it")
	}
	return kindOf(s.Kind)
}

func (q *Request) poolName(id model.PoolID) string {
	if p := q.m.Pool(id); p != nil {
		return p.Name
	}
	return "–"
}

func (q *Request) regionName(id model.RegionID) string {
	if r := q.m.Region(id); r != nil {
		return r.Name
	}
	return "–"
}

func (q *Request) siteName(id model.SiteID) string {
	if s := q.m.Site(id); s != nil {
		return s.Name
	}
	return "–"
}

// targetsAt is a page of the targets in a site, by name.
func (q *Request) targetsAt(s *model.Site) Rows[*model.Target] {
	return rows(q, q.m.TargetsAt(s.ID), func(t *model.Target) string { return t.Name }, func(t *model.Target) []string { return []string{t.Address} })
}

func membersTitle(k model.SiteKind) string {
	if k == model.LocalSite {
		return "Nodes in this network"
	}
	return "Connectors"
}

package console

import (
	"slices"
	"strconv"
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

func connectPage(q *Request) (*Page, error) {
	f := filled("platform", platforms[0].ID, "site", q.URL.Query().Get("site"), "pool", firstOf(q.poolOptions()))
	if f.Get("site") == "" {
		f.Set("site", q.freeSite())
	}
	return q.connectForm(f, 0), nil
}

func (q *Request) connectForm(f Form, status int) *Page {
	return &Page{Title: "Connect a network", Crumbs: q.siteCrumbs(), Top: connectView(q, f), Status: status}
}

// freeSite is a name for a new site.
func (q *Request) freeSite() string {
	taken := map[string]bool{}
	for _, s := range q.sitesOf() {
		taken[s.Name] = true
	}
	name := "home"
	for i := 2; taken[name]; i++ {
		name = "site-" + strconv.Itoa(i)
	}
	return name
}

// freeConnector is a name for a new connector of a site; one that has not joined yet is taken again.
func (q *Request) freeConnector(site string) string {
	taken := map[string]bool{}
	for c := range q.m.Connectors() {
		if c.Org != q.Org.ID {
			continue
		}
		waits := !c.Enrolled() && c.Revoked.IsZero() && q.siteName(c.Site) == site
		taken[c.Name] = !waits
	}
	for i := 1; ; i++ {
		if name := site + "-" + strconv.Itoa(i); !taken[name] {
			return name
		}
	}
}

// connectForm makes the site if need be, and a connector with its token, and shows the command. The token is shown this
// once: sending the form again makes another one, and the one before is void.
func connectForm(q *Request) (*Done, error) {
	f := formOf(q)
	pf, name, token, err := q.enroll(f)
	if err != nil {
		status := f.refuse(err)
		if status == 0 {
			return nil, err
		}
		return &Done{Page: q.connectForm(f, status)}, nil
	}
	if len(q.Control) == 0 {
		return nil, fault.New(fault.Unavailable, "Nobody has said where connectors reach the control plane.")
	}
	q.URL.Path, q.URL.RawQuery = q.To("connect", name), "" // what the page follows from here on
	command := pf.command(name, q.Control, token.Token)
	return &Done{Page: &Page{
		Title: "Connect " + f.Get("site"), Crumbs: q.siteCrumbs(Crumb{f.Get("site"), q.To("sites", f.Get("site"))}),
		Top: commandView(q, "Paste this in the network", pf, command, token), Live: waitView(q, name, nil),
	}}, nil
}

func (q *Request) enroll(f Form) (pf platform, name string, token admin.JoinToken, err error) {
	if pf, err = platformNamed(f.Get("platform")); err != nil {
		return pf, name, token, err
	}
	site, org := f.Get("site"), q.Org.ID.String()
	if site == "" {
		return pf, name, token, fault.Field("site", "missing")
	}
	if !slices.ContainsFunc(q.sitesOf(), func(s *model.Site) bool { return s.Name == site }) {
		_, _, err = q.Admin.Sites.Create(q.Context(), q.Who, org, site, admin.SiteSpec{Pool: f.Get("pool")})
		if fault.Of(err) == fault.Conflict { // made a moment ago, and this replica has not heard of it
			_, err = q.Admin.Sites.Get(q.Context(), q.Who, org, site)
		}
		if err != nil {
			if fault.Of(err) == fault.Invalid {
				err = siteField(err)
			}
			return pf, name, token, err
		}
	}
	name = q.freeConnector(site)
	if _, _, _, err = q.Admin.Connectors.Put(q.Context(), q.Who, org, name, admin.ConnectorSpec{Site: site}); err != nil {
		return pf, name, token, err
	}
	token, err = q.Admin.CreateJoinToken(q.Context(), q.Who, admin.JoinTokenSpec{Organization: org, Connector: name})
	return pf, name, token, err
}

// siteField says of the name of a site what is wrong with it where the form calls it so.
func siteField(err error) error {
	f := Form{}
	f.refuse(err)
	if len(f.Wrong) > 0 && f.Wrong[0].Field == "name" {
		return fault.Field("site", "%s", f.Wrong[0].Text)
	}
	return err
}

// connectState is how far a connector has come; once it is there, a service can be published.
func connectState(q *Request) (*Page, error) {
	c, err := q.connectorNamed()
	if err != nil {
		return nil, err
	}
	site := q.m.Site(c.Site)
	p := &Page{Title: "Connect " + q.siteName(c.Site), Crumbs: q.siteCrumbs(Crumb{q.siteName(c.Site), q.To("sites", q.siteName(c.Site))})}
	m := q.connector(c)
	p.Live = waitView(q, c.Name, &m)
	if site == nil || !c.Enrolled() || !q.Can(access.ServicesWrite) {
		return p, nil
	}
	f := q.publishDefaults(site)
	if port := q.URL.Query().Get("port"); slices.ContainsFunc(m.Ports, func(p uint16) bool { return itoa(int(p)) == port }) {
		f.Set("address", loopback)
		f.Set("port", port)
	}
	p.Live = publishView(q, c, &m, f) // whatever its tunnels do: somebody may be typing
	return p, nil
}

// loopback is how a connector calls its own machine.
const loopback = "127.0.0.1"

// mostPorts is how many ports are offered.
const mostPorts = 16

// found are the ports of a connector's machine that are not published yet.
func (q *Request) found(c *model.Connector, m *Member) (out []string) {
	taken := map[uint16]bool{}
	for t := range q.m.Targets() {
		if t.Site == c.Site && t.Address == loopback {
			taken[t.Port] = true
		}
	}
	for _, p := range m.Ports {
		if !taken[p] && len(out) < mostPorts {
			out = append(out, itoa(int(p)))
		}
	}
	return out
}

// publishDefaults suggests a hostname in the first domain of the organization.
func (q *Request) publishDefaults(s *model.Site) Form {
	f := filled("site", s.Name, "pool", q.poolName(s.Pool), "domain", q.firstDomain())
	if d := f.Get("domain"); d != "" {
		name := s.Name
		for taken := true; taken; {
			taken = false
			for range q.m.ServicesNamed(name + "." + d) {
				taken = true
			}
			if taken {
				name += "-2"
			}
		}
		f.Set("hostname", name+"."+d)
	}
	return f
}

func (q *Request) firstDomain() string {
	first := ""
	for d := range q.m.Domains() {
		if d.Org == q.Org.ID && !d.Unproven && (first == "" || d.Name < first) {
			first = d.Name
		}
	}
	return first
}

// publishForm publishes the first service of a site: of a name that is in no domain yet, the domain is made.
func publishForm(q *Request) (*Done, error) {
	c, err := q.connectorNamed()
	if err != nil {
		return nil, err
	}
	site := q.m.Site(c.Site)
	if site == nil {
		return nil, fault.New(fault.NotFound, "Its site is gone.")
	}
	f := formOf(q)
	f.Set("kind", string(model.HTTP))
	f.Set("site", site.Name)
	f.Set("pool", q.poolName(site.Pool))
	f.Set("name", q.freeService(f.Get("hostname")))
	rev, err := q.publishNamed(f)
	if err != nil {
		status := f.refuse(err)
		if status == 0 {
			return nil, err
		}
		return &Done{Page: &Page{Title: "Connect " + site.Name, Crumbs: q.siteCrumbs(Crumb{site.Name, q.To("sites", site.Name)}), Top: publishView(q, c, nil, f), Status: status}}, nil
	}
	return &Done{To: q.To("services", f.Get("name")), Said: "It is published.", Revision: rev}, nil
}

func (q *Request) publishNamed(f Form) (model.Revision, error) {
	if f.Get("hostname") == "" {
		return 0, fault.Field("hostname", "missing")
	}
	if f.Get("port") == "" {
		return 0, fault.Field("port", "missing")
	}
	domain := f.Get("domain")
	if domain != "" && q.firstDomain() == "" && q.Can(access.DomainsWrite) {
		if _, _, err := q.Admin.Domains.Create(q.Context(), q.Who, q.Org.ID.String(), domain, admin.DomainSpec{Pool: f.Get("pool")}); err != nil {
			if fault.Of(err) == fault.Invalid || fault.Of(err) == fault.Conflict {
				g := Form{}
				g.refuse(err)
				return 0, fault.Field("domain", "%s", g.Wrong[0].Text)
			}
			return 0, err
		}
	}
	return q.publish(f)
}

// freeService is a name for a new service: of its hostname the first label that makes one.
func (q *Request) freeService(host string) string {
	taken := map[string]bool{}
	for s := range q.m.Services() {
		if s.Org == q.Org.ID {
			taken[s.Name] = true
		}
	}
	label, _, _ := strings.Cut(strings.TrimPrefix(strings.ToLower(host), "*."), ".")
	if label == "" {
		label = "service"
	}
	name := label
	for i := 2; taken[name]; i++ {
		name = label + "-" + strconv.Itoa(i)
	}
	return name
}

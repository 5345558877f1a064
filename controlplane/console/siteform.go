package console

import (
	"strconv"
	"strings"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// regionOptions are the regions that a site can stand in.
func (q *Request) regionOptions() []Option {
	out := []Option{{"", "none"}}
	for r := range q.m.Regions() {
		out = append(out, Option{r.Name, r.Name})
	}
	return out
}

// siteForm is what is written of a site, as it is typed.
func siteForm(s admin.SiteSpec) Form {
	f := filled("pool", s.Pool, "region", s.Region, "tunnels", strconv.Itoa(s.Tunnels), "carrier", s.Carrier)
	if p := s.Publish; p != nil {
		f.Set("publishes", "on")
		f.Set("publish.hostnames", strings.Join(p.Hostnames, "\n"))
		f.Set("publish.ports", strings.Join(p.Ports, "\n"))
	}
	return f
}

// siteSpec is what was typed of a site over what there was of it.
func siteSpec(f Form, s admin.SiteSpec) (admin.SiteSpec, error) {
	s.Pool, s.Region, s.Carrier = f.Get("pool"), f.Get("region"), f.Get("carrier")
	if s.Kind != string(model.LocalSite) {
		n, err := number(f, "tunnels")
		if err != nil {
			return s, err
		}
		if n < 1 || n > mostTunnels {
			return s, fault.Field("tunnels", "%d, want 1 to %d", n, mostTunnels)
		}
		s.Tunnels = n
	}
	s.Publish = nil
	if f.Get("publishes") == "on" {
		s.Publish = &admin.Publish{Hostnames: f.lines("publish.hostnames"), Ports: f.lines("publish.ports")}
	}
	return s, nil
}

// mostTunnels is to how many nodes a connector keeps tunnels at most.
const mostTunnels = 8

func (q *Request) sitePage(s *model.Site, f Form, status int) (*Page, error) {
	return &Page{Title: "Edit " + s.Name, Crumbs: q.siteCrumbs(Crumb{s.Name, q.To("sites", s.Name)}), Status: status, Top: siteFormView(q, s, f)}, nil
}

// siteWritten is the site of the path, what is written of it, and what keeps it.
func (q *Request) siteWritten() (s *model.Site, spec admin.SiteSpec, by string, err error) {
	if s, err = q.siteNamed(); err != nil {
		return nil, spec, "", err
	}
	v, err := q.Admin.Sites.Get(q.Context(), q.Who, q.scope(), s.ID.String())
	if err != nil {
		return nil, spec, "", err
	}
	spec, err = specOf[admin.SiteSpec](v)
	return s, spec, v.ManagedBy, err
}

func editSite(q *Request) (*Page, error) {
	s, spec, by, err := q.siteWritten()
	if err != nil {
		return nil, err
	}
	return q.keeping(by)(q.sitePage(s, siteForm(spec), 0))
}

func changeSite(q *Request) (*Done, error) {
	s, spec, _, err := q.siteWritten()
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	spec, err = siteSpec(f, spec)
	var rev model.Revision
	if err == nil {
		_, _, rev, err = q.Admin.Sites.Put(q.Context(), q.Who, q.scope(), s.ID.String(), spec)
	}
	return tried(f, err, Done{To: q.To("sites", s.Name), Said: "The site " + s.Name + " is changed.", Revision: rev}, func(f Form, status int) (*Page, error) {
		return q.sitePage(s, f, status)
	})
}

// published is what became of what labels of containers at a site ask for; nil while nobody has asked, or the database is
// away.
func (q *Request) published(s *model.Site) (*admin.Published, error) {
	v, err := q.Admin.Sites.Get(q.Context(), q.Who, q.scope(), s.ID.String())
	if fault.Of(err) == fault.Unavailable && err != nil {
		return nil, nil
	}
	return v.Published, err
}

// mayPublish is what the connectors of a site may publish, as people say it.
func mayPublish(p *model.Publish) (out []string) {
	if p == nil {
		return nil
	}
	out = append(out, p.Hostnames...)
	for _, r := range p.Ports {
		out = append(out, "port "+r.String())
	}
	return out
}

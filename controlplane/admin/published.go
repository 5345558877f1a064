package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/hostname"
)

// Publish is what a site's connectors may publish of their own accord, as it is written and shown.
type Publish struct {
	Hostnames []string `json:"hostnames,omitempty" maxItems:"64" example:"[\"*.apps.example.org\"]" doc:"Of http and tls services: names, within domains of the organization; \"*.\" stands for one label"`
	Ports     []string `json:"ports,omitempty" maxItems:"64" example:"[\"6000-6010\"]" doc:"Of tcp and udp services: ports of the nodes, and ranges of them"`
}

// Published is what became of what the labels of containers at a site ask for.
type Published struct {
	Services []string               `json:"services,omitempty" doc:"Names of those that they have made"`
	Problems []model.PublishProblem `json:"problems,omitempty" doc:"Why other things that they ask for are not so"`
}

func buildPublish(s *Publish) (*model.Publish, error) {
	if s == nil {
		return nil, nil
	}
	out := &model.Publish{}
	for i, h := range s.Hostnames {
		c, err := hostname.CanonicalPattern(h)
		if err != nil {
			return nil, fault.Field("publish.hostnames["+itoa(i)+"]", "%v", err)
		}
		out.Hostnames = append(out.Hostnames, c)
	}
	for i, text := range s.Ports {
		p, err := model.ParsePorts(text)
		if err != nil {
			return nil, fault.Field("publish.ports["+itoa(i)+"]", "%v", err)
		}
		out.Ports = append(out.Ports, p)
	}
	slices.Sort(out.Hostnames)
	out.Hostnames = slices.Compact(out.Hostnames)
	slices.SortFunc(out.Ports, func(a, b model.Ports) int {
		return slices.Compare([]uint16{a.First, a.Last}, []uint16{b.First, b.Last})
	})
	out.Ports = slices.Compact(out.Ports)
	return out, nil
}

func viewPublish(p *model.Publish) *Publish {
	if p == nil {
		return nil
	}
	out := &Publish{Hostnames: p.Hostnames}
	for _, ports := range p.Ports {
		out.Ports = append(out.Ports, ports.String())
	}
	return out
}

// sitePublishes puts into a site what its connectors may publish. Who permits it gives away what it takes.
func (c *call) sitePublishes(v, old *model.Site, s *Publish) (err error) {
	if v.Publish, err = buildPublish(s); err != nil {
		return err
	}
	if !publishes(old, v) {
		return nil
	}
	for _, need := range []access.Permission{access.ServicesWrite, access.TargetsWrite} {
		if !c.p.Can(need, c.org) {
			return fault.New(fault.Denied, "connectors of the site come to write services and targets: this needs the permission %s", need)
		}
	}
	return nil
}

// publishes reports whether two sites may publish different things; one may be nil.
func publishes(a, b *model.Site) bool {
	said := func(s *model.Site) string {
		if s == nil || s.Publish == nil {
			return "nothing"
		}
		return fmt.Sprint(s.Publish.Hostnames, s.Publish.Ports)
	}
	return said(a) != said(b)
}

// published is what a site shows of it.
func (c *call) published(site model.SiteID) (*Published, error) {
	p, err := c.tx.GetPublished(c, site)
	if fault.Of(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &Published{p.Services, p.Problems}, nil
}

// Publish takes what the labels of the containers beside a connector ask for, makes the services of its site be so as far
// as the site may publish them, and returns what became of it all. Problems that it has told of itself, or that are others', are
// left out.
func (a *Admin) Publish(ctx context.Context, id model.ConnectorID, said *model.Publication) (out *model.Published, err error) {
	err = a.asConnector(ctx, id, func(c *call, v *model.Connector) error {
		p := *said
		p.Connector, p.Org, p.Site, p.Name = v.ID, v.Org, v.Site, v.Name
		if err := c.tx.LockObject(c, "publish "+v.Site.String()); err != nil {
			return err
		}
		put := c.tx.PutPublication
		if p.Trouble != "" {
			put = c.tx.PutTrouble
		}
		if err := put(c, &p); err != nil {
			return err
		}
		if out, err = c.reconcile(v.Site); err != nil {
			return err
		}
		out.Problems = slices.DeleteFunc(slices.Clone(out.Problems), func(o model.PublishProblem) bool {
			if o.Connector == "" {
				return false // of the site as a whole
			}
			other := o.Connector != v.Name
			o.Connector = ""
			return other || o.Message == p.Trouble || slices.Contains(p.Problems, o)
		})
		return nil
	})
	return out, err
}

// Withdraw forgets what a connector has asked for, and removes what nobody else asks for.
func (a *Admin) Withdraw(ctx context.Context, id model.ConnectorID) error {
	return a.asConnector(ctx, id, func(c *call, v *model.Connector) error { return c.withdraw(v) })
}

// asConnector runs fn on behalf of a connector, which is there and trusted.
func (a *Admin) asConnector(ctx context.Context, id model.ConnectorID, fn func(c *call, v *model.Connector) error) error {
	var p access.Principal
	if err := a.store.View(ctx, func(tx *store.Tx) error {
		v, err := tx.GetConnector(ctx, id)
		if err == nil {
			p = access.Publishing(v)
		}
		return err
	}); err != nil {
		return err
	}
	_, err := a.write(ctx, p, "connector.publish", func(c *call) error {
		v, err := c.tx.GetConnector(c, id)
		if err != nil {
			return err
		}
		if !v.Enrolled() {
			return fault.New(fault.Denied, "the connector is not trusted")
		}
		c.org = v.Org
		return fn(c, v)
	})
	return err
}

// withdraw is Withdraw within a call.
func (c *call) withdraw(v *model.Connector) error {
	if had, err := c.tx.DeletePublication(c, v.ID); err != nil || !had {
		return err
	}
	_, err := c.reconcile(v.Site)
	return err
}

// reconcile makes the services of a site be what labels ask for, as far as it may publish them.
func (c *call) reconcile(id model.SiteID) (*model.Published, error) {
	if err := c.tx.LockObject(c, "publish "+id.String()); err != nil { // its connectors speak at once
		return nil, err
	}
	site, err := c.tx.GetSite(c, id)
	if err != nil {
		return nil, err
	}
	list, err := c.tx.ListPublications(c, id)
	if err != nil {
		return nil, err
	}
	r := &reconciler{call: c, site: site, set: id.String(), wishes: model.MergePublications(list)}
	if err := r.run(); err != nil {
		return nil, fmt.Errorf("publish of site %s: %w", site.Name, err)
	}
	out := &model.Published{Site: id, Org: site.Org, Services: slices.Sorted(maps.Keys(r.services)), Problems: r.wishes.Problems}
	if len(list) == 0 && len(out.Services) == 0 {
		return out, c.tx.DeletePublished(c, id)
	}
	return out, c.tx.PutPublished(c, out)
}

// problemOf is what is wrong with one object; not ok: the whole transaction can't go on.
func problemOf(err error) (message string, ok bool) {
	fe, is := errors.AsType[*fault.Error](err)
	if !is {
		return "", false
	}
	switch fe.Kind {
	case fault.Invalid, fault.NotFound, fault.Conflict, fault.Denied:
		if fe.Field != "" {
			return fe.Field + ": " + fe.Msg, true
		}
		return fe.Msg, true
	}
	return "", false
}

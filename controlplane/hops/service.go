package hops

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/hostname"
)

// Service says how each hop to a service is.
func (f *Facts) Service(s *model.Service) Report {
	own := []string{s.ID.String()}
	if !s.Policy.IsZero() {
		own = append(own, s.Policy.String())
	}
	for _, c := range f.Model.CertificatesFor(s) {
		own = append(own, c.ID.String())
	}
	var list []Hop
	if !s.Raw() {
		list = append(list, f.dns(s))
	}
	list = append(list, f.nodes(s.Pool, own...))
	if s.EndsTLS() {
		list = append(list, f.tls(s))
	}
	tunnel, target := f.behind(s)
	if len(tunnel.Parts) > 0 {
		list = append(list, tunnel)
	}
	return report(append(list, target)...)
}

// Site says how nodes get into a site, and how what is behind it is.
func (f *Facts) Site(s *model.Site) Report {
	into := f.site(s)
	list := []Hop{{Name: Tunnel, State: into.State, Parts: []Part{into}}}
	pools := map[model.PoolID]failing{}
	var parts []Part
	for t := range f.Model.TargetsAt(s.ID) {
		svc := f.Model.Service(t.Service)
		if svc == nil {
			continue
		}
		if pools[svc.Pool] == nil {
			pools[svc.Pool] = f.attempts(svc.Pool)
		}
		parts = append(parts, f.target(t, into, pools[svc.Pool][t.ID.String()]))
	}
	if len(parts) > 0 {
		list = append(list, Hop{Name: Target, State: anyOf(parts), Parts: sorted(parts)})
	}
	return report(list...)
}

// Nodes says how the nodes of a pool are.
func (f *Facts) Nodes(p model.PoolID) Report { return report(f.nodes(p)) }

// dns says whether clients are led to the nodes.
func (f *Facts) dns(s *model.Service) Hop {
	d := f.Model.DomainCovering(s.Hostname)
	if d == nil {
		return Hop{Name: DNS, State: Down, Parts: []Part{part("domain", s.Hostname, Down, NotDelegated, "it is in no domain of the organization")}}
	}
	var silent, fine []string
	why := ""
	for n := range f.Model.NodesOf(d.Pool) {
		switch seen := f.sight(n.ID).DNS; {
		case !n.Enrolled() || f.node(n, nil).Code == NodeAway: // the node hop says so
		case seen.silent(f.Now):
			silent, why = append(silent, f.nodeName(n)), seen.Err
		case seen.fine(f.Now):
			fine = append(fine, f.nodeName(n))
		}
	}
	p := f.delegation(s, d)
	switch {
	case p.State == Down:
	case len(silent) > 0 && len(fine) == 0:
		p = part("domain", d.Name, Down, DNSSilent, "no node answers DNS: "+why)
	case len(silent) > 0:
		p = part("domain", d.Name, Degraded, DNSSilent, "does not answer DNS: "+few(silent)+": "+why)
	}
	return Hop{Name: DNS, State: p.State, Parts: []Part{p}}
}

// delegation is what the DNS above a domain was found to say.
func (f *Facts) delegation(s *model.Service, d *model.Domain) Part {
	var found *model.DomainFinding
	if f.Finding != nil {
		found = f.Finding(d.ID)
	}
	switch {
	case found == nil || found.Found.IsZero() && found.Problem == "":
		return part("domain", d.Name, Unknown, NothingFound, "nobody has asked the DNS about it yet")
	case found.Found.IsZero():
		return part("domain", d.Name, Unknown, NothingFound, found.Problem)
	case found.Delegated || slices.Contains(found.Provable, s.Hostname):
		return healthy("domain", d.Name)
	case !slices.Contains(found.Asked, s.Hostname):
		return part("domain", d.Name, Unknown, NothingFound, "nobody has asked the DNS about "+s.Hostname+" yet")
	}
	return part("domain", d.Name, Down, NotDelegated, "the DNS does not lead "+s.Hostname+" to the nodes")
}

// tls says whether nodes have a certificate that clients accept.
func (f *Facts) tls(s *model.Service) Hop {
	all := f.Model.CertificatesFor(s)
	if len(all) == 0 {
		return Hop{Name: TLS, State: Down, Parts: []Part{part("certificate", s.Hostname, Down, NoCertificate, "there is no certificate for it yet")}}
	}
	var parts []Part
	for _, c := range all {
		parts = append(parts, f.certificate(c))
	}
	return Hop{Name: TLS, State: anyOf(parts), Parts: sorted(parts)}
}

func (f *Facts) certificate(c *model.Certificate) Part {
	name := strings.Join(c.Names, ", ")
	left, life := c.NotAfter.Sub(f.Now), c.NotAfter.Sub(c.NotBefore)
	switch {
	case left <= 0:
		return part("certificate", name, Down, Expired, "it expired "+c.NotAfter.UTC().Format(time.DateTime)+" UTC")
	case f.Now.Before(c.NotBefore):
		return part("certificate", name, Down, NotYetValid, "it is valid from "+c.NotBefore.UTC().Format(time.DateTime)+" UTC on")
	case left < life/due:
		return part("certificate", name, Degraded, Expiring, fmt.Sprintf("it expires in %s and was not renewed", span(left)))
	}
	return healthy("certificate", name)
}

// span is a time that is left, as people say it.
func span(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
	}
	return d.Round(time.Minute).String()
}

// Hostnames yields a hostname that clients might ask the nodes of each pool for.
func Hostnames(m *model.Model) map[model.PoolID]string {
	out := map[model.PoolID]string{}
	for s := range m.Services() {
		if _, ok := out[s.Pool]; ok || !s.EndsTLS() {
			continue
		}
		name := s.Hostname
		if hostname.IsWildcard(name) {
			name = "warren" + name[1:]
		}
		out[s.Pool] = name
	}
	return out
}

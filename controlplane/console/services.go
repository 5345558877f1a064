package console

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// serviceNamed is the service of the path.
func (q *Request) serviceNamed() (*model.Service, error) {
	ref := q.PathValue("service")
	for s := range q.m.Services() {
		if s.Org == q.Org.ID && (s.Name == ref || s.ID.String() == ref) {
			return s, nil
		}
	}
	return nil, fault.New(fault.NotFound, "There is no service %q in this organization.", ref)
}

func listServices(q *Request) (*Page, error) {
	flow, err := q.flow(model.ByService)
	if err != nil {
		return nil, err
	}
	r := rows(q, of(q.m.Services(), func(s *model.Service) bool { return s.Org == q.Org.ID }), func(s *model.Service) string { return s.Name },
		func(s *model.Service) []string { return []string{s.Hostname, string(s.Kind), s.Ports.String()} })
	return &Page{Title: "Services", Actions: servicesActions(q), Top: finder(q, r.Query, "Search services"), Live: servicesView(q, r, flow)}, nil
}

func (q *Request) serviceCrumbs(more ...Crumb) []Crumb {
	return append([]Crumb{{"Services", q.To("services")}}, more...)
}

func showService(q *Request) (*Page, error) {
	s, err := q.serviceNamed()
	if err != nil {
		return nil, err
	}
	way, err := q.serviceHealth(s)
	if err != nil {
		return nil, err
	}
	return &Page{Title: s.Name, Crumbs: q.serviceCrumbs(), Actions: serviceActions(q, s), Live: serviceView(q, s, way), Charts: true}, nil
}

// targetsOf are the targets of a service, by name.
func (q *Request) targetsOf(s *model.Service) []*model.Target {
	out := slices.Collect(q.m.TargetsOf(s.ID))
	slices.SortFunc(out, func(a, b *model.Target) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// address is where a service is reached, and as a link if browsers can.
func (q *Request) address(s *model.Service) (text, link string) {
	switch {
	case s.Kind == model.HTTP && !strings.HasPrefix(s.Hostname, "*."):
		at := "https://" + q.m.HostPort(s) + "/"
		return at, at
	case !s.Raw():
		return q.m.HostPort(s), ""
	}
	return string(s.Kind) + " port " + s.Ports.String(), ""
}

func askDeleteService(q *Request) (*Page, error) {
	s, err := q.serviceNamed()
	if err != nil {
		return nil, err
	}
	back := q.To("services", s.Name)
	return &Page{
		Title: "Delete " + s.Name + "?", Crumbs: q.serviceCrumbs(Crumb{s.Name, back}),
		Top: question("The service "+s.Name+" and its targets are gone at once, on all nodes.", "Delete the service", q.URL.Path, back),
	}, nil
}

func deleteService(q *Request) (*Done, error) {
	name := q.PathValue("service")
	rev, err := q.Admin.Services.Delete(q.Context(), q.Who, q.Org.ID.String(), name)
	return &Done{To: q.To("services"), Said: "The service " + name + " is deleted.", Revision: rev}, err
}

// specOf is what is written of an object as it is shown: the fields that both have, also those that no form knows.
func specOf[S any](shown any) (spec S, err error) {
	b, err := json.Marshal(shown)
	if err != nil {
		return spec, err
	}
	return spec, json.Unmarshal(b, &spec)
}

func (q *Request) policyName(id model.PolicyID) string {
	if p := q.m.Policy(id); p != nil {
		return p.Name
	}
	return "–"
}

func kindText(s *model.Service) string {
	switch s.Kind {
	case model.HTTP:
		return "http, TLS ends at the node"
	case model.TLS:
		if s.Terminate {
			return "tls, which ends at the node"
		}
		return "tls, passed through"
	}
	return string(s.Kind)
}

// hostnameHint says in which domains a name may be.
func hostnameHint(q *Request) string {
	var names []string
	for d := range q.m.Domains() {
		if d.Org == q.Org.ID && !d.Unproven {
			names = append(names, d.Name)
		}
	}
	slices.Sort(names)
	switch len(names) {
	case 0:
		return "It has to be in a domain of the organization, and there is none yet."
	case 1:
		return "A name in " + names[0] + "."
	}
	return "A name in one of " + strings.Join(names[:min(len(names), 5)], ", ") + "."
}

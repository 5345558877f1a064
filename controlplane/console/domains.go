package console

import (
	"context"
	"slices"
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/preflight"
)

// maxChecks bounds checks of domains at a time: each asks many servers. maxNames bounds the names of one.
const (
	maxChecks = 4
	maxNames  = 50
)

// Preflight finds out what a certificate authority would refuse.
type Preflight interface {
	Check(ctx context.Context, q preflight.Question) (preflight.Report, error)
}

func (q *Request) domainNamed() (*model.Domain, error) {
	ref := q.PathValue("domain")
	for d := range q.m.Domains() {
		if d.Org == q.Org.ID && (d.Name == ref || d.ID.String() == ref) {
			return d, nil
		}
	}
	return nil, fault.New(fault.NotFound, "There is no domain %q in this organization.", ref)
}

func (q *Request) domainCrumbs(more ...Crumb) []Crumb {
	return append([]Crumb{{"Domains", q.To("domains")}}, more...)
}

func listDomains(q *Request) (*Page, error) {
	r := rows(q, of(q.m.Domains(), func(d *model.Domain) bool { return d.Org == q.Org.ID }), func(d *model.Domain) string { return d.Name },
		func(d *model.Domain) []string { return nil })
	return &Page{Title: "Domains", Actions: domainsActions(q), Top: finder(q, r.Query, "Search domains"), Live: domainsView(q, r)}, nil
}

// servicesIn counts the services whose names are in a domain.
func (q *Request) servicesIn(d *model.Domain) (n int) {
	for s := range q.m.ServicesWithin(d.Name) {
		if q.m.DomainCovering(s.Hostname) == d {
			n++
		}
	}
	return n
}

func newDomain(q *Request) (*Page, error) {
	return q.domainForm(nil, filled("pool", firstOf(q.poolOptions())), 0), nil
}

// domainForm is the form of a domain; nil: of a new one.
func (q *Request) domainForm(d *model.Domain, f Form, status int) *Page {
	if d == nil {
		return &Page{Title: "Add a domain", Crumbs: q.domainCrumbs(), Top: domainFormView(q, "", f), Status: status}
	}
	return &Page{Title: "Edit " + d.Name, Crumbs: q.domainCrumbs(Crumb{d.Name, q.To("domains", d.Name)}), Top: domainFormView(q, d.Name, f), Status: status}
}

func domainSpec(f Form) admin.DomainSpec {
	return admin.DomainSpec{Pool: f.Get("pool"), CAAAccount: f.Get("caa_account") == "on"}
}

func editDomain(q *Request) (*Page, error) {
	d, err := q.domainNamed()
	if err != nil {
		return nil, err
	}
	f := filled("pool", q.poolName(d.Pool))
	f.tick("caa_account", d.CAAAccount)
	return q.domainForm(d, f, 0), nil
}

func changeDomain(q *Request) (*Done, error) {
	d, err := q.domainNamed()
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	_, _, rev, err := q.Admin.Domains.Put(q.Context(), q.Who, q.Org.ID.String(), d.ID.String(), domainSpec(f))
	return tried(f, err, Done{To: q.To("domains", d.Name), Said: d.Name + " is changed.", Revision: rev}, func(f Form, status int) (*Page, error) {
		return q.domainForm(d, f, status), nil
	})
}

func createDomain(q *Request) (*Done, error) {
	f := formOf(q)
	v, rev, err := q.Admin.Domains.Create(q.Context(), q.Who, q.Org.ID.String(), f.Get("name"), domainSpec(f))
	if err != nil {
		if status := f.refuse(err); status != 0 {
			return &Done{Page: q.domainForm(nil, f, status)}, nil
		}
		return nil, err
	}
	said := v.Name + " is added. Now delegate it."
	if v.Unproven {
		said = v.Name + " is added. Now prove that it is yours."
	}
	return &Done{To: q.To("domains", v.Name), Said: said, Revision: rev}, nil
}

func askDeleteDomain(q *Request) (*Page, error) {
	d, err := q.domainNamed()
	if err != nil {
		return nil, err
	}
	back := q.To("domains", d.Name)
	return &Page{
		Title: "Delete " + d.Name + "?", Crumbs: q.domainCrumbs(Crumb{d.Name, back}),
		Top: question("The nodes answer for "+d.Name+" no longer. Services whose names are in it have to be deleted first.", "Delete the domain", q.URL.Path, back),
	}, nil
}

func deleteDomain(q *Request) (*Done, error) {
	name := q.PathValue("domain")
	rev, err := q.Admin.Domains.Delete(q.Context(), q.Who, q.Org.ID.String(), name)
	return &Done{To: q.To("domains"), Said: "The domain " + name + " is deleted.", Revision: rev}, err
}

func showDomain(q *Request) (*Page, error) {
	d, err := q.domainNamed()
	if err != nil {
		return nil, err
	}
	return q.domainPage(d, nil)
}

// domainPage shows a domain, with what a check has found, if there was one. What is in the database alone is left out while
// that is away.
func (q *Request) domainPage(d *model.Domain, found *preflight.Report) (*Page, error) {
	known, err := q.Admin.Domains.Get(q.Context(), q.Who, q.Org.ID.String(), d.ID.String())
	if err != nil && fault.Of(err) != fault.Unavailable {
		return nil, err
	}
	answers := q.answersOf(d)
	p := &Page{Title: d.Name, Crumbs: q.domainCrumbs(), Actions: domainActions(q, d), Live: domainView(q, d, known, answers)}
	if answers.Total > perPage || answers.Query != "" {
		p.Top = finder(q, answers.Query, "Search answers")
	}
	if found != nil {
		p.Top = checkView(*found)
	}
	return p, nil
}

// asked is what has to be found out of a domain: whether the names that need certificates can have them, or, while there
// is none, that of the domain.
func (q *Request) asked(d *model.Domain) preflight.Question {
	var names []string
	for s := range q.m.ServicesWithin(d.Name) {
		if s.EndsTLS() && s.Org == d.Org && q.m.DomainCovering(s.Hostname) == d && !slices.Contains(names, s.Hostname) {
			if names = append(names, s.Hostname); len(names) == maxNames {
				break
			}
		}
	}
	if len(names) == 0 {
		names = []string{d.Name}
	}
	var issuers []preflight.Issuer
	for i := range q.m.Issuers() {
		if !i.Suspended {
			issuers = append(issuers, preflight.Issuer{Name: i.Name, Domains: i.CAADomains(), Account: i.AccountURL})
		}
	}
	return preflight.For(q.m, d, names, issuers)
}

// records are what to type at the registrar; nothing has to be asked for that.
func (q *Request) records(d *model.Domain) []preflight.Record {
	return preflight.Judge(q.asked(d), preflight.Facts{}).Records
}

// zoneText is records as they stand in a zone file.
func zoneText(list []preflight.Record) string {
	var lines []string
	for _, r := range list {
		lines = append(lines, r.Name+"  "+r.Type+"  "+r.Value)
	}
	return strings.Join(lines, "\n")
}

// checkDomain asks the DNS, from the root down, whether a certificate authority would be content.
func checkDomain(q *Request) (*Done, error) {
	d, err := q.domainNamed()
	if err != nil {
		return nil, err
	}
	if q.Preflight == nil {
		return nil, fault.New(fault.Unavailable, "Nobody can check domains here.")
	}
	select {
	case q.checks <- struct{}{}:
		defer func() { <-q.checks }()
	case <-q.Context().Done():
		return nil, fault.New(fault.Unavailable, "There are too many checks of domains at once.")
	}
	r, err := q.Preflight.Check(q.Context(), q.asked(d))
	if err != nil {
		return nil, fault.New(fault.Unavailable, "The check was cut short: %v", err)
	}
	q.URL.Path = q.To("domains", d.Name) // what the page follows from here on
	p, err := q.domainPage(d, &r)
	return &Done{Page: p}, err
}

// dnsBadge is what a node's DNS said when somebody asked at its public address.
func (q *Request) dnsBadge(n *model.Node) Badge {
	f := q.facts()
	if f.Outside == nil || f.Outside(n.ID).DNS.At.IsZero() {
		return Badge{idle, "not asked", ""}
	}
	seen := f.Outside(n.ID).DNS
	switch {
	case seen.Silent:
		return Badge{bad, "no answer", seen.Err}
	case f.Older != nil && f.Older(n.ID) != nil:
		return Badge{warn, "older", f.Older(n.ID).String()}
	case seen.Serial != nil:
		return Badge{good, "answers", "serial " + itoa(int(*seen.Serial)) + ", " + ago(q.Now, seen.At)}
	}
	return Badge{good, "answers", ago(q.Now, seen.At)}
}

// nameServers are the nodes that answer for a domain.
func (q *Request) nameServers(d *model.Domain) []*model.Node {
	var out []*model.Node
	if !q.Can(access.NodesRead) {
		return nil
	}
	for n := range q.m.NodesOf(d.Pool) {
		if n.Enrolled() {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b *model.Node) int { return strings.Compare(a.Name, b.Name) })
	return out
}

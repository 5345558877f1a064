package console

import (
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
)

// Chain is a certificate that is served.
type Chain struct {
	*model.Certificate
	State Badge
}

// chains are the newest certificates of the organization that are served.
func (q *Request) chains() []Chain {
	var out []Chain
	for c := range q.m.Certificates() {
		if c.Org == q.Org.ID && c.SupersededBy.IsZero() {
			out = append(out, Chain{c, lifeBadge(c, q.Now)})
		}
	}
	return out
}

// lifeBadge says how long a certificate is good.
func lifeBadge(c *model.Certificate, now time.Time) Badge {
	switch left := c.NotAfter.Sub(now); {
	case left <= 0:
		return Badge{bad, "expired", when(c.NotAfter)}
	case left < min(due, c.NotAfter.Sub(c.NotBefore)/3):
		return Badge{warn, "due", "It ends in " + span(left)}
	default:
		return Badge{good, "valid", "It ends in " + span(left)}
	}
}

func managedBadge(v admin.Managed) Badge {
	tones := map[admin.ManagedState]string{admin.ManagedValid: good, admin.ManagedFailing: bad, admin.ManagedExpired: bad, admin.ManagedIssuing: warn}
	return Badge{tones[v.State], string(v.State), v.LastProblem}
}

// source says where a certificate comes from.
func (q *Request) source(c *model.Certificate) string {
	switch {
	case c.Uploaded:
		return "uploaded"
	case c.Issuer.IsZero():
		return "the cluster's own authority"
	}
	for i := range q.m.Issuers() {
		if i.ID == c.Issuer {
			return i.Name
		}
	}
	return "an issuer"
}

func listCertificates(q *Request) (*Page, error) {
	r := rows(q, slices.Values(q.chains()), func(c Chain) string { return strings.Join(c.Names, " ") + " " + c.ID.String() }, func(Chain) []string { return nil })
	managed, next, err := q.Admin.Managed.List(q.Context(), q.Who, q.Org.ID.String(), q.URL.Query().Get("managed"), perPage)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Certificates", Top: finder(q, r.Query, "Search certificates"), Live: certificatesView(q, r, managed, next)}, nil
}

func showCertificate(q *Request) (*Page, error) {
	v, err := q.Admin.DescribeManaged(q.Context(), q.Who, q.Org.ID.String(), q.PathValue("certificate"))
	if err != nil {
		return nil, err
	}
	return &Page{Title: v.Names[0], Crumbs: []Crumb{{"Certificates", q.To("certificates")}}, Actions: certificateActions(q, v), Live: certificateView(q, v)}, nil
}

func renewCertificate(q *Request) (*Done, error) {
	v, rev, err := q.Admin.RenewManaged(q.Context(), q.Who, q.Org.ID.String(), q.PathValue("certificate"))
	return &Done{To: q.To("certificates", v.ID), Said: "It is due now; the timeline shows what becomes of it.", Revision: rev}, err
}

// day is a time that may not be there.
func day(t *time.Time) string {
	if t == nil {
		return "–"
	}
	return when(*t)
}

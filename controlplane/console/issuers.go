package console

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

func listIssuers(q *Request) (*Page, error) {
	list, err := part(q, q.Admin.Issuers.List)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Issuers", Actions: newAction(q, access.IssuersWrite, "new-issuer", "New issuer"), Live: issuersView(q, list)}, nil
}

// ownAuthority reports whether an issuer is the cluster's own authority, which nobody writes.
func ownAuthority(v admin.Issuer) bool { return v.DirectoryURL == "" }

func (q *Request) issuerBadge(v admin.Issuer) Badge {
	switch {
	case ownAuthority(v):
		return Badge{idle, "own", "The cluster's own authority signs where no other issuer is known."}
	case v.Suspended:
		return Badge{warn, "suspended", "Nothing new is ordered from it; what it has issued is served."}
	case v.FailingSince != nil:
		return Badge{bad, "failing", v.LastProblem}
	case v.PausedUntil != nil && v.PausedUntil.After(q.Now):
		return Badge{warn, "asked to wait", v.LastProblem}
	case v.AccountURL == "":
		return Badge{idle, "no account yet", "It is made with the first order."}
	}
	return Badge{good, "ready", ""}
}

func (q *Request) issuerForm(v *admin.Issuer, f Form, status int) (*Page, error) {
	title, name := "New issuer", ""
	if v != nil {
		title, name = "Edit "+v.Name, v.Name
	}
	return &Page{Title: title, Crumbs: []Crumb{{"Issuers", q.ToCluster("issuers")}}, Status: status, Top: issuerFormView(q, name, f)}, nil
}

func newIssuer(q *Request) (*Page, error) {
	return q.issuerForm(nil, filled("rank", "100"), 0)
}

// What an issuer may have, as the API has it.
const (
	mostRank  = 999
	mostLimit = 1000000
	mostLines = 16 // domains in CAA records
	mostMails = 10
)

// upTo reads a number of a field that has a greatest.
func upTo(f Form, name string, most int) (int, error) {
	n, err := number(f, name)
	if err == nil && (n < 0 || n > most) {
		err = fault.Field(name, "want 0 to %d", most)
	}
	return n, err
}

// issuerSpec is what was typed of an issuer. Profiles stand one on each line: ours = the authority's.
func issuerSpec(f Form) (s admin.IssuerSpec, err error) {
	s = admin.IssuerSpec{
		DirectoryURL: f.Get("directory_url"), Contacts: f.lines("contacts"), RootsPEM: f.Get("roots_pem"), CAAIdentities: f.lines("caa_identities"), Suspended: f.Get("suspended") == "on",
	}
	if len(s.Contacts) > mostMails {
		return s, fault.Field("contacts", "want %d at most", mostMails)
	}
	if len(s.CAAIdentities) > mostLines {
		return s, fault.Field("caa_identities", "want %d at most", mostLines)
	}
	if id, key := f.Get("eab.key_id"), f.Get("eab.hmac_key"); id != "" {
		s.EAB = &admin.EAB{KeyID: id, HMACKey: key}
	} else if key != "" {
		return s, fault.Field("eab.key_id", "missing")
	}
	if f.Get("rank") != "" {
		rank, err := upTo(f, "rank", mostRank)
		if err != nil {
			return s, err
		}
		s.Rank = &rank
	}
	for i, line := range f.rows("profiles") {
		ours, theirs, ok := strings.Cut(line, "=")
		if ours, theirs = strings.TrimSpace(ours), strings.TrimSpace(theirs); !ok || ours == "" || theirs == "" {
			return s, fault.Field("profiles", "line %d: %q, want our word = the authority's", i+1, line)
		}
		if _, twice := s.Profiles[ours]; twice {
			return s, fault.Field("profiles", "line %d: %q is there twice", i+1, ours)
		}
		if s.Profiles == nil {
			s.Profiles = map[string]string{}
		}
		s.Profiles[ours] = theirs
	}
	for _, l := range limitFields(&s.Limits) {
		if *l.value, err = upTo(f, l.name, mostLimit); err != nil {
			return s, err
		}
	}
	return s, nil
}

// limitField is one limit of an authority in the form.
type limitField struct {
	name, label, hint string
	value             *int
}

func limitFields(v *admin.IssuerLimits) []limitField {
	return []limitField{
		{"limits.new_orders", "New orders", "In 3 hours.", &v.NewOrders},
		{"limits.per_domain", "Certificates of a domain", "Of what is registered, in 7 days.", &v.PerDomain},
		{"limits.per_set", "Certificates of a set of names", "In 7 days.", &v.PerSet},
		{"limits.failed_validations", "Failed validations of a name", "In an hour.", &v.FailedValidations},
	}
}

func createIssuer(q *Request) (*Done, error) {
	f := formOf(q)
	spec, err := issuerSpec(f)
	done := Done{To: q.ToCluster("issuers"), Said: "Certificates are ordered from " + f.Get("name") + " as well from now on."}
	if err == nil {
		_, done.Revision, err = q.Admin.Issuers.Create(q.Context(), q.Who, "", f.Get("name"), spec)
	}
	return tried(f, err, done, func(f Form, status int) (*Page, error) { return q.issuerForm(nil, secretless(f), status) })
}

// secretless is a form to be shown again: what was typed of a secret is typed anew.
func secretless(f Form) Form {
	f.Del("eab.hmac_key")
	return f
}

// issuerNamed is the issuer of a page that can be written.
func (q *Request) issuerNamed() (v admin.Issuer, err error) {
	v, err = q.Admin.Issuers.Get(q.Context(), q.Who, "", q.PathValue("name"))
	if err == nil && ownAuthority(v) {
		err = fault.New(fault.Conflict, "%s is the cluster's own authority: it is neither written nor removed", model.InternalIssuer)
	}
	return v, err
}

func editIssuer(q *Request) (*Page, error) {
	v, err := q.issuerNamed()
	if err != nil {
		return nil, err
	}
	var profiles []string
	for _, ours := range slices.Sorted(maps.Keys(v.Profiles)) {
		profiles = append(profiles, ours+" = "+v.Profiles[ours])
	}
	f := filled("directory_url", v.DirectoryURL, "contacts", strings.Join(v.Contacts, " "), "roots_pem", v.RootsPEM, "rank", strconv.Itoa(v.Rank), "profiles", strings.Join(profiles, "\n"),
		"caa_identities", strings.Join(v.CAAIdentities, " "))
	if v.EAB != nil {
		f.Set("eab.key_id", v.EAB.KeyID)
	}
	for _, l := range limitFields(&v.Limits) {
		if *l.value > 0 {
			f.Set(l.name, strconv.Itoa(*l.value))
		}
	}
	f.tick("suspended", v.Suspended)
	return q.issuerForm(&v, f, 0)
}

func changeIssuer(q *Request) (*Done, error) {
	v, err := q.issuerNamed()
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	spec, err := issuerSpec(f)
	done := Done{To: q.ToCluster("issuers"), Said: v.Name + " is changed."}
	if err == nil {
		_, _, done.Revision, err = q.Admin.Issuers.Put(q.Context(), q.Who, "", v.ID, spec)
	}
	return tried(f, err, done, func(f Form, status int) (*Page, error) { return q.issuerForm(&v, secretless(f), status) })
}

// pausedText says why nothing is asked of an issuer for a while, or what is wrong with it; "": nothing.
func (q *Request) pausedText(v admin.Issuer) string {
	var out []string
	if v.PausedUntil != nil && v.PausedUntil.After(q.Now) {
		out = append(out, fmt.Sprintf("Nothing is asked until %s.", v.PausedUntil.UTC().Format("2006-01-02 15:04 MST")))
	}
	if v.Rollover != nil {
		out = append(out, "The key of its account is being changed. "+v.Rollover.Problem)
	}
	if v.LastProblem != "" && (v.FailingSince != nil || len(out) > 0) {
		out = append(out, v.LastProblem)
	}
	return strings.Join(out, " ")
}

// issuerRoutes are the pages of the authorities that certificates are ordered from.
func (c *Console) issuerRoutes(cluster string) {
	at := cluster + "/issuers"
	c.page(at, access.IssuersRead, listIssuers)
	c.page(cluster+"/new-issuer", access.IssuersWrite, newIssuer)
	c.form(cluster+"/new-issuer", access.IssuersWrite, createIssuer)
	c.page(at+"/{name}/edit", access.IssuersWrite, editIssuer)
	c.form(at+"/{name}/edit", access.IssuersWrite, changeIssuer)
	c.removable(at+"/{name}", access.IssuersWrite, removalOf(c.Admin.Issuers, func(v admin.Issuer) string { return v.Name },
		removal{noun: "issuer", list: "issuers", title: "Issuers", warning: "Its account is forgotten. It stays while certificates of it are valid or orders under way; suspend it meanwhile."}))
}

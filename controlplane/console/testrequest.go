package console

import (
	"net/http"
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/explain"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/shared/policy"
)

// testRequest shows what nodes would do with a request, and why. Nothing is sent.
func testRequest(q *Request) (*Page, error) {
	f := filterOf(q, "method", "url", "from", "country", "as", "roles", "groups", "headers", "at")
	p := &Page{Title: "Test a request"}
	var a *explain.Answer
	if f.Get("url") != "" {
		var err error
		if a, err = q.explain(f); fault.Of(err) == fault.NotFound && err != nil {
			err = fault.Field("url", "%s", q.said(err))
		}
		if err != nil {
			if p.Status = f.refuse(err); p.Status == 0 {
				return nil, err
			}
		}
	}
	if f.Get("method") == "" {
		f.Set("method", http.MethodGet)
	}
	p.Top = testView(q, f, a)
	return p, nil
}

// explain asks what becomes of a request. Of a member who is named alone, what he is counts.
func (q *Request) explain(f Form) (*explain.Answer, error) {
	in := explain.Query{
		Method: strings.ToUpper(f.Get("method")), URL: f.Get("url"), From: f.Get("from"), Country: strings.ToUpper(f.Get("country")), As: f.Get("as"),
		Roles: f.lines("roles"), Groups: f.lines("groups"), Headers: f.rows("headers"), At: f.Get("at"),
	}
	if in.Method == "" {
		in.Method = http.MethodGet
	}
	ask, err := in.Question(q.Now)
	if err != nil {
		return nil, err
	}
	if in.As != "" {
		ask.User.Org = q.Org.ID.String()
	}
	if in.As != "" && len(in.Roles)+len(in.Groups) == 0 && q.Can(access.MembersRead) {
		v, err := q.Admin.Members.Get(q.Context(), q.Who, q.Org.ID.String(), in.As)
		switch {
		case err == nil:
			ask.User.ID, ask.User.Email, ask.User.Roles, ask.User.Groups = v.ID, v.Name, v.Roles, v.Groups
		case fault.Of(err) == fault.NotFound:
			return nil, fault.Field("as", "%s is no member of this organization", in.As)
		default:
			return nil, err
		}
	}
	return explain.Explain(q.m, q.Org.ID, ask)
}

// outcome is in a word what becomes of a request.
func outcome(a *explain.Answer) Badge {
	switch {
	case a.Refused != "":
		return Badge{bad, "refused", a.Refused}
	case a.Decision.Action == policy.Allow:
		return Badge{good, "allowed", ""}
	case a.Decision.Action == policy.Authenticate:
		return Badge{warn, "has to authenticate", ""}
	}
	return Badge{bad, "denied", ""}
}

// why is the reason of what becomes of a request.
func why(a *explain.Answer) string {
	switch {
	case a.Refused != "":
		return a.Refused
	case a.Policy == nil:
		return "The service has no policy: everybody may."
	}
	return a.Decision.Why()
}

// Package explain says what would become of a request, and why, without sending anything.
package explain

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/hostname"
	"github.com/warrenedge/warren/shared/policy"
	"github.com/warrenedge/warren/shared/requestpath"
)

// Question is a request that somebody might send.
type Question struct {
	Method  string
	URL     string
	Client  netip.Addr
	Country string // "": not known
	ASN     uint32 // 0: not known
	Header  map[string][]string
	Time    time.Time
	Shown   []string // ids of share links and service tokens that it carries
	policy.User
	Mail string
}

// Answer is what would become of it.
type Answer struct {
	Service  *model.Service
	Policy   *model.Policy // nil: everybody may
	Refused  string        // why the request is answered with an error whoever asks; "": it is not
	Decision policy.Decision
	Ways     policy.Way      // what would satisfy it, if it has to authenticate
	Path     string          // in normal form
	Prefix   string          // of the rule of the service that it is sent by
	Targets  []*model.Target // to one of which it goes, ordered by id
}

// Explain answers a question about the services of an organization. One about the hostname of another organization has the
// same answer as one about a hostname of nobody.
func Explain(m *model.Model, org model.OrgID, q Question) (*Answer, error) {
	u, err := url.Parse(q.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fault.Field("url", "%q: want one such as https://wiki.example.org/page", q.URL)
	}
	host, err := hostname.Canonical(u.Hostname())
	if err != nil {
		return nil, fault.Field("url", "%v", err)
	}
	if q.Method == "" || q.Method != strings.ToUpper(q.Method) {
		return nil, fault.Field("method", "%q: want one such as GET", q.Method)
	}
	s := serviceOf(m, host)
	if s == nil || s.Org != org {
		return nil, fault.New(fault.NotFound, "no service of this organization has the hostname %s", host)
	}
	a := &Answer{Service: s}
	if s.Kind == model.HTTP {
		target := cmp.Or(u.EscapedPath(), "/")
		if u.RawQuery != "" {
			target += "?" + u.RawQuery
		}
		if a.Path, err = requestpath.Normal(target); err != nil {
			a.Refused = "400: " + err.Error()
			return a, nil
		}
	}
	if !s.Policy.IsZero() {
		if !a.decide(m, q) {
			return a, nil
		}
	} else {
		a.Decision = policy.Decision{Action: policy.Allow, Rule: policy.NoRule}
	}
	a.route(m)
	return a, nil
}

// serviceOf is the service that nodes choose for a hostname.
func serviceOf(m *model.Model, host string) *model.Service {
	for s := range m.ServicesNamed(host) {
		return s
	}
	if w, ok := hostname.Wildcard(host); ok {
		for s := range m.ServicesNamed(w) {
			return s
		}
	}
	return nil
}

// decide asks the policy. It is false if nodes would not know it.
func (a *Answer) decide(m *model.Model, q Question) bool {
	a.Policy = m.Policy(a.Service.Policy)
	if a.Policy == nil {
		a.Refused = "503: the policy is not known"
		return false
	}
	c, err := a.Policy.Compile()
	if err != nil {
		a.Refused = "503: the policy makes no sense: " + err.Error()
		return false
	}
	f := policy.Facts{Client: q.Client, Country: q.Country, ASN: q.ASN, Time: q.Time}
	if a.Service.Kind == model.HTTP {
		f.Method, f.Path, f.Header = q.Method, a.Path, q.Header
	}
	id := policy.Identity{User: q.User, Mail: q.Mail, Proofs: c.Proofs(q.Shown)}
	a.Decision = policy.Decide(c, &f, &id)
	if a.Decision.Action == policy.Authenticate {
		a.Ways = c.Ways()
	}
	return true
}

// route finds the targets that a request may go to: those of the longest path prefix.
func (a *Answer) route(m *model.Model) {
	best := -1
	decoded := requestpath.Decoded(a.Path)
	for t := range m.TargetsOf(a.Service.ID) {
		prefix := strings.TrimRight(t.PathPrefix, "/")
		if !requestpath.Within(decoded, prefix) || len(prefix) < best {
			continue
		}
		if len(prefix) > best {
			best, a.Prefix, a.Targets = len(prefix), t.PathPrefix, nil
		}
		a.Targets = append(a.Targets, t)
	}
	slices.SortFunc(a.Targets, func(x, y *model.Target) int { return x.ID.Compare(y.ID) })
	if a.Decision.Action == policy.Allow && len(a.Targets) == 0 {
		a.Refused = "503: the service has no target for this path"
		if best < 0 && slices.ContainsFunc(slices.Collect(m.TargetsOf(a.Service.ID)), func(*model.Target) bool { return true }) {
			a.Refused = "404: no target is for this path"
		}
	}
}

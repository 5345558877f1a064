package explain

import (
	"net/netip"
	"net/textproto"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/shared/policy"
)

// Query is how callers write a question.
type Query struct {
	Method  string   `query:"method" maxLength:"32" default:"GET"`
	URL     string   `query:"url" required:"true" maxLength:"8192" example:"https://wiki.example.org/page"`
	From    string   `query:"from" maxLength:"64" doc:"Address of the client; one of nowhere (192.0.2.1) if absent"`
	Country string   `query:"country" maxLength:"2" doc:"Where that is; not known if absent"`
	ASN     uint32   `query:"asn" doc:"Autonomous system of that; not known if absent"`
	As      string   `query:"as" maxLength:"255" doc:"User who has signed in, by id or mail address; nobody if absent"`
	Roles   []string `query:"roles,explode" maxItems:"100" doc:"Roles of that user"`
	Groups  []string `query:"groups,explode" maxItems:"100" doc:"Groups of that user"`
	Mail    string   `query:"mail" maxLength:"255" doc:"Address whose one-time code was given"`
	With    []string `query:"with,explode" maxItems:"100" doc:"Credentials of the policy that are shown: ids of share links and service tokens, pin, password, basic/<user>, certificate"`
	Headers []string `query:"headers,explode" maxItems:"100" example:"[\"X-Probe: 1\"]" doc:"Header fields"`
	At      string   `query:"at" maxLength:"64" format:"date-time" doc:"When; now if absent"`
}

// Question reads a query; now is when it is asked.
func (in *Query) Question(now time.Time) (q Question, err error) {
	q = Question{Method: in.Method, URL: in.URL, Client: netip.AddrFrom4([4]byte{192, 0, 2, 1}), Country: in.Country, ASN: in.ASN, Time: now, Shown: in.With}
	if in.From != "" {
		if q.Client, err = netip.ParseAddr(in.From); err != nil {
			return q, fault.Field("from", "%q is no address", in.From)
		}
	}
	if in.At != "" {
		if q.Time, err = time.Parse(time.RFC3339, in.At); err != nil {
			return q, fault.Field("at", "%q is no time such as 2027-01-31T12:00:00Z", in.At)
		}
	}
	if in.Mail != "" {
		if q.Mail, err = policy.CanonicalMail(in.Mail); err != nil {
			return q, fault.Field("mail", "%v", err)
		}
	}
	q.User = policy.User{ID: in.As, Roles: in.Roles, Groups: in.Groups}
	if m, err := policy.CanonicalMail(in.As); err == nil {
		q.User.Email = m
	}
	q.Header = map[string][]string{}
	for _, h := range in.Headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return q, fault.Field("headers", "%q: want one such as \"X-Probe: 1\"", h)
		}
		name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
		q.Header[name] = append(q.Header[name], strings.TrimSpace(value))
	}
	return q, nil
}

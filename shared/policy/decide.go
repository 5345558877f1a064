package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Facts are what is known of a request, or of a connection that is none.
type Facts struct {
	Client  netip.Addr // from the socket
	Country string     // ISO 3166-1 alpha-2; "": not known
	ASN     uint32     // 0: not known
	Time    time.Time
	Method  string
	Path    string              // in normal form, still escaped; "": not HTTP
	Header  map[string][]string // as the client sent it, names as net/http has them
}

// Identity is what somebody has proven. The zero Identity is nobody.
type Identity struct {
	User   User
	Mail   string // to which a one-time code was sent, in its canonical spelling
	Proofs []Proof
}

// User is who has signed in. The zero User is nobody.
type User struct {
	ID, Org, Email string
	Roles, Groups  []string // names
}

// Reason is why a decision is what it is.
type Reason uint8

// Reasons.
const (
	ByRule           Reason = iota // the rule's action, whoever asks
	NotAuthenticated               // nothing was proven
	NotPermitted                   // what was proven is not enough: another member of the organization, say
	Proven                         // Decision.Way was enough
)

var reasonNames = [...]string{"the rule says so", "not authenticated", "authenticated, but not among those who may", "authenticated"}

func (r Reason) String() string { return reasonNames[r] }

// NoRule is Decision.Rule if no rule applied.
const NoRule = -1

// Decision is what becomes of a request.
type Decision struct {
	Action Action
	Rule   int // index of the one that decided, from 0, or NoRule
	Reason Reason
	Way    Way // of Allow after Authenticate: the one that was enough
}

// Why says it in words, for people: they count rules from 1.
func (d Decision) Why() string {
	rule := "no rule applies"
	if d.Rule != NoRule {
		rule = fmt.Sprintf("rule %d", d.Rule+1)
	}
	switch {
	case d.Reason == Proven:
		return fmt.Sprintf("%s, %s by %s", rule, d.Reason, d.Way)
	case d.Reason == ByRule && d.Rule == NoRule:
		return rule
	}
	return fmt.Sprintf("%s, %s", rule, d.Reason)
}

func (d Decision) String() string { return d.Action.String() + ": " + d.Why() }

// Decide says what becomes of a request. Authenticate is answered only if what the identity has proven is not enough and
// something else could be.
//
// Countries and networks of operators that are not known meet no condition. A rule with such a condition under Unless lets
// nobody in then, and holds if it denies or asks.
//
// A path of which servers differ whether ";" begins parameters is looked at in both ways, and the stricter outcome counts.
func Decide(c *Compiled, f *Facts, id *Identity) Decision {
	var room [pathRoom]byte
	q := question{Facts: *f, country: countryOf(f.Country)}
	q.Client = f.Client.Unmap().WithZone("")
	if c.paths {
		q.octets = octets(room[:0], f.Path, false)
	}
	d := c.decide(&q, id)
	if c.paths && d.Action != Deny && hasParameters(f.Path) {
		q.octets = octets(room[:0], f.Path, true)
		if bare := c.decide(&q, id); bare.Action < d.Action {
			return bare
		}
	}
	return d
}

func (c *Compiled) decide(q *question, id *Identity) Decision {
	for i := range c.rules {
		if r := &c.rules[i]; c.applies(r, q) {
			return c.outcome(r.action, i, id, q.Time)
		}
	}
	return c.outcome(c.otherwise, NoRule, id, q.Time)
}

// interactive are the ways that a person can still take who has signed in as somebody else.
const interactive = WayMail | WayPIN | WayPassword | WayBasic

func (c *Compiled) outcome(a Action, rule int, id *Identity, at time.Time) Decision {
	d := Decision{Action: a, Rule: rule}
	if a != Authenticate {
		return d
	}
	if d.Way = c.proven(id, at); d.Way != 0 {
		d.Action, d.Reason = Allow, Proven
		return d
	}
	d.Reason = NotAuthenticated
	if c.ways.Has(WaySignIn) && id.User.ID != "" || id.Mail != "" {
		d.Reason = NotPermitted
		if c.ways&interactive == 0 {
			d.Action = Deny
		}
	}
	return d
}

// proven is a way that the identity has gone; 0 if it has gone none.
func (c *Compiled) proven(id *Identity, at time.Time) Way {
	if c.Admits(&id.User) {
		return WaySignIn
	}
	if id.Mail != "" && c.MailAllowed(id.Mail) {
		return WayMail
	}
	for _, p := range id.Proofs {
		if v := c.credentials[p.ID]; v != nil && v.Version == p.Version && v.good(at) {
			return v.Way
		}
	}
	return 0
}

// Admits reports whether it would be enough for a user to sign in.
func (c *Compiled) Admits(u *User) bool {
	return c.signIn != nil && u.ID != "" && u.Org == c.org && c.signIn.admits(u)
}

// signIn is a compiled SignIn.
type signIn struct {
	members       bool
	users         map[string]bool
	roles, groups []string
}

func compileSignIn(s *SignIn) *signIn {
	out := &signIn{members: s.Members, roles: s.Roles, groups: s.Groups, users: map[string]bool{}}
	for _, u := range s.Users {
		if m, err := CanonicalMail(u); err == nil {
			u = m
		}
		out.users[u] = true
	}
	return out
}

func (s *signIn) admits(u *User) bool {
	return s.members || s.users[u.ID] || u.Email != "" && s.users[u.Email] ||
		slices.ContainsFunc(u.Roles, func(r string) bool { return slices.Contains(s.roles, r) }) ||
		slices.ContainsFunc(u.Groups, func(g string) bool { return slices.Contains(s.groups, g) })
}

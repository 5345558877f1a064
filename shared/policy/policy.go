// Package policy decides who may reach a service, with the same outcome wherever a policy is looked at: where it is
// written, where it is explained, where traffic meets it.
//
// A Policy is what somebody wrote. Compile refuses what makes no sense in it, naming the field, and makes a Compiled, which
// Decide asks without a lock, an allocation or a call.
package policy

import (
	"encoding"
	"fmt"
	"time"
)

// Action is what a rule does. The zero Action lets nobody in.
type Action uint8

// Actions.
const (
	Deny Action = iota
	Authenticate
	Allow
)

var actionNames = [...]string{"deny", "authenticate", "allow"}

func (a Action) String() string { return actionNames[a] }

// MarshalText gives the action's name.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads an action's name.
func (a *Action) UnmarshalText(text []byte) error {
	for i, n := range actionNames {
		if n == string(text) {
			*a = Action(i)
			return nil
		}
	}
	return fmt.Errorf("%q: want allow, deny or authenticate", text)
}

var _ encoding.TextUnmarshaler = (*Action)(nil)

// Policy is who may reach a service, as it is written.
type Policy struct {
	ID   string
	Org  string // whose members may sign in
	Name string

	Rules     []Rule // the first one that applies decides
	Otherwise Action // if none does
	Auth      Auth   // what satisfies Authenticate
}

// Rule applies to requests of which all its conditions hold, and none of Unless.
type Rule struct {
	Action Action `json:"action"`
	Conditions
	Unless Conditions `json:"unless,omitzero"`
}

// Conditions are about a request. A list holds if one of its entries does; an empty one is no condition.
type Conditions struct {
	Networks  []string `json:"networks,omitempty"`  // of clients: CIDR, or an address
	Paths     []string `json:"paths,omitempty"`     // see CompilePath
	Methods   []string `json:"methods,omitempty"`   // GET, …; one does not stand for another
	Countries []string `json:"countries,omitempty"` // ISO 3166-1 alpha-2
	ASNs      []uint32 `json:"asns,omitempty"`
	Headers   []Header `json:"headers,omitempty"`
	Windows   []Window `json:"windows,omitempty"`
}

// IsZero reports whether there is no condition.
func (c *Conditions) IsZero() bool {
	return !c.HTTP() && !c.Places() && len(c.Networks)+len(c.Windows) == 0
}

// HTTP reports whether a condition is about what only an HTTP request has.
func (c *Conditions) HTTP() bool { return len(c.Paths)+len(c.Methods)+len(c.Headers) > 0 }

// Places reports whether a condition needs a database of addresses.
func (c *Conditions) Places() bool { return len(c.Countries)+len(c.ASNs) > 0 }

// Header is a condition on a field that the client sends. Whoever can send it meets it.
type Header struct {
	Name   string   `json:"name"`
	Values []string `json:"values,omitempty"` // whole values; none: that the field is there
}

// Window is a part of the week. One that ends before it begins goes over midnight, and belongs to the day on which it
// begins.
type Window struct {
	Days []string `json:"days,omitempty"` // mon … sun; none: all
	From string   `json:"from"`           // 15:04
	To   string   `json:"to"`             // 15:04, exclusive; 24:00 is midnight
	Zone string   `json:"zone"`           // IANA name
}

// Auth lists the ways in. Any one suffices.
type Auth struct {
	SignIn            SignIn
	Mail              []string // of one-time codes: alice@example.org, *@example.org
	PINHash           string   // argon2id, PHC string format
	PasswordHash      string
	Basic             []Basic
	ShareLinks        []Secret
	ServiceTokens     []Secret
	ClientCertificate ClientCertificate
}

// SignIn admits members of the organization: all, or those that are in one of the lists.
type SignIn struct {
	Members bool
	Users   []string // ids or mail addresses
	Roles   []string // names
	Groups  []string // names
}

// IsZero reports whether nobody is admitted by signing in.
func (s *SignIn) IsZero() bool { return !s.Members && len(s.Users)+len(s.Roles)+len(s.Groups) == 0 }

// Basic is a user of HTTP's basic authentication.
type Basic struct{ User, PasswordHash string }

// Secret is a share link or a service token: SecretSize random bytes of which the hash alone is kept.
type Secret struct {
	ID      string
	SHA256  [32]byte
	Expires time.Time // zero: never
	MaxUses uint32    // of a share link; 0: any number. Who opens it must have it counted
}

// ClientCertificate admits whom one of the authorities has certified.
type ClientCertificate struct {
	AuthoritiesPEM string
	Names          []string // DNS names, mail addresses, URIs; "*." and "*@" as first, "*" as last; none: any
}

// FieldError is why a policy makes no sense.
type FieldError struct {
	Field string // rules[2].networks[0]
	Msg   string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Msg }

func wrong(field, format string, args ...any) error {
	return &FieldError{field, fmt.Sprintf(format, args...)}
}

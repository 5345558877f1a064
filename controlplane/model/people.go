package model

import (
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/shared/hostname"
)

// Limits of people.
const (
	MaxEmail       = 254
	MaxPersonName  = 100
	MaxRoles       = 32
	MaxGroupUsers  = 10_000
	MaxUserAgent   = 512
	MaxPermissions = 200
)

// Life of a user's session.
const (
	SessionIdle = 12 * time.Hour     // after it was last used
	SessionLife = 7 * 24 * time.Hour // whatever happens
)

// User is a person. He may be a member of any number of organizations.
type User struct {
	ID          UserID
	Email       string // canonical; unique in the cluster
	Name        string // as he wants to be called; may be empty
	ClusterRole RoleID // what he may do to the cluster and in all organizations; zero: nothing
	Disabled    time.Time
	Meta
}

// Role is a named set of permissions.
type Role struct {
	ID          RoleID
	Org         OrgID // zero: of the cluster, or built in
	Name        string
	Cluster     bool // given to users of the cluster; else to members of an organization
	Builtin     bool // what it permits is written in package access
	Permissions []string
	Meta
}

// The roles that are built in.
var (
	RoleOwner         = builtinRole(0x11)
	RoleAdmin         = builtinRole(0x12)
	RoleMember        = builtinRole(0x13)
	RoleViewer        = builtinRole(0x14)
	RoleClusterAdmin  = builtinRole(0x21)
	RoleClusterViewer = builtinRole(0x22)
)

func builtinRole(n byte) RoleID {
	return RoleID{uuid.UUID{6: 0x70, 8: 0x80, 15: n}}
}

// Membership is that a user belongs to an organization, with roles there.
type Membership struct {
	Org   OrgID
	User  UserID
	Email string // of the user; written with him
	Roles []RoleID
	Meta
}

// Grant is a role that somebody has: in an organization, or, where that is zero, in the whole cluster.
type Grant struct {
	Org         OrgID
	Role        RoleID
	Permissions []string // of a role that is not built in
}

// Group is a named set of an organization's members.
type Group struct {
	ID    GroupID
	Org   OrgID
	Name  string
	Users []UserID
	Meta
}

// Session is a browser or command line in which a user is signed in. Only a hash of its token is kept.
type Session struct {
	ID           SessionID
	User         UserID
	Hash         []byte // SHA-256
	Address      netip.Addr
	UserAgent    string
	AMR          []string  // how the user signed in (RFC 8176)
	SecondFactor time.Time // when the user last showed one; zero: never
	Seen         time.Time
	Expires      time.Time // whatever happens
	Meta
}

// Ended reports whether a session is over: it was not used for too long, or is too old.
func (s *Session) Ended(now time.Time) bool {
	return !now.Before(s.Expires) || now.Sub(s.Seen) >= SessionIdle
}

// ServiceAccount is a program that acts in an organization, by keys that it owns.
type ServiceAccount struct {
	ID       AccountID
	Org      OrgID
	Name     string
	Roles    []RoleID
	Disabled time.Time
	Meta
}

// APIKey is a credential for the REST API. Only a hash of its secret is kept.
type APIKey struct {
	ID          APIKeyID
	Org         OrgID     // zero: the whole cluster, or wherever its owner may
	User        UserID    // owner; at most one of User
	Account     AccountID // and Account
	Name        string
	Hash        []byte         // SHA-256
	Permissions []string       // nil: all that its owner may; access.Unscoped says which of a key without one
	Allow       []netip.Prefix // from where it is good; empty: from everywhere
	Expires     time.Time      // zero: never
	Used        time.Time      // to the minute; zero: never
	UsedFrom    netip.Addr
	// SecondFactor is when its user had shown one in the session that he made it with; zero: he had not. Of keys of users.
	SecondFactor time.Time
	Meta
}

// CanonicalEmail returns the one form of a mail address: ASCII in lower case, with a canonical domain. Addresses
// that mail servers could tell apart by case count as the same, as people mean it.
func CanonicalEmail(s string) (string, error) {
	local, domain, ok := strings.Cut(strings.TrimSpace(s), "@")
	if !ok || local == "" || domain == "" {
		return "", fault.Field("email", "want name@domain")
	}
	if len(local) > 64 {
		return "", fault.Field("email", "%d characters before the @, want 64 at most", len(local))
	}
	for i := range len(local) {
		if c := local[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(".!#$%&'*+/=?^_`{|}~-", c) >= 0) {
			return "", fault.Field("email", "character %q before the @", c)
		}
	}
	domain, err := hostname.Canonical(domain)
	if err != nil {
		return "", fault.Field("email", "domain: %v", err)
	}
	out := strings.ToLower(local) + "@" + domain
	if len(out) > MaxEmail {
		return "", fault.Field("email", "%d characters, want %d at most", len(out), MaxEmail)
	}
	return out, nil
}

func (u *User) Validate() error {
	want, err := CanonicalEmail(u.Email)
	if err != nil {
		return err
	}
	if want != u.Email {
		return fault.Field("email", "%q is not canonical, want %q", u.Email, want)
	}
	return checkPersonName(u.Name)
}

func checkPersonName(name string) error {
	switch {
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fault.Field("name", "want UTF-8 without control characters")
	case utf8.RuneCountInString(name) > MaxPersonName:
		return fault.Field("name", "%d characters, want %d at most", utf8.RuneCountInString(name), MaxPersonName)
	}
	return nil
}

func (r *Role) Validate() error {
	if err := checkName(r.Name, MaxName); err != nil {
		return err
	}
	if len(r.Permissions) > MaxPermissions {
		return fault.Field("permissions", "%d permissions, want %d at most", len(r.Permissions), MaxPermissions)
	}
	return nil
}

func (m *Membership) Validate() error {
	return first(checkSet("organization", m.Org), checkSet("user", m.User), checkRoles(m.Roles))
}

func checkRoles(roles []RoleID) error {
	switch {
	case len(roles) == 0:
		return fault.Field("roles", "want one at least")
	case len(roles) > MaxRoles:
		return fault.Field("roles", "%d roles, want %d at most", len(roles), MaxRoles)
	}
	return nil
}

func (g *Group) Validate() error {
	if len(g.Users) > MaxGroupUsers {
		return fault.Field("users", "%d users, want %d at most", len(g.Users), MaxGroupUsers)
	}
	return first(checkName(g.Name, MaxName), checkSet("organization", g.Org))
}

func (a *ServiceAccount) Validate() error {
	return first(checkName(a.Name, MaxName), checkSet("organization", a.Org), checkRoles(a.Roles))
}

func (k *APIKey) Validate() error {
	if !k.User.IsZero() && !k.Account.IsZero() {
		return fault.Field("service_account", "a key has one owner")
	}
	return first(checkName(k.Name, MaxName), checkAllow(k.Allow), checkHash(k.Hash))
}

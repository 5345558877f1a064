package model

import (
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/warrenedge/warren/controlplane/fault"
)

type (
	providerKind   struct{}
	invitationKind struct{}
	passkeyKind    struct{}
	deviceKind     struct{}
)

func (providerKind) prefix() string   { return "idp" }
func (invitationKind) prefix() string { return "invitation" }
func (passkeyKind) prefix() string    { return "passkey" }
func (deviceKind) prefix() string     { return "device" }

// The kinds of ID of what users sign in with.
type (
	IdentityProviderID = ID[providerKind]
	InvitationID       = ID[invitationKind]
	PasskeyID          = ID[passkeyKind]
	DeviceLoginID      = ID[deviceKind]
)

// TOTP is the authenticator app of a user.
type TOTP struct {
	User         UserID
	SealedSecret []byte    // Tink AEAD, associated data: TOTPRow
	Confirmed    time.Time // zero: nobody has shown yet that the app knows the secret
	LastStep     int64     // of the code that was used last
}

// TOTPRow is what the secret of a user's app is sealed for.
func TOTPRow(u UserID) string { return u.String() + "/totp" }

// Passkey is one of a user's passkeys.
type Passkey struct {
	ID         PasskeyID
	User       UserID
	Credential []byte
	Name       string
	Record     []byte // what the library has to know of it
	Used       time.Time
	Created    time.Time
}

// FlowKind is what is under way.
type FlowKind string

// Kinds of flow.
const (
	FlowSetup        FlowKind = "setup"         // the first administrator is to be made
	FlowReset        FlowKind = "reset"         // a link was sent
	FlowSecondFactor FlowKind = "second-factor" // the password was right
	FlowPasskey      FlowKind = "passkey"       // a browser was asked for any passkey
	FlowNewPasskey   FlowKind = "new-passkey"   // a browser was asked to make one
	FlowOIDC         FlowKind = "oidc"          // a browser is at a provider
)

// Flow is something that is under way, for whoever knows its token. It is good once.
type Flow struct {
	Kind     FlowKind
	User     UserID // zero: not known yet
	Data     []byte
	Attempts int
	Expires  time.Time
}

// DeviceLogin is a command line that wants to act for a user (RFC 8628).
type DeviceLogin struct {
	ID           DeviceLoginID
	Hash         []byte // SHA-256 of the code that it keeps
	UserCode     string // what the user types
	Client       string // as it calls itself
	Address      netip.Addr
	User         UserID // who has approved it; zero: nobody yet
	AMR          []string
	SecondFactor time.Time
	Denied       bool
	Polled       time.Time // before this poll; zero: never
	Expires      time.Time
	Created      time.Time
}

// IdentityProvider is where else people sign in, by OpenID Connect.
type IdentityProvider struct {
	ID                 IdentityProviderID
	Org                OrgID // zero: everybody's
	Name               string
	Title              string // on the button; "": Name
	Issuer             string
	ClientID           string
	SealedClientSecret []byte // Tink AEAD, associated data: the ID's text form; nil: a public client
	Scopes             []string
	Rules              []ClaimRule
	Provision          bool // who is not known yet becomes a user
	Meta
}

// ClaimRule gives a role to those of whom a provider says something.
type ClaimRule struct {
	Claim string `json:"claim,omitempty"` // "": of everybody
	Value string `json:"value,omitempty"` // "*": any
	Org   OrgID  `json:"org"`             // zero: the cluster
	Role  RoleID `json:"role"`
}

// Validate refuses a claim that is no name and no way to one, and a value without a claim; what the rule gives is not looked at.
func (r ClaimRule) Validate(field string) error {
	switch {
	case (r.Claim == "") != (r.Value == ""):
		return fault.Field(field+".value", "goes with a claim")
	case len(r.Claim) > 255 || len(r.Value) > 255:
		return fault.Field(field+".claim", "claim and value are longer than 255 bytes")
	case strings.HasPrefix(r.Claim, ".") || strings.HasSuffix(r.Claim, ".") || strings.Contains(r.Claim, ".."):
		return fault.Field(field+".claim", "%.60q: want a name, or names with a dot between each two", r.Claim)
	}
	return nil
}

// Identity is who a user is at a provider.
type Identity struct {
	Provider        IdentityProviderID
	Name            string // of the provider
	Title           string
	Issuer, Subject string
	Used            time.Time
}

// Invitation lets whoever gets its link join an organization.
type Invitation struct {
	ID      InvitationID
	Org     OrgID
	Email   string // canonical
	Roles   []RoleID
	Hash    []byte // SHA-256 of the token
	By      string // as revisions name him
	Expires time.Time
	Meta
}

// Security is what an organization wants of a session before it counts there.
type Security struct {
	Org                 OrgID
	RequireSecondFactor bool
	MaxSession          time.Duration // zero: as long as any
}

// Met reports whether a session is enough for the organization.
func (s Security) Met(v *Session, now time.Time) bool {
	return (!s.RequireSecondFactor || !v.SecondFactor.IsZero()) && (s.MaxSession == 0 || now.Sub(v.Created) < s.MaxSession)
}

// Bounds of Security.MaxSession.
const (
	MinSessionAge = 5 * time.Minute
	MaxRules      = 100
	MaxScopes     = 20
	MaxPasskeys   = 20
)

func (p *IdentityProvider) Validate() error {
	if err := checkName(p.Name, MaxName); err != nil {
		return err
	}
	u, err := url.Parse(p.Issuer)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(p.Issuer) > 1024:
		return fault.Field("issuer", "%q, want an https URL without user, query and fragment", p.Issuer)
	case p.ClientID == "" || len(p.ClientID) > 255 || !plain(p.ClientID):
		return fault.Field("client_id", "want 1 to 255 characters")
	case utf8.RuneCountInString(p.Title) > 60 || !plain(p.Title):
		return fault.Field("title", "want 60 characters at most, without control characters")
	case len(p.Scopes) > MaxScopes:
		return fault.Field("scopes", "%d scopes, want %d at most", len(p.Scopes), MaxScopes)
	case len(p.Rules) > MaxRules:
		return fault.Field("rules", "%d rules, want %d at most", len(p.Rules), MaxRules)
	}
	for _, s := range p.Scopes {
		if s == "" || len(s) > 255 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) { // RFC 6749 §3.3
			return fault.Field("scopes", "%q is no scope", s)
		}
	}
	return nil
}

func plain(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }

// CheckTitle says whether a text may be what a user calls something of his.
func CheckTitle(field, s string) error {
	if n := utf8.RuneCountInString(s); n < 1 || n > MaxPersonName || !plain(s) {
		return fault.Field(field, "want 1 to %d characters, without control characters", MaxPersonName)
	}
	return nil
}

package policy

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/mail"
	"strings"
	"time"

	"github.com/warrenedge/warren/shared/hostname"
)

// Way is one way in.
type Way uint16

// Ways, which add up to sets.
const (
	WaySignIn Way = 1 << iota
	WayMail
	WayPIN
	WayPassword
	WayBasic
	WayShareLink
	WayServiceToken
	WayCertificate
)

var wayNames = [...]string{"sign-in", "mailed code", "PIN", "password", "basic", "share link", "service token", "client certificate"}

func (w Way) String() string {
	var names []string
	for i, n := range wayNames {
		if w&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, ", ")
}

// Has reports whether all ways of o are in the set.
func (w Way) Has(o Way) bool { return w&o == o }

// Credential is something that a node can check alone.
type Credential struct {
	ID      string // within the policy
	Version string // another one as soon as what has to be known is: a Proof of before is worth nothing then
	Way     Way
	Hash    string    // of WayPIN, WayPassword and WayBasic: argon2id, PHC string format
	Expires time.Time // zero: never
	MaxUses uint32    // 0: any number

	secret [32]byte
}

// Proof says that somebody has shown a credential.
type Proof struct{ ID, Version string }

// Proof is what who has shown the credential may be given.
func (c *Credential) Proof() Proof { return Proof{c.ID, c.Version} }

// good reports whether the credential is good at a time.
func (c *Credential) good(at time.Time) bool { return c.Expires.IsZero() || at.Before(c.Expires) }

// version is a hash of what has to be known, and of what the credential is.
func version(way Way, id string, known ...string) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d %q %q", way, id, known)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// HashSecret is what is kept of the text of a share link or a service token.
func HashSecret(text string) [32]byte { return sha256.Sum256([]byte(text)) }

// Known returns the PIN, the password, or the password of a user of basic authentication; nil if there is none.
func (c *Compiled) Known(way Way, user string) *Credential {
	id := ""
	switch way {
	case WayPIN:
		id = pinID
	case WayPassword:
		id = passwordID
	case WayBasic:
		id = basicID + user
	}
	return c.credentials[id]
}

// ShareLink returns the share link of a secret, if it is good at a time.
func (c *Compiled) ShareLink(secret string, at time.Time) *Credential {
	v := c.links[HashSecret(secret)]
	if v == nil || !v.good(at) {
		return nil
	}
	return v
}

// ServiceToken returns the service token of a pair, if it is good at a time.
func (c *Compiled) ServiceToken(id, secret string, at time.Time) *Credential {
	v := c.credentials[id]
	if v == nil || v.Way != WayServiceToken || !v.good(at) {
		return nil
	}
	if sum := HashSecret(secret); subtle.ConstantTimeCompare(sum[:], v.secret[:]) != 1 {
		return nil
	}
	return v
}

const (
	pinID         = "pin"
	passwordID    = "password"
	basicID       = "basic/"
	certificateID = "certificate"

	maxCredentials = 1000
)

// compileAuth makes the credentials of a policy.
func (c *Compiled) compileAuth(a *Auth) error {
	if !a.SignIn.IsZero() {
		c.signIn, c.ways = compileSignIn(&a.SignIn), c.ways|WaySignIn
	}
	if err := c.compileMail(a.Mail); err != nil {
		return err
	}
	if n := len(a.Basic) + len(a.ShareLinks) + len(a.ServiceTokens); n > maxCredentials {
		return wrong("auth", "%d users of basic authentication, share links and service tokens, want %d at most", n, maxCredentials)
	}
	if err := c.compileKnown(a); err != nil {
		return err
	}
	for _, l := range [...]struct {
		field   string
		way     Way
		secrets []Secret
	}{{"auth.share_links", WayShareLink, a.ShareLinks}, {"auth.service_tokens", WayServiceToken, a.ServiceTokens}} {
		for i, s := range l.secrets {
			if s.ID == "" || s.SHA256 == [32]byte{} {
				return wrong(fmt.Sprintf("%s[%d]", l.field, i), "id or hash of the secret is missing")
			}
			v := &Credential{ID: s.ID, Way: l.way, Expires: s.Expires, MaxUses: s.MaxUses, secret: s.SHA256}
			v.Version = version(l.way, s.ID, string(s.SHA256[:]))
			if err := c.put(fmt.Sprintf("%s[%d]", l.field, i), v); err != nil {
				return err
			}
			if l.way == WayShareLink {
				c.links[s.SHA256] = v
			}
		}
	}
	return c.compileCertificate(&a.ClientCertificate)
}

func (c *Compiled) compileKnown(a *Auth) error {
	known := func(field string, way Way, id, hash string) error {
		if !strings.HasPrefix(hash, "$argon2id$") {
			return wrong(field, "not a hash of argon2id")
		}
		return c.put(field, &Credential{ID: id, Version: version(way, id, hash), Way: way, Hash: hash})
	}
	if a.PINHash != "" {
		if err := known("auth.pin", WayPIN, pinID, a.PINHash); err != nil {
			return err
		}
	}
	if a.PasswordHash != "" {
		if err := known("auth.password", WayPassword, passwordID, a.PasswordHash); err != nil {
			return err
		}
	}
	for i, b := range a.Basic {
		at := fmt.Sprintf("auth.basic[%d].", i)
		if b.User == "" || strings.ContainsFunc(b.User, func(r rune) bool { return r < ' ' || r == ':' || r == 0x7f }) {
			return wrong(at+"user", "%q: want a name without colons and control characters (RFC 7617)", b.User)
		}
		if err := known(at+"password", WayBasic, basicID+b.User, b.PasswordHash); err != nil {
			return err
		}
	}
	return nil
}

func (c *Compiled) put(field string, v *Credential) error {
	if c.credentials[v.ID] != nil {
		return wrong(field, "%q is there twice", v.ID)
	}
	if c.credentials == nil {
		c.credentials, c.links = map[string]*Credential{}, map[[32]byte]*Credential{}
	}
	c.credentials[v.ID], c.ways = v, c.ways|v.Way
	return nil
}

// addresses admits mail addresses, each or all of a domain.
type addresses struct{ each, domains map[string]bool }

func (c *Compiled) compileMail(patterns []string) error {
	if len(patterns) == 0 {
		return nil
	}
	c.mail = &addresses{map[string]bool{}, map[string]bool{}}
	c.ways |= WayMail
	for i, s := range patterns {
		at := fmt.Sprintf("auth.mail_code[%d]", i)
		if domain, all := strings.CutPrefix(s, "*@"); all {
			d, err := hostname.Canonical(domain)
			if err != nil {
				return wrong(at, "%q: want an address, or all of a domain as in *@example.org", s)
			}
			c.mail.domains[d] = true
			continue
		}
		a, err := CanonicalMail(s)
		if err != nil {
			return wrong(at, "%v", err)
		}
		c.mail.each[a] = true
	}
	return nil
}

// CanonicalMail is the one spelling of a mail address that policies compare: no name beside it, in lower case, the domain
// canonical.
func CanonicalMail(s string) (string, error) {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Name != "" || a.Address != s || strings.ContainsAny(s, "*\"") {
		return "", fmt.Errorf("%q is no mail address such as alice@example.org", s)
	}
	at := strings.LastIndexByte(s, '@')
	domain, err := hostname.Canonical(s[at+1:])
	if err != nil {
		return "", fmt.Errorf("%q: %v", s, err)
	}
	return strings.ToLower(s[:at]) + "@" + domain, nil
}

// MailAllowed reports whether a one-time code may be sent to an address in its canonical spelling, or was enough.
func (c *Compiled) MailAllowed(address string) bool {
	if c.mail == nil {
		return false
	}
	at := strings.LastIndexByte(address, '@')
	return at > 0 && (c.mail.each[address] || c.mail.domains[address[at+1:]])
}

// Proofs are what who has shown the credentials with these ids would have proven: for explaining what a policy does.
func (c *Compiled) Proofs(ids []string) (out []Proof) {
	for _, id := range ids {
		if v := c.credentials[id]; v != nil {
			out = append(out, v.Proof())
		}
	}
	return out
}

// ShareParam is the parameter by which any page of a service is opened with the secret of a share link. Queries are in no log
// of a node.
const ShareParam = "warren_share"

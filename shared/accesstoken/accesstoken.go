// Package accesstoken is the form in which the control plane tells nodes and targets who a visitor is.
//
// A token is a JWS (RFC 7515) in compact form, signed with Ed25519. It is good for one hostname, for a quarter of an hour
// at most, in the one browser that holds the secret which the token is bound to.
package accesstoken

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// Life is how long a token is good at most: the bound within which a node that hears nothing of the control plane
	// forgets somebody who was revoked.
	Life = 15 * time.Minute
	// Skew is how far the clock of a node may be behind that of the control plane.
	Skew = time.Minute
	// Type is the typ of the header: no other token that the same keys may come to sign is one of these (RFC 8725 §3.11).
	Type = "warren-access+jwt"
	// MaxSize is what a token may have in bytes: browsers drop cookies of more than 4,096, name included.
	MaxSize = 3800
)

// Claims are what a token says.
type Claims struct {
	Issuer   string   `json:"iss"`           // cluster id
	Audience string   `json:"aud"`           // hostname of the service, canonical
	Subject  string   `json:"sub"`           // id of the user, or mail:address of who was mailed a code
	Session  string   `json:"sid"`           // id of the session that it rests on
	Org      string   `json:"org,omitempty"` // id of the organization whose member the user is
	Email    string   `json:"email,omitempty"`
	Name     string   `json:"name,omitempty"`
	Groups   []string `json:"groups,omitempty"` // names
	Roles    []string `json:"roles,omitempty"`  // names
	Methods  []string `json:"amr,omitempty"`    // how the user signed in (RFC 8176)
	Issued   Time     `json:"iat"`
	Micros   int32    `json:"iat_us,omitempty"` // of the second in which it was issued: what is taken back ends at a moment, not at a second
	Expires  Time     `json:"exp"`
	Binding  string   `json:"bnd"`           // see Binding
	Use      string   `json:"use,omitempty"` // UseProgram, or that of a browser

	KeyID string `json:"-"` // of the key that has signed it
}

// Time is a NumericDate of whole seconds (RFC 7519 §2).
type Time int64

// At makes a Time.
func At(t time.Time) Time { return Time(t.Unix()) }

// Time is the moment that it stands for.
func (t Time) Time() time.Time { return time.Unix(int64(t), 0) }

// Issue writes when a token is issued, and that it is good for as long as one may be.
func (c *Claims) Issue(now time.Time) {
	c.Issued, c.Micros, c.Expires = At(now), int32(now.Nanosecond()/1000), At(now.Add(Life))
}

// IssuedAt is when a token was issued; of one that says only the second, the second's beginning.
func (c *Claims) IssuedAt() time.Time { return time.Unix(int64(c.Issued), int64(c.Micros)*1000) }

// ErrToken is wrapped by every refusal of a token.
var ErrToken = errors.New("not a good access token")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrToken, fmt.Sprintf(format, args...))
}

// Binding is what a token says of the secret of the browser that it is for.
func Binding(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// ValidBinding reports whether a text can be one.
func ValidBinding(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == sha256.Size
}

// UseProgram is what Claims.Use says of a token that a program shows in a field of its requests. No cookie makes such a one
// good: a browser sends cookies unasked.
const UseProgram = "program"

// Join is what a program is given: a token with the secret that it is bound to. Targets see the token alone, which is
// worth nothing to them.
func Join(token, secret string) string { return token + "~" + secret }

// Split takes apart what a program shows. It is ok for what has the form, good or not.
func Split(s string) (token, secret string, ok bool) {
	token, secret, ok = strings.Cut(s, "~")
	if !ok || len(secret) != 43 || strings.Count(token, ".") != 2 || !strings.HasPrefix(token, "eyJ") {
		return "", "", false
	}
	return token, secret, true
}

// Sign makes a token.
func Sign(key ed25519.PrivateKey, kid string, c *Claims) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: key, KeyID: kid}},
		(&jose.SignerOptions{}).WithType(Type))
	if err != nil {
		return "", fmt.Errorf("sign access token: %w", err)
	}
	body, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("sign access token: %w", err)
	}
	signed, err := signer.Sign(body)
	if err != nil {
		return "", fmt.Errorf("sign access token: %w", err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("sign access token: %w", err)
	}
	if len(token) > MaxSize {
		return "", fmt.Errorf("sign access token: %d bytes, want %d at most", len(token), MaxSize)
	}
	return token, nil
}

// Verify reads a token that one of the keys has signed. It does not look at what the token is for, nor at the time:
// see Check.
func Verify(token string, keys map[string]ed25519.PublicKey) (*Claims, error) {
	if len(token) > MaxSize {
		return nil, refuse("%d bytes, want %d at most", len(token), MaxSize)
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return nil, refuse("%v", err)
	}
	head := signed.Signatures[0].Protected
	if typ, _ := head.ExtraHeaders[jose.HeaderType].(string); typ != Type {
		return nil, refuse("typ %.30q, want %q", typ, Type)
	}
	key, ok := keys[head.KeyID]
	if !ok {
		return nil, refuse("signed with an unknown key %.60q", head.KeyID)
	}
	body, err := signed.Verify(key)
	if err != nil {
		return nil, refuse("signature: %v", err)
	}
	c := new(Claims)
	if err := json.Unmarshal(body, c); err != nil {
		return nil, refuse("claims: %v", err)
	}
	c.KeyID = head.KeyID
	if again, err := signed.CompactSerialize(); err != nil || again != token {
		return nil, refuse("not in its one form") // base64 has spellings that decode to the same
	}
	return c, nil
}

// Check reports whether a token is good at a time, for one hostname of a cluster and in the browser with this secret.
func (c *Claims) Check(issuer, host, secret string, now time.Time) error {
	switch {
	case c.Issuer != issuer:
		return refuse("of another cluster")
	case c.Audience != host:
		return refuse("for another hostname")
	case subtle.ConstantTimeCompare([]byte(c.Binding), []byte(Binding(secret))) != 1:
		return refuse("of another browser")
	case c.Subject == "" || c.Session == "":
		return refuse("for nobody")
	}
	return c.CheckTime(now)
}

// CheckTime reports whether a token is good at a time.
func (c *Claims) CheckTime(now time.Time) error {
	switch {
	case c.Expires <= c.Issued || c.Expires-c.Issued > Time(Life/time.Second):
		return refuse("good for too long")
	case !now.Before(c.Expires.Time()):
		return refuse("expired")
	case c.Micros < 0 || c.Micros >= 1e6:
		return refuse("iat_us %d is not within a second", c.Micros)
	case c.Issued.Time().Sub(now) > Skew:
		return refuse("issued in the future")
	}
	return nil
}

// KeySet is what others verify tokens with (RFC 7517).
func KeySet(keys map[string]ed25519.PublicKey) ([]byte, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, kid := range slices.Sorted(maps.Keys(keys)) {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: keys[kid], KeyID: kid, Algorithm: string(jose.EdDSA), Use: "sig"})
	}
	return json.Marshal(set)
}

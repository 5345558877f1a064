// Package jointoken is the text of a join token: a secret to be used once, with the fingerprint of the
// authority that the joiner must find at the other end.
package jointoken

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"strings"
)

const (
	version    = "wjt1"
	secretSize = 32
)

// ErrSyntax is returned for text that is no join token. It never shows the text.
var ErrSyntax = errors.New("not a join token: want wjt1.<secret>.<fingerprint>")

// Token is a parsed join token. It redacts itself in fmt and slog.
type Token struct {
	secret      [secretSize]byte
	fingerprint string
}

// New makes a token with a fresh secret for the authority with this fingerprint: the hex SHA-256 of the
// DER of its certificate.
func New(fingerprint string) Token {
	t := Token{fingerprint: fingerprint}
	_, _ = rand.Read(t.secret[:]) // never fails since Go 1.24
	return t
}

// Parse reads the text form; white space around it is left out.
func Parse(text string) (Token, error) {
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts) != 3 || parts[0] != version {
		return Token{}, ErrSyntax
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil || len(secret) != secretSize {
		return Token{}, ErrSyntax
	}
	sum, err := hex.DecodeString(parts[2])
	if err != nil || len(sum) != sha256.Size || parts[2] != strings.ToLower(parts[2]) {
		return Token{}, ErrSyntax
	}
	t := Token{fingerprint: parts[2]}
	copy(t.secret[:], secret)
	return t, nil
}

// Reveal is the text form, for the one person who may see it.
func (t Token) Reveal() string {
	return version + "." + base64.RawURLEncoding.EncodeToString(t.secret[:]) + "." + t.fingerprint
}

// Hash is what the control plane keeps: the SHA-256 of the secret, 32 bytes.
func (t Token) Hash() []byte {
	h := sha256.Sum256(t.secret[:])
	return h[:]
}

// Fingerprint is the hex SHA-256 of the DER of the identity authority's certificate.
func (t Token) Fingerprint() string { return t.fingerprint }

func (t Token) String() string       { return "(join token)" }
func (t Token) GoString() string     { return t.String() }
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

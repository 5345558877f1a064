// Package wgkey holds WireGuard keys, of which private ones never print.
package wgkey

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Size is the length of a key in bytes.
const Size = 32

// Public is a Curve25519 public key, written as standard base64 like wg(8) does.
type Public [Size]byte

// Private is a Curve25519 private key. It redacts itself in fmt, slog and JSON. The bytes stand in a
// closure because fmt prints the unexported fields of a struct without asking their methods, and follows
// pointers in them.
type Private struct{ bytes func() [Size]byte }

// ErrSize is returned for a key of the wrong length.
var ErrSize = errors.New("a WireGuard key has 32 bytes")

// New makes a private key from the system's randomness.
func New() (Private, error) {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return Private{}, fmt.Errorf("generate WireGuard key: %w", err)
	}
	return PrivateFromBytes(k.Bytes())
}

// PrivateFromBytes reads a stored key.
func PrivateFromBytes(b []byte) (Private, error) {
	var p Private
	if len(b) != Size {
		return p, ErrSize
	}
	k := [Size]byte(b)
	// Clamped as in RFC 7748 §5, so that the stored and the used form are one.
	k[0] &= 248
	k[31] = k[31]&127 | 64
	p.bytes = func() [Size]byte { return k }
	return p, nil
}

// PublicFromBytes reads a key from the wire.
func PublicFromBytes(b []byte) (Public, error) {
	var p Public
	if len(b) != Size {
		return p, ErrSize
	}
	copy(p[:], b)
	return p, nil
}

// ParsePublic reads the base64 form.
func ParsePublic(s string) (Public, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return Public{}, fmt.Errorf("WireGuard key: %w", err)
	}
	p, err := PublicFromBytes(b)
	if err == nil && p.String() != s {
		return Public{}, errors.New("WireGuard key: line breaks in it")
	}
	return p, err
}

// Public is the key that others see.
func (p Private) Public() Public {
	k, err := ecdh.X25519().NewPrivateKey(p.Reveal())
	if err != nil {
		panic("wgkey: a 32-byte key was refused: " + err.Error()) // cannot be: the length is fixed
	}
	var out Public
	copy(out[:], k.PublicKey().Bytes())
	return out
}

// Reveal returns a copy of the secret bytes, for the device and for the file it is kept in.
func (p Private) Reveal() []byte {
	if p.bytes == nil {
		return make([]byte, Size)
	}
	k := p.bytes()
	return k[:]
}

// RevealHex is the form the WireGuard configuration protocol takes.
func (p Private) RevealHex() string { return hex.EncodeToString(p.Reveal()) }

// IsZero reports whether no key is set.
func (p Private) IsZero() bool { return p.bytes == nil }

const redacted = "(private key)"

func (p Private) String() string               { return redacted }
func (p Private) Format(s fmt.State, _ rune)   { io.WriteString(s, redacted) }
func (p Private) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (p Private) MarshalText() ([]byte, error) { return []byte(redacted), nil }

func (p Public) String() string               { return base64.StdEncoding.EncodeToString(p[:]) }
func (p Public) Hex() string                  { return hex.EncodeToString(p[:]) }
func (p Public) IsZero() bool                 { return p == Public{} }
func (p Public) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
func (p *Public) UnmarshalText(b []byte) error {
	k, err := ParsePublic(string(b))
	if err == nil {
		*p = k
	}
	return err
}

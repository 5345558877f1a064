// Package canary finds secrets where they should not be, in whatever form somebody may have written them.
package canary

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
)

// A Secret is something that must not be found, by name.
type Secret struct {
	Name  string
	Forms [][]byte // bytes, each of which gives it away
}

// least is how many bytes a form has: less would be found by chance.
const least = 12

// Key is a private key: its DER, in PKCS #8 and older forms, and its scalar or primes.
func Key(name string, keyPEM []byte) (Secret, error) {
	b, _ := pem.Decode(keyPEM)
	if b == nil {
		return Secret{}, fmt.Errorf("%s: no PEM", name)
	}
	k, err := parse(b.Bytes)
	if err != nil {
		return Secret{}, fmt.Errorf("%s: %w", name, err)
	}
	s := Secret{Name: name, Forms: [][]byte{b.Bytes}}
	switch k := k.(type) {
	case *ecdsa.PrivateKey:
		scalar, err := k.Bytes()
		if err != nil {
			return Secret{}, fmt.Errorf("%s: %w", name, err)
		}
		s.Forms = append(s.Forms, scalar)
		if old, err := x509.MarshalECPrivateKey(k); err == nil {
			s.Forms = append(s.Forms, old)
		}
	case *rsa.PrivateKey:
		s.Forms = append(s.Forms, k.D.Bytes(), x509.MarshalPKCS1PrivateKey(k))
		for _, p := range k.Primes {
			s.Forms = append(s.Forms, p.Bytes())
		}
	default:
		return Secret{}, fmt.Errorf("%s: a key of type %T", name, k)
	}
	return s, nil
}

func parse(der []byte) (crypto.PrivateKey, error) {
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return k, nil
	}
	return x509.ParseECPrivateKey(der)
}

// Bytes is a secret that is bytes, such as a symmetric key.
func Bytes(name string, b []byte) Secret { return Secret{name, [][]byte{b}} }

// Text is a secret that is text, such as a token: itself, and the part behind its last underscore.
func Text(name, text string) Secret {
	s := Secret{name, [][]byte{[]byte(text)}}
	if i := strings.LastIndexByte(text, '_'); i >= 0 && len(text)-i > least {
		s.Forms = append(s.Forms, []byte(text[i+1:]))
	}
	return s
}

// Find names the secrets that a text holds: as bytes, as hex, or as base64 of any alphabet, with whatever stands before
// and however lines are broken.
func Find(secrets []Secret, where []byte) (found []string) {
	joined := join(where)
	lower := bytes.ToLower(joined)
	for _, s := range secrets {
		for _, form := range s.Forms {
			if len(form) >= least && (bytes.Contains(where, form) || bytes.Contains(lower, []byte(hex.EncodeToString(form))) || inBase64(joined, form)) {
				found = append(found, s.Name)
				break
			}
		}
	}
	return found
}

// join takes out what breaks lines, written out or escaped.
func join(b []byte) []byte {
	for _, cut := range []string{"\\n", "\\r", "\n", "\r", " ", "\t"} {
		b = bytes.ReplaceAll(b, []byte(cut), nil)
	}
	return b
}

func inBase64(where, form []byte) bool {
	for shift := range 3 {
		padded := append(make([]byte, shift), form...)
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := enc.EncodeToString(padded)
			begin, end := []int{0, 2, 3}[shift], len(text) // the characters before depend on what stands there as well
			if len(padded)%3 != 0 {
				end-- // and the last one on what follows
			}
			if bytes.Contains(where, []byte(text[begin:end])) {
				return true
			}
		}
	}
	return false
}

package authority

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

// Sign signs a message that is no certificate: it starts with words, and a certificate with a byte that is none.
// Whoever trusts the authority verifies it with CheckSignature.
func (a *Authority) Sign(message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	sig, err := a.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign with the %s authority: %w", a.Kind, err)
	}
	return sig, nil
}

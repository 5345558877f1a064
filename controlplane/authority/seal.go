package authority

import (
	"bytes"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Sealer seals private keys for the database with the cluster's key-encryption key. Safe for
// concurrent use.
type Sealer struct{ aead tink.AEAD }

// NewKEK makes a key-encryption key: a Tink keyset of AES-256-GCM as JSON. Whoever holds it can open
// every private key of the cluster.
func NewKEK() ([]byte, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("new key-encryption key: %w", err)
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&b)); err != nil {
		return nil, fmt.Errorf("new key-encryption key: %w", err)
	}
	return b.Bytes(), nil
}

// NewSealer reads a key-encryption key made by NewKEK.
func NewSealer(kek []byte) (*Sealer, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(kek)))
	if err != nil {
		return nil, fmt.Errorf("key-encryption key: not a Tink keyset in JSON: %w", err)
	}
	p, err := aead.New(h)
	if err != nil {
		return nil, fmt.Errorf("key-encryption key: %w", err)
	}
	return &Sealer{p}, nil
}

// Seal encrypts plain and binds it to the row it is kept in, so that swapped rows don't open.
func (s *Sealer) Seal(plain []byte, row string) ([]byte, error) {
	out, err := s.aead.Encrypt(plain, []byte(row))
	if err != nil {
		return nil, fmt.Errorf("seal for %s: %w", row, err)
	}
	return out, nil
}

// Open decrypts what Seal made for the same row.
func (s *Sealer) Open(sealed []byte, row string) ([]byte, error) {
	out, err := s.aead.Decrypt(sealed, []byte(row))
	if err != nil {
		return nil, fmt.Errorf("open sealed key of %s: wrong key-encryption key, or not what was sealed there", row)
	}
	return out, nil
}

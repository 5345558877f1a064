package authority

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// KEK is a cluster's key-encryption key. It leaves the operator's hands for no database: it only wraps the data
// keys, which are kept there. Whoever has it and the database can open every private key of the cluster.
type KEK struct {
	handle *keyset.Handle
	aead   tink.AEAD
}

// NewKEK makes a key-encryption key: a Tink keyset of AES-256-GCM as JSON.
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

// ParseKEK reads a key-encryption key made by NewKEK. Errors don't show any of it.
func ParseKEK(b []byte) (*KEK, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(b)))
	if err != nil {
		return nil, errors.New("key-encryption key: not a Tink keyset in JSON")
	}
	a, err := aead.New(h)
	if err != nil {
		return nil, fmt.Errorf("key-encryption key: %w", err)
	}
	return &KEK{h, a}, nil
}

// DataKeys are the key's own keys as data keys: rows of a cluster that was made before there were data keys are
// sealed with them.
func (k *KEK) DataKeys() (*DataKeys, error) { return newDataKeys(k.handle) }

// wrapping is what wrapped data keys are bound to: a sealed row is never taken for them.
var wrapping = []byte("warren data keys")

// Wrap encrypts data keys for the database.
func (k *KEK) Wrap(d *DataKeys) ([]byte, error) {
	var b bytes.Buffer
	if err := d.handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&b), k.aead, wrapping); err != nil {
		return nil, fmt.Errorf("wrap data keys: %w", err)
	}
	return b.Bytes(), nil
}

// Unwrap decrypts what Wrap made with the same key.
func (k *KEK) Unwrap(wrapped []byte) (*DataKeys, error) {
	h, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(wrapped)), k.aead, wrapping)
	if err != nil {
		return nil, errors.New("data keys: not wrapped with this key-encryption key")
	}
	return newDataKeys(h)
}

// DataKeys seal rows: all of them open, the primary one seals. Immutable.
type DataKeys struct {
	handle *keyset.Handle
	aead   tink.AEAD
}

// NewDataKeys makes one fresh key.
func NewDataKeys() (*DataKeys, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("data keys: %w", err)
	}
	return newDataKeys(h)
}

func newDataKeys(h *keyset.Handle) (*DataKeys, error) {
	a, err := aead.New(h)
	if err != nil {
		return nil, fmt.Errorf("data keys: %w", err)
	}
	return &DataKeys{h, a}, nil
}

// IDs are the identifiers of the keys; sealed rows begin with them.
func (d *DataKeys) IDs() []uint32 {
	var ids []uint32
	for _, k := range d.handle.KeysetInfo().GetKeyInfo() {
		ids = append(ids, k.GetKeyId())
	}
	return ids
}

// Primary is the identifier of the key that seals.
func (d *DataKeys) Primary() uint32 { return d.handle.KeysetInfo().GetPrimaryKeyId() }

// Has reports whether a key is among them.
func (d *DataKeys) Has(id uint32) bool {
	for _, have := range d.IDs() {
		if have == id {
			return true
		}
	}
	return false
}

// Grown is d with a fresh key, which seals from now on.
func (d *DataKeys) Grown() (*DataKeys, error) {
	m := keyset.NewManagerFromHandle(d.handle)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = m.SetPrimary(id)
	}
	return managed(m, err)
}

// Shrunk is d with the primary key only.
func (d *DataKeys) Shrunk() (*DataKeys, error) {
	m := keyset.NewManagerFromHandle(d.handle)
	var err error
	for _, id := range d.IDs() {
		if id != d.Primary() && err == nil {
			err = m.Delete(id)
		}
	}
	return managed(m, err)
}

func managed(m *keyset.Manager, err error) (*DataKeys, error) {
	if err != nil {
		return nil, fmt.Errorf("data keys: %w", err)
	}
	h, err := m.Handle()
	if err != nil {
		return nil, fmt.Errorf("data keys: %w", err)
	}
	return newDataKeys(h)
}

// KeyOf is the identifier of the key that sealed a row: Tink begins a ciphertext with a 1 and four bytes of it
// (https://developers.google.com/tink/wire-format). The database reads it, too.
func KeyOf(sealed []byte) (id uint32, ok bool) {
	if len(sealed) < 5 || sealed[0] != 1 {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:5]), true
}

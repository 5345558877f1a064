package authority

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Sealer seals private keys for the database with the cluster's data keys. Safe for concurrent use.
type Sealer struct {
	keys   atomic.Pointer[DataKeys]
	reload func() (*DataKeys, error) // nil: the keys don't change

	mu      sync.Mutex // of reloading
	unknown map[uint32]time.Time
}

// NewSealer makes a Sealer whose data keys are those of a key-encryption key itself: what a cluster begins with
// that was made before there were data keys.
func NewSealer(kek []byte) (*Sealer, error) {
	k, err := ParseKEK(kek)
	if err != nil {
		return nil, err
	}
	keys, err := k.DataKeys()
	if err != nil {
		return nil, err
	}
	return NewReloadingSealer(keys, nil), nil
}

// NewReloadingSealer makes a Sealer that asks reload for the present keys when it meets one that it does not
// know: another replica may have a newer one. reload may block; it is called by one caller at a time.
func NewReloadingSealer(keys *DataKeys, reload func() (*DataKeys, error)) *Sealer {
	s := &Sealer{reload: reload, unknown: map[uint32]time.Time{}}
	s.keys.Store(keys)
	return s
}

// Use replaces the data keys.
func (s *Sealer) Use(keys *DataKeys) { s.keys.Store(keys) }

// Seal encrypts plain and binds it to the row it is kept in, so that swapped rows don't open.
func (s *Sealer) Seal(plain []byte, row string) ([]byte, error) {
	out, err := s.keys.Load().aead.Encrypt(plain, []byte(row))
	if err != nil {
		return nil, fmt.Errorf("seal for %s: %w", row, err)
	}
	return out, nil
}

// Open decrypts what Seal made for the same row.
func (s *Sealer) Open(sealed []byte, row string) ([]byte, error) {
	keys := s.keys.Load()
	if id, ok := KeyOf(sealed); ok && !keys.Has(id) {
		keys = s.learn(id)
	}
	out, err := keys.aead.Decrypt(sealed, []byte(row))
	if err != nil {
		return nil, fmt.Errorf("open sealed key of %s: wrong key-encryption key, or not what was sealed there", row)
	}
	return out, nil
}

// relearn is how long a key that nobody knew stays unknown: a table of rows that nobody can open must not ask
// the database for each.
const relearn = time.Second

// learn asks for the present keys, since id is not among those at hand.
func (s *Sealer) learn(id uint32) *DataKeys {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := s.keys.Load()
	if s.reload == nil || keys.Has(id) || time.Since(s.unknown[id]) < relearn {
		return keys
	}
	fresh, err := s.reload()
	if err != nil {
		return keys // the row does not open, and the caller says so
	}
	s.keys.Store(fresh)
	if clear(s.unknown); !fresh.Has(id) {
		s.unknown[id] = time.Now()
	}
	return fresh
}

package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/alexedwards/argon2id"
)

const (
	// hashQueue is how many attempts may wait to be hashed. More are told to come again.
	hashQueue = 32
	hashWait  = 5 * time.Second
	// knownSlots bounds what is remembered of right passwords; a new one takes the place of an old one.
	knownSlots = 4096
	knownTime  = 10 * time.Minute
)

// unknownUser is the hash of nothing that anybody knows.
var unknownUser = "$argon2id$v=19$m=19456,t=2,p=1$d2FycmVud2FycmVud2Fycg$" + "fP1eFnWYOKZ7PT9EiwJfLxBqYpNQcWXcSVpEiQuD6QU"

// hashes compares secrets with hashes of argon2id, few at a time: each takes 19 MiB and some tens of milliseconds. What was
// right is remembered, so that programs that send a password with each request cost a hash once.
type hashes struct {
	work  chan struct{} // one place for each that is being hashed
	queue chan struct{} // one place for each that waits
	salt  [32]byte
	right [knownSlots]atomic.Pointer[known]
}

// known is a secret that was right for a version of a credential.
type known struct {
	sum   [32]byte
	until time.Time
}

func newHashes() *hashes {
	h := &hashes{work: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), queue: make(chan struct{}, hashQueue)}
	_, _ = rand.Read(h.salt[:]) // it never fails
	return h
}

func (h *hashes) compare(ctx context.Context, secret, hash string) (bool, error) {
	select {
	case h.queue <- struct{}{}:
		defer func() { <-h.queue }()
	default:
		return false, ErrBusy
	}
	ctx, cancel := context.WithTimeout(ctx, hashWait)
	defer cancel()
	select {
	case h.work <- struct{}{}:
		defer func() { <-h.work }()
	case <-ctx.Done():
		return false, ErrBusy
	}
	right, err := argon2id.ComparePasswordAndHash(secret, hash)
	return right && err == nil, nil // a hash that can't be read fits nothing
}

func (h *hashes) known(version, secret string) bool {
	sum := h.sum(version, secret)
	k := h.slot(sum).Load()
	return k != nil && hmac.Equal(k.sum[:], sum[:]) && time.Now().Before(k.until)
}

func (h *hashes) remember(version, secret string) {
	sum := h.sum(version, secret)
	h.slot(sum).Store(&known{sum, time.Now().Add(knownTime)})
}

func (h *hashes) sum(version, secret string) (out [32]byte) {
	m := hmac.New(sha256.New, h.salt[:])
	_, _ = m.Write([]byte(version))
	_, _ = m.Write([]byte{0})
	_, _ = m.Write([]byte(secret))
	m.Sum(out[:0])
	return out
}

func (h *hashes) slot(sum [32]byte) *atomic.Pointer[known] {
	return &h.right[binary.BigEndian.Uint64(sum[:])%knownSlots]
}

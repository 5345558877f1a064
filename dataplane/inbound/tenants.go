package inbound

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// shareOfFree is how many times as many connections as there are places left one organization may have open. One that wants
// all of them gets eight of nine; however many want all, there is room for who comes next, and nobody has to say how much
// each is worth (Choudhury and Hahne, "Dynamic queue length thresholds", 1998).
const shareOfFree = 8

// Who is refused is told so about holdTime later, if not mostHeld others of the organization wait for the same: whoever asks again as
// soon as he is answered would otherwise take more of the processors with what is refused than with what is served. The times are
// spread over a whole holdTime: those of a flood that came at once would all be told at once, and come again at once.
const (
	holdTime = time.Second // as long as he is told to wait
	mostHeld = 500
)

// Why a Tenant is refused.
var (
	ErrQuota = errors.New("more than the organization's quota")
	ErrShare = errors.New("more than the organization's share of the connections")
)

// Quota is what an organization may ask of this node.
type Quota struct {
	PerSecond int // requests and new connections; 0: no bound
}

// Tenants are the organizations that this node serves, so that what is asked of one leaves the others their part.
type Tenants struct {
	limit *Limiter

	mu  sync.Mutex
	all map[string]*Tenant // guarded by mu; by id
}

// NewTenants makes Tenants without any, whose connections are those of a Limiter.
func NewTenants(l *Limiter) *Tenants { return &Tenants{limit: l, all: map[string]*Tenant{}} }

// Apply says which organizations there are. One that stays is the same Tenant, with whatever it has taken and holds.
func (t *Tenants) Apply(want map[string]Quota) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.all {
		if _, ok := want[id]; !ok {
			delete(t.all, id)
		}
	}
	for id, q := range want {
		if t.all[id] == nil {
			t.all[id] = &Tenant{limit: t.limit, since: time.Now().Add(-time.Second)}
		}
		t.all[id].set(q)
	}
}

// Of finds an organization of the last Apply; nil if it is not of it.
func (t *Tenants) Of(id string) *Tenant {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[id]
}

// Tenant is one organization on this node. The nil Tenant has no bounds.
type Tenant struct {
	limit *Limiter
	since time.Time    // that paid counts from
	every atomic.Int64 // nanoseconds for each; 0: no bound
	paid  atomic.Int64 // until when, in nanoseconds after since, all that was taken is paid for

	held atomic.Int64 // requests in Hold

	open int // guarded by limit.mu; connections
}

func (t *Tenant) set(q Quota) {
	every := int64(0)
	if q.PerSecond > 0 {
		every = int64(time.Second) / int64(q.PerSecond)
	}
	t.every.Store(every)
}

// Take counts one request, or one client that begins to send datagrams, against the quota: as many as there are in a second may
// come at once, the next when one's time has passed. The error is ErrQuota. It takes no lock.
func (t *Tenant) Take(now time.Time) error {
	if t == nil {
		return nil
	}
	every := t.every.Load()
	if every == 0 {
		return nil
	}
	at := int64(now.Sub(t.since))
	for {
		paid := t.paid.Load()
		next := max(paid, at-int64(time.Second)) + every
		if next > at {
			return ErrQuota
		}
		if t.paid.CompareAndSwap(paid, next) {
			return nil
		}
	}
}

// Hold keeps a request waiting that Take has refused, for as long as its context lasts.
func (t *Tenant) Hold(ctx context.Context) {
	if t.held.Add(1) <= mostHeld {
		wait := time.NewTimer(holdTime/2 + rand.N(holdTime))
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
	}
	t.held.Add(-1)
}

// Enter counts one connection that the Limiter has counted: against the quota, and among those that are open. Leave must follow
// if the error is nil; it is ErrQuota or ErrShare otherwise.
func (t *Tenant) Enter(now time.Time) error {
	if t == nil {
		return nil
	}
	if err := t.Take(now); err != nil {
		return err
	}
	t.limit.mu.Lock()
	defer t.limit.mu.Unlock()
	if free := t.limit.all - t.limit.total + 1; t.open >= shareOfFree*free { // the place of this one is free
		return ErrShare
	}
	t.open++
	return nil
}

// Leave takes back one Enter.
func (t *Tenant) Leave() {
	if t == nil {
		return
	}
	t.limit.mu.Lock()
	defer t.limit.mu.Unlock()
	t.open--
}

package orders

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// pauses are moments before which an issuer is asked nothing, or nothing of a kind. They are rows, which say so to all replicas; what is kept
// here holds from the moment that a Retry-After arrives.
type pauses struct {
	store *store.Store
	log   *slog.Logger

	mu    sync.Mutex
	until map[model.IssuerID]time.Time // guarded by mu
	heard map[model.IssuerID]time.Time // guarded by mu; when an issuer last said what only an authority says

	limits map[limited]time.Time // guarded by mu; kinds of requests that are not sent before
}

type limited struct {
	issuer  model.IssuerID
	request model.AskedFor
}

// writePause bounds how long a Retry-After keeps up the request that it answers.
const writePause = 10 * time.Second

// lease is by what a request may be sent for an order.
type lease struct {
	order model.OrderID
	fence int64
}

type (
	leaseKey struct{}
	askKey   struct{} // of what kind a request is, where that is limited by itself: model.AskedFor
)

// heed learns what the rows say of an issuer now. Where ctx is that of an order's carrier it is an error that there is another one.
func (p *pauses) heed(ctx context.Context, id model.IssuerID) error {
	l, _ := ctx.Value(leaseKey{}).(lease)
	got, err := p.store.HeedIssuer(ctx, id, l.order, l.fence)
	if err != nil {
		return err
	}
	p.set(id, got.PausedUntil)
	for r, until := range got.Limited {
		p.limit(id, r, until)
	}
	return nil
}

// pause has nobody ask an issuer before a time. No other write is waited for: whatever begins once this has returned knows of it. ctx may
// have ended.
func (p *pauses) pause(ctx context.Context, id model.IssuerID, until time.Time) {
	p.set(id, until)
	p.write(ctx, "pause of an issuer", id, func(ctx context.Context, tx *store.Tx) error { return tx.PauseIssuer(ctx, id, until) })
}

// limitAll is pause for requests of one kind.
func (p *pauses) limitAll(ctx context.Context, id model.IssuerID, r model.AskedFor, until time.Time, why string) {
	if !until.After(p.limitOf(id, r)) {
		return // it is known
	}
	p.limit(id, r, until)
	p.write(ctx, "limit of an issuer", id, func(ctx context.Context, tx *store.Tx) error { return tx.LimitIssuer(ctx, id, r, until, why) })
}

// write says it to the other replicas. Should that fail, the authority will.
func (p *pauses) write(ctx context.Context, what string, id model.IssuerID, fn func(context.Context, *store.Tx) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writePause)
	defer cancel()
	if _, err := p.store.Tx(ctx, actor, func(tx *store.Tx) error { return fn(ctx, tx) }); err != nil {
		p.log.Warn(what+" not written", "issuer", id.String(), "err", err)
	}
}

// limit lets no request of a kind go to an issuer before a time.
func (p *pauses) limit(id model.IssuerID, r model.AskedFor, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limits == nil {
		p.limits = map[limited]time.Time{}
	}
	if k := (limited{id, r}); until.After(p.limits[k]) {
		p.limits[k] = until
	}
}

// learn takes over what a row that was read says of an issuer.
func (p *pauses) learn(i *model.Issuer) {
	p.set(i.ID, i.PausedUntil)
	for r, until := range i.Limited {
		p.limit(i.ID, r, until)
	}
}

// limitOf is from when on requests of a kind may be sent to an issuer; a time that has passed: now.
func (p *pauses) limitOf(id model.IssuerID, r model.AskedFor) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limits[limited{id, r}]
}

// allowed is an error in the authority's stead while it does not want requests of a kind of the account.
func (p *pauses) allowed(id model.IssuerID, r model.AskedFor) error {
	until := p.limitOf(id, r)
	if !until.After(time.Now()) {
		return nil
	}
	return &acme.Problem{
		Type: "urn:ietf:params:acme:error:rateLimited", Status: http.StatusTooManyRequests, RetryAfter: until,
		Detail: "the authority wants no such request of the account before " + until.UTC().Format(time.RFC3339),
	}
}

func (p *pauses) answered(id model.IssuerID, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heard == nil {
		p.heard = map[model.IssuerID]time.Time{}
	}
	p.heard[id] = now
}

// silent reports whether an issuer has not been heard of for a while.
func (p *pauses) silent(id model.IssuerID, d time.Duration, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Sub(p.heard[id]) >= d
}

func (p *pauses) set(id model.IssuerID, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until == nil {
		p.until = map[model.IssuerID]time.Time{}
	}
	if until.After(p.until[id]) {
		p.until[id] = until
	}
}

func (p *pauses) get(id model.IssuerID) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until[id]
}

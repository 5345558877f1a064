package orders

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

// patient lets no request go to an issuer that has asked to wait: not even one that a client sends again by itself.
type patient struct {
	next   http.RoundTripper
	issuer model.IssuerID
	pauses *pauses
}

// RoundTrip implements http.RoundTripper.
func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	if until := p.pauses.get(p.issuer); time.Now().Before(until) {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, fmt.Errorf("the authority asked to wait until %s", until.UTC().Format(time.RFC3339))
	}
	resp, err := p.next.RoundTrip(r)
	if err == nil && resp.StatusCode < 500 && resp.Header.Get("Replay-Nonce") != "" {
		p.pauses.answered(p.issuer, time.Now())
	}
	if err == nil && (resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable) {
		now := time.Now()
		if until := retryAfter(resp.Header.Get("Retry-After"), now); until.Sub(now) <= shortPause {
			p.pauses.set(p.issuer, until)
		}
	}
	return resp, err
}

// retryAfter reads the header of RFC 9110 §10.2.3; zero if there is nothing to read.
func retryAfter(h string, now time.Time) time.Time {
	if n, err := strconv.ParseUint(h, 10, 31); err == nil {
		return now.Add(time.Duration(n) * time.Second)
	}
	at, err := http.ParseTime(h)
	if err != nil {
		return time.Time{}
	}
	return at
}

// pauses are moments before which this process asks an issuer nothing: they hold from the moment that a Retry-After
// arrives, before the row says so to all replicas.
type pauses struct {
	mu    sync.Mutex
	until map[model.IssuerID]time.Time // guarded by mu
	heard map[model.IssuerID]time.Time // guarded by mu; when an issuer last said what only an authority says

	limits map[limited]time.Time // guarded by mu; kinds of requests that are not sent before
}

type limited struct {
	issuer  model.IssuerID
	request model.AskedFor
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

// learn takes over what the rows say of an issuer.
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

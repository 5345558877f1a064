package orders

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/model"
)

// patient lets no request go to an issuer that has asked to wait, whichever replica it has told, nor for an order that another replica carries by
// now: not even one that a client sends again by itself. What the rows say is read before each request.
type patient struct {
	next   http.RoundTripper
	issuer model.IssuerID
	pauses *pauses
}

// waiting is that a request was not sent since the authority has asked to wait.
type waiting struct{ until time.Time }

func (w *waiting) Error() string {
	return "the authority asked to wait until " + w.until.UTC().Format(time.RFC3339)
}

// unspecified is how long nothing is asked after a 429 that does not say how long.
const unspecified = time.Minute

// RoundTrip implements http.RoundTripper.
func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := p.may(r.Context()); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	resp, err := p.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if resp.StatusCode < 500 && resp.Header.Get("Replay-Nonce") != "" {
		p.pauses.answered(p.issuer, now)
	}
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		until := acme.RetryAt(resp.Header, now)
		if until.IsZero() && resp.StatusCode == http.StatusTooManyRequests {
			until = now.Add(unspecified)
		}
		if until.After(now) && until.Sub(now) <= shortPause {
			p.pauses.pause(r.Context(), p.issuer, until)
		}
	}
	return resp, nil
}

// may is nil if a request may be sent now.
func (p patient) may(ctx context.Context) error {
	if err := p.pauses.heed(ctx, p.issuer); err != nil {
		return fmt.Errorf("before asking the authority: %w", err)
	}
	if until := p.pauses.get(p.issuer); time.Now().Before(until) {
		return &waiting{until}
	}
	if r, ok := ctx.Value(askKey{}).(model.AskedFor); ok {
		return p.pauses.allowed(p.issuer, r)
	}
	return nil
}

package access

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/shared/policy"
)

// Fields in which a program shows a service token. Targets never see them: what begins with Warren- is the edge's.
const (
	TokenID     = "Warren-Token-Id"
	TokenSecret = "Warren-Token-Secret"
)

// carried adds what a request proves by itself and at no cost: its connection's certificate, a service token.
func (a *Access) carried(r *http.Request, v *httpproxy.Visit, id *policy.Identity, at time.Time) {
	ways := v.Policy.Ways()
	if ways.Has(policy.WayCertificate) {
		if proof, ok := v.Certificate(at); ok {
			id.Proofs = append(id.Proofs, proof)
		}
	}
	if !ways.Has(policy.WayServiceToken) {
		return
	}
	name, secret := r.Header[TokenID], r.Header[TokenSecret]
	if len(name) != 1 || len(secret) != 1 {
		return
	}
	if c := v.Policy.ServiceToken(name[0], secret[0], at); c != nil {
		id.Proofs = append(id.Proofs, c.Proof())
	}
}

// basic checks the name and password of a request, if it has them. The target does not see what was meant for us.
func (a *Access) basic(r *http.Request, v *httpproxy.Visit) (policy.Proof, error) {
	user, password, ok := r.BasicAuth()
	if !ok {
		return policy.Proof{}, nil
	}
	proof, err := a.Try(r.Context(), v.Policy, policy.WayBasic, user, password, v.Client)
	if errors.Is(err, ErrWrong) {
		return policy.Proof{}, nil
	}
	if err == nil {
		r.Header.Del("Authorization")
	}
	return proof, err
}

// Errors of Try and Open.
var (
	ErrWrong  = errors.New("not what is asked for")
	ErrBusy   = errors.New("too many are being checked at this moment")
	ErrNobody = errors.New("who counts the uses of this link can't be asked")
)

// TooManyError is the error of an attempt that was not even looked at.
type TooManyError struct{ RetryAfter time.Duration }

func (e *TooManyError) Error() string { return "too many attempts" }

// refused answers an attempt that could not be judged.
func (a *Access) refused(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	if many, ok := errors.AsType[*TooManyError](err); ok {
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", strconv.Itoa(int(many.RetryAfter/time.Second)+1))
	}
	answer(w, status)
}

// Try checks a PIN, a password, or one of basic authentication (where alone user means something). Each attempt counts
// against what the client, and all clients together, may get wrong of the policy; one that is right is given back.
func (a *Access) Try(ctx context.Context, p *policy.Compiled, way policy.Way, user, secret string, client netip.Addr) (policy.Proof, error) {
	c := p.Known(way, user)
	hash := unknownUser // a name that does not exist takes as long as one that does
	if c != nil {
		if a.hashes.known(c.Version, secret) {
			return c.Proof(), nil
		}
		hash = c.Hash
	}
	back, err := a.attempts.Take(p.ID(), client, time.Now())
	if err != nil {
		a.m.attempts.WithLabelValues("limited").Inc()
		return policy.Proof{}, err
	}
	right, err := a.hashes.compare(ctx, secret, hash)
	switch {
	case err != nil:
		back()
		a.m.attempts.WithLabelValues("busy").Inc()
		return policy.Proof{}, err
	case !right || c == nil:
		a.m.attempts.WithLabelValues("wrong").Inc()
		return policy.Proof{}, ErrWrong
	}
	back()
	a.m.attempts.WithLabelValues("right").Inc()
	a.hashes.remember(c.Version, secret)
	return c.Proof(), nil
}

// Uses counts uses of share links that have a limit, for all nodes together.
type Uses interface {
	// Use counts one, and reports whether it was still within the limit.
	Use(ctx context.Context, link string) (bool, error)
}

// useTime is how long counting a use may take.
const useTime = 5 * time.Second

// Open takes a share link. One with a limit is counted by the control plane, so that its limit holds for all nodes together;
// while that is away such a link opens nothing. What follows on a link that was opened is not counted.
func (a *Access) Open(ctx context.Context, p *policy.Compiled, secret string, client netip.Addr) (*policy.Credential, error) {
	c := p.ShareLink(secret, time.Now())
	if c == nil {
		return nil, ErrWrong // 256 random bits: guessing needs no limit
	}
	if c.MaxUses == 0 {
		return c, nil
	}
	if a.uses == nil {
		return nil, ErrNobody
	}
	ctx, cancel := context.WithTimeout(ctx, useTime)
	defer cancel()
	within, err := a.uses.Use(ctx, c.ID)
	if err != nil {
		a.log.Warn("use of a share link not counted", "link", c.ID, "err", err)
		return nil, ErrNobody
	}
	if !within {
		return nil, ErrWrong
	}
	return c, nil
}

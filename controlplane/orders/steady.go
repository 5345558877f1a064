package orders

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// steady asks an authority again, a few times, for what may be repeated: a step of many requests would hardly ever
// end at an authority that fails now and then. newOrder and finalize are sent once; who sends them looks first.
type steady struct {
	CA
	issuer model.IssuerID
	pauses *pauses
}

// tries is how often a request is sent.
const tries = 4

func again[V any](ctx context.Context, s steady, ask func() (V, error)) (v V, err error) {
	for n := 1; ; n++ {
		v, err = ask()
		_, ours := errors.AsType[*fault.Error](err) // that nobody may be asked is not the authority's failure
		if err == nil || ours || n == tries || acme.Class(err) != acme.Retry || ctx.Err() != nil || s.pauses.get(s.issuer).After(time.Now()) || !acme.RetryAfter(err).IsZero() {
			return v, err
		}
		pause(ctx, backoff(n, certs.Random()))
	}
}

func (s steady) NewOrder(ctx context.Context, names []string, profile, replaces string) (*acme.Order, error) {
	if err := s.pauses.allowed(s.issuer, model.AskNewOrder); err != nil {
		return nil, err
	}
	return s.CA.NewOrder(context.WithValue(ctx, askKey{}, model.AskNewOrder), names, profile, replaces)
}

func (s steady) RenewalInfo(ctx context.Context, leaf *x509.Certificate) (*acme.RenewalInfo, error) {
	if err := s.pauses.allowed(s.issuer, model.AskRenewalInfo); err != nil {
		return nil, err
	}
	return s.CA.RenewalInfo(context.WithValue(ctx, askKey{}, model.AskRenewalInfo), leaf)
}

func (s steady) Directory(ctx context.Context) (acme.Directory, error) {
	return again(ctx, s, func() (acme.Directory, error) { return s.CA.Directory(ctx) })
}

func (s steady) Orders(ctx context.Context) ([]string, error) {
	return again(ctx, s, func() ([]string, error) { return s.CA.Orders(ctx) })
}

func (s steady) Order(ctx context.Context, url string) (*acme.Order, error) {
	return again(ctx, s, func() (*acme.Order, error) { return s.CA.Order(ctx, url) })
}

func (s steady) Authorization(ctx context.Context, url string) (*acme.Authorization, error) {
	return again(ctx, s, func() (*acme.Authorization, error) { return s.CA.Authorization(ctx, url) })
}

func (s steady) Initiate(ctx context.Context, url string) error {
	_, err := again(ctx, s, func() (struct{}, error) { return struct{}{}, s.CA.Initiate(ctx, url) })
	return err
}

func (s steady) Certificate(ctx context.Context, url string) (chainPEM []byte, alternates []string, err error) {
	chainPEM, err = again(ctx, s, func() (chain []byte, err error) {
		chain, alternates, err = s.CA.Certificate(ctx, url)
		return chain, err
	})
	return chainPEM, alternates, err
}

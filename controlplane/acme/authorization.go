package acme

import (
	"context"
	"errors"
	"fmt"
	"time"

	lego "github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"
)

// Authorization is RFC 8555 §7.1.4.
type Authorization struct {
	URL        string
	Status     string
	Name       string // without "*."
	Wildcard   bool
	Expires    time.Time
	Challenges []Challenge
	RetryAfter time.Time // not to be read again sooner, within an hour; zero: not said
}

// Challenge is RFC 8555 §7.1.5.
type Challenge struct {
	Type   string // "dns-01", "http-01", "tls-alpn-01", or one that is not known here
	URL    string
	Status string
	Token  string
	Error  *Problem
}

// Types of challenges (RFC 8555 §8.3, §8.4, RFC 8737).
const (
	HTTP01    = "http-01"
	DNS01     = "dns-01"
	TLSALPN01 = "tls-alpn-01"
)

// Challenge returns the challenge of a type, nil if the CA does not offer it.
func (a *Authorization) Challenge(kind string) *Challenge {
	for i := range a.Challenges {
		if a.Challenges[i].Type == kind {
			return &a.Challenges[i]
		}
	}
	return nil
}

// Err returns why the authorization failed: the CA's words about the challenge that was tried. Nil if it did
// not fail.
func (a *Authorization) Err() error {
	if a.Status != StatusInvalid {
		return nil
	}
	for _, ch := range a.Challenges {
		if ch.Error != nil {
			p := *ch.Error
			if p.Identifier == "" {
				p.Identifier = a.Name
			}
			return &p
		}
	}
	return &Problem{Type: unauthorized, Detail: "the authorization is invalid; the CA does not say why", Identifier: a.Name}
}

// Authorization reads an authorization (POST-as-GET, RFC 8555 §7.5).
func (c *Client) Authorization(ctx context.Context, url string) (*Authorization, error) {
	const what = "authorization"
	if err := checkURL(url); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	var got lego.Authorization
	r, err := c.core(ctx, what, nil, func(core *api.Core) (err error) {
		got, err = core.Authorizations.Get(url)
		return err
	})
	if err != nil {
		return nil, err
	}
	a := &Authorization{
		URL: url, Status: clean(got.Status, 50), Name: clean(got.Identifier.Value, 255), Wildcard: got.Wildcard,
		Expires: got.Expires, RetryAfter: r.within(pollMost),
	}
	for _, ch := range got.Challenges {
		if err := checkChallenge(&ch); err != nil {
			return nil, fmt.Errorf("%s: %w", what, &Problem{Status: r.status, Detail: clean(fmt.Sprintf("the CA's challenge %.50q: %v", ch.Type, err), maxDetail)})
		}
		a.Challenges = append(a.Challenges, Challenge{Type: clean(ch.Type, 50), URL: ch.URL, Status: clean(ch.Status, 50), Token: ch.Token, Error: embedded(ch.Error)})
	}
	return a, nil
}

// checkChallenge refuses tokens that are not base64url (RFC 8555 §8.3): they become names of files and parts
// of records.
func checkChallenge(ch *lego.Challenge) error {
	if err := checkURL(ch.URL); err != nil {
		return err
	}
	switch ch.Type {
	case HTTP01, DNS01, TLSALPN01:
		return checkToken(ch.Token)
	}
	return nil
}

// Initiate tells the CA to validate (RFC 8555 §7.5.1). It may be repeated: a challenge that is not pending
// any more was initiated before.
func (c *Client) Initiate(ctx context.Context, challengeURL string) error {
	const what = "challenge"
	if err := checkURL(challengeURL); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	_, err := c.core(ctx, what, nil, func(core *api.Core) error {
		_, err := core.Challenges.New(challengeURL)
		return err
	})
	if p, ok := errors.AsType[*Problem](err); !ok || p.Type != malformed {
		return err
	}
	var got lego.ExtendedChallenge
	_, look := c.core(ctx, what, nil, func(core *api.Core) (err error) {
		got, err = core.Challenges.Get(challengeURL)
		return err
	})
	if look == nil && (got.Status == StatusProcessing || got.Status == StatusValid || got.Status == StatusInvalid) {
		return nil
	}
	return err
}

// Deactivate gives an authorization back (RFC 8555 §7.5.2): an order that is abandoned leaves none pending,
// of which an account may have but so many.
func (c *Client) Deactivate(ctx context.Context, authorizationURL string) error {
	if err := checkURL(authorizationURL); err != nil {
		return fmt.Errorf("authorization: %w", err)
	}
	_, err := c.core(ctx, "deactivate authorization", nil, func(core *api.Core) error {
		return core.Authorizations.Deactivate(authorizationURL)
	})
	return err
}

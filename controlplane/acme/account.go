package acme

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	lego "github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"
	"github.com/go-jose/go-jose/v4"
)

// EAB binds a new account to one that exists outside of ACME (RFC 8555 §7.3.4).
type EAB struct {
	KeyID string
	HMAC  Secret // base64url, as CAs hand it out
}

// Secret is a text that prints as "redacted".
type Secret string

func (Secret) String() string { return "redacted" }

// Format implements fmt.Formatter, for every verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, "redacted") }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue("redacted") }

// MarshalText keeps it out of JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte("redacted"), nil }

// Register makes an account for the Client's key, or finds the one that it has (RFC 8555 §7.3), and returns
// its URL, which the Client uses from then on. It may be repeated. contacts are URLs ("mailto:…"); agree is
// to the terms of service; eab may be nil.
func (c *Client) Register(ctx context.Context, contacts []string, eab *EAB, agree bool) (string, error) {
	key := c.account.Load().key
	found, err := c.register(ctx, key, lego.Account{Contact: contacts, TermsOfServiceAgreed: agree}, eab)
	if err != nil {
		return "", err
	}
	c.account.Store(&account{url: found, key: key})
	return found, nil
}

// register asks with a key instead of an account.
func (c *Client) register(ctx context.Context, key crypto.Signer, req lego.Account, eab *EAB) (string, error) {
	const what = "new-account"
	var got lego.ExtendedAccount
	_, err := c.core(ctx, what, &account{key: key}, func(core *api.Core) (err error) {
		if eab != nil {
			got, err = core.Accounts.NewEAB(req, eab.KeyID, string(eab.HMAC))
		} else {
			got, err = core.Accounts.New(req)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if got.Status != lego.StatusValid {
		return "", fmt.Errorf("%s: %w", what, &Problem{Type: accountDoesNotExist, Detail: clean("the account is "+got.Status, maxDetail)})
	}
	if err := checkURL(got.Location); err != nil {
		return "", fmt.Errorf("%s: %w", what, &Problem{Detail: "account URL: " + err.Error()})
	}
	return got.Location, nil
}

// Orders lists the URLs of the account's orders that are not invalid (RFC 8555 §7.1.2.1): how to find one
// whose new-order reply was lost. ErrNoOrders: this CA keeps no list; such CAs may answer a repeated
// new-order with the order that is pending.
func (c *Client) Orders(ctx context.Context) ([]string, error) {
	var got lego.Account
	_, err := c.core(ctx, "account", nil, func(core *api.Core) (err error) {
		got, err = core.Accounts.Get(c.AccountURL())
		return err
	})
	if err != nil {
		return nil, err
	}
	if got.Orders == "" {
		return nil, ErrNoOrders
	}
	var all []string
	for page, next := 0, got.Orders; next != "" && page < maxPages && len(all) < maxOrders; page++ {
		if err := checkURL(next); err != nil {
			return nil, fmt.Errorf("orders: %w", &Problem{Detail: "list URL: " + err.Error()})
		}
		r, err := c.core(ctx, "orders", nil, func(core *api.Core) error {
			_, err := core.Orders.Get(next) // POST-as-GET of any object; the list is read below
			return err
		})
		if err != nil {
			return nil, err
		}
		var list struct{ Orders []string }
		if err := r.object(&list); err != nil {
			return nil, fmt.Errorf("orders: %w", err)
		}
		for _, url := range list.Orders {
			if checkURL(url) == nil && len(all) < maxOrders {
				all = append(all, url)
			}
		}
		if next = ""; len(r.links("next")) > 0 {
			next = r.links("next")[0]
		}
	}
	return all, nil
}

// Bounds on what Orders reads.
const (
	maxPages  = 100
	maxOrders = 10_000
)

// ErrNoOrders says that a CA keeps no list of an account's orders.
var ErrNoOrders = errors.New("the CA lists no orders")

// Rollover changes the account's key (RFC 8555 §7.3.5). It has succeeded once the CA names the account when it
// is asked with the new key, whatever it has answered to the change; so it may be repeated after a reply that
// was lost. Store the new key, sealed, before. Requests of this Client that are under way are signed anew;
// those of other Clients with the old key are AccountUnusable from then on.
func (c *Client) Rollover(ctx context.Context, newKey crypto.Signer) error {
	if err := checkKey(newKey); err != nil {
		return fmt.Errorf("key-change: %w", err)
	}
	select {
	case <-c.rolling:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { c.rolling <- struct{}{} }()
	old := c.account.Load()
	if old.url == "" {
		return fmt.Errorf("key-change: %w", notRegistered())
	}
	_, err := c.call(ctx, "key-change", old, func(e *exchange, a *account) error { return e.changeKey(a, newKey) })
	if ctx.Err() != nil || Class(err) == RateLimited {
		return err
	}
	found, look := c.register(ctx, newKey, lego.Account{OnlyReturnExisting: true}, nil)
	switch {
	case look == nil && found == old.url:
		c.account.Store(&account{url: old.url, key: newKey})
		return nil
	case err != nil:
		return err
	case look != nil:
		return fmt.Errorf("key-change: the CA has agreed, but does not know the new key: %w", look)
	}
	return fmt.Errorf("key-change: %w", &Problem{Type: malformed, Detail: "the key is another account's"})
}

func notRegistered() *Problem {
	return &Problem{Type: accountDoesNotExist, Detail: "not registered yet"}
}

// changeKey sends what lego's Core has no request for, signed as it signs.
func (e *exchange) changeKey(a *account, newKey crypto.Signer) error {
	to := e.dir.KeyChangeURL
	if err := checkURL(to); err != nil {
		return &Problem{Type: malformed, Detail: "the CA's directory has no usable keyChange: " + err.Error()}
	}
	payload, err := json.Marshal(map[string]any{"account": a.url, "oldKey": jose.JSONWebKey{Key: a.key.Public()}})
	if err != nil {
		return err
	}
	inner, err := sign(payload, newKey, "", to, nil)
	if err != nil {
		return err
	}
	outer, err := sign(inner, a.key, a.url, to, e)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, to, bytes.NewReader(outer))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/jose+json")
	resp, err := e.RoundTrip(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

package acme

import (
	"context"
	"fmt"
	"slices"
	"time"

	lego "github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"

	"github.com/warrenedge/warren/shared/hostname"
)

// Statuses of orders, authorizations and challenges (RFC 8555 §7.1.6).
const (
	StatusPending     = lego.StatusPending
	StatusReady       = lego.StatusReady
	StatusProcessing  = lego.StatusProcessing
	StatusValid       = lego.StatusValid
	StatusInvalid     = lego.StatusInvalid
	StatusDeactivated = lego.StatusDeactivated
	StatusExpired     = lego.StatusExpired
	StatusRevoked     = lego.StatusRevoked
)

// Order is RFC 8555 §7.1.3. URL is what to store: all else can be read again with it.
type Order struct {
	URL            string
	Status         string
	Names          []string // sorted
	Profile        string
	Replaces       string
	Expires        time.Time // zero: not said
	Authorizations []string  // URLs
	Finalize       string    // URL
	Certificate    string    // URL, once Status is valid
	Error          *Problem  // why Status is invalid
	RetryAfter     time.Time // not to be read again sooner, within an hour; zero: not said
}

// NewOrder asks for a certificate (RFC 8555 §7.4). profile has to be one of the Directory's; it may be empty
// only if the CA has none, since a CA chooses for itself what is not named. replaces is the CertID of the
// predecessor or empty; it is left out at CAs without RFC 9773. An error whose Class is Retry says nothing
// about whether there is an order now.
func (c *Client) NewOrder(ctx context.Context, names []string, profile, replaces string) (*Order, error) {
	const what = "new-order"
	if err := checkNames(names); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if err := c.checkProfile(ctx, profile); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	var got lego.ExtendedOrder
	r, err := c.core(ctx, what, nil, func(core *api.Core) (err error) {
		got, err = core.Orders.NewWithOptions(names, &api.OrderOptions{Profile: profile, ReplacesCertID: replaces})
		return err
	})
	if err != nil {
		return nil, err
	}
	return order(what, got.Order, got.Location, r)
}

// checkNames wants the one spelling of each name: a CA that answers with another one has made an order that
// does not look like ours, and would make one each time.
func checkNames(names []string) error {
	if len(names) == 0 {
		return &Problem{Type: malformed, Detail: "no names"}
	}
	for _, n := range names {
		switch canonical, err := hostname.CanonicalPattern(n); {
		case err != nil:
			return &Problem{Type: unsupportedIdentifier, Detail: clean(fmt.Sprintf("%.300q: %v", n, err), maxDetail), Identifier: clean(n, 255)}
		case canonical != n:
			return &Problem{Type: malformed, Detail: fmt.Sprintf("%.300q is spelt %q", n, canonical), Identifier: clean(n, 255)}
		}
	}
	return nil
}

// Order reads an order (POST-as-GET, RFC 8555 §7.4). Its Class is Gone if the CA knows it no more.
func (c *Client) Order(ctx context.Context, url string) (*Order, error) {
	const what = "order"
	if err := checkURL(url); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	var got lego.ExtendedOrder
	r, err := c.core(ctx, what, nil, func(core *api.Core) (err error) {
		got, err = core.Orders.Get(url)
		return err
	})
	if err != nil {
		return nil, err
	}
	return order(what, got.Order, url, r)
}

// Finalize sends the certificate request (RFC 8555 §7.4) and returns the order as it is then: processing or
// valid, or invalid with its Error. A repeated one has the class OrderNotReady: the order tells the rest.
func (c *Client) Finalize(ctx context.Context, o *Order, csrDER []byte) (*Order, error) {
	const what = "finalize"
	if err := checkURL(o.Finalize); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	r, err := c.core(ctx, what, nil, func(core *api.Core) error {
		_, err := core.Orders.UpdateForCSR(o.Finalize, csrDER)
		return err
	})
	if err != nil && (r == nil || r.status == 0) {
		return nil, err
	}
	var got lego.Order // lego makes an error of an order that is invalid; that one is an answer here
	if err := r.object(&got); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return order(what, got, o.URL, r)
}

// order checks what everything else rests on.
func order(what string, o lego.Order, url string, r *reply) (*Order, error) {
	bad := func(format string, args ...any) (*Order, error) {
		return nil, fmt.Errorf("%s: %w", what, r.unusable("the CA's order: "+format, args...))
	}
	known := []string{StatusPending, StatusReady, StatusProcessing, StatusValid, StatusInvalid}
	if !slices.Contains(known, o.Status) {
		return bad("unknown status %.100q", o.Status)
	}
	if err := checkURL(url); err != nil {
		return bad("no usable URL: %v", err)
	}
	out := &Order{
		URL: url, Status: o.Status, Profile: clean(o.Profile, 255), Replaces: clean(o.Replaces, 255),
		Authorizations: o.Authorizations, Finalize: o.Finalize, Certificate: o.Certificate,
		Error: embedded(o.Error), RetryAfter: r.within(pollMost),
	}
	if out.Status != StatusInvalid {
		if err := checkURL(o.Finalize); err != nil {
			return bad("finalize: %v", err)
		}
	}
	if out.Status == StatusValid {
		if err := checkURL(o.Certificate); err != nil {
			return bad("certificate: %v", err)
		}
	}
	for _, a := range o.Authorizations {
		if err := checkURL(a); err != nil {
			return bad("authorization: %v", err)
		}
	}
	for _, id := range o.Identifiers {
		out.Names = append(out.Names, clean(id.Value, 255))
	}
	slices.Sort(out.Names)
	if t, err := time.Parse(time.RFC3339, o.Expires); err == nil {
		out.Expires = t
	}
	return out, nil
}

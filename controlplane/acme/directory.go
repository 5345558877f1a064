package acme

import (
	"context"
	"fmt"
	"net/http"
	"time"

	lego "github.com/go-acme/lego/v4/acme"
)

// Directory is what a CA says about itself (RFC 8555 §7.1.1, draft-ietf-acme-profiles §3).
type Directory struct {
	Profiles                map[string]string // name → description; empty: the CA has none
	CAAIdentities           []string          // issuer domain names for CAA (RFC 8659)
	ExternalAccountRequired bool
	Terms                   string // URL of the terms of service
	RenewalInfo             bool   // RFC 9773 is offered
}

// directory is a CA's directory as it was read; raw is handed to lego for each call.
type directory struct {
	lego.Directory
	raw []byte
	at  time.Time
}

const (
	directoryLife    = time.Hour
	directoryLifeMin = time.Minute // not read again sooner because a profile is missing
)

// directoryCache lets one call at a time read the directory; the others wait for it or for their context.
type directoryCache struct {
	slot chan *directory // holds the newest, nil before the first
}

func newDirectoryCache() directoryCache {
	c := directoryCache{slot: make(chan *directory, 1)}
	c.slot <- nil
	return c
}

func (c *Client) directory(ctx context.Context) (*directory, error) {
	return c.directoryOf(ctx, directoryLife)
}

// directoryOf returns a directory that is younger than life.
func (c *Client) directoryOf(ctx context.Context, life time.Duration) (*directory, error) {
	var d *directory
	select {
	case d = <-c.dir.slot:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { c.dir.slot <- d }()
	if d != nil && time.Since(d.at) < life {
		return d, nil
	}
	fresh, err := c.readDirectory(ctx)
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	d = fresh
	return d, nil
}

func (c *Client) readDirectory(ctx context.Context) (*directory, error) {
	req, err := http.NewRequest(http.MethodGet, c.url, nil)
	if err != nil {
		return nil, err
	}
	r, err := c.send(ctx, req)
	if err != nil {
		return nil, err
	}
	d := &directory{raw: r.body, at: time.Now()}
	if err := r.object(&d.Directory); err != nil {
		return nil, err
	}
	for _, e := range []struct{ name, url string }{
		{"newNonce", d.NewNonceURL}, {"newAccount", d.NewAccountURL}, {"newOrder", d.NewOrderURL}, {"revokeCert", d.RevokeCertURL},
	} {
		if err := checkURL(e.url); err != nil {
			return nil, &Problem{Status: r.status, Detail: clean(fmt.Sprintf("the CA's directory: %s: %v", e.name, err), maxDetail)}
		}
	}
	return d, nil
}

// Directory asks the CA what it offers; the answer is kept for an hour.
func (c *Client) Directory(ctx context.Context) (Directory, error) {
	ctx, cancel := c.withDeadline(ctx)
	defer cancel()
	d, err := c.directory(ctx)
	if err != nil {
		return Directory{}, err
	}
	return d.public(), nil
}

func (d *directory) public() Directory {
	p := Directory{
		ExternalAccountRequired: d.Meta.ExternalAccountRequired,
		Terms:                   clean(d.Meta.TermsOfService, 2048),
		RenewalInfo:             checkURL(d.RenewalInfo) == nil,
		Profiles:                map[string]string{},
	}
	for name, text := range d.Meta.Profiles {
		if clean(name, 255) == name {
			p.Profiles[name] = clean(text, maxDetail)
		}
	}
	for _, id := range d.Meta.CaaIdentities {
		p.CAAIdentities = append(p.CAAIdentities, clean(id, 255))
	}
	return p
}

// checkProfile refuses what the CA does not offer, reading its directory again if it seems not to.
func (c *Client) checkProfile(ctx context.Context, profile string) error {
	d, err := c.directory(ctx)
	if err != nil {
		return err
	}
	if _, ok := d.Meta.Profiles[profile]; !ok {
		if d, err = c.directoryOf(ctx, directoryLifeMin); err != nil {
			return err
		}
	}
	_, ok := d.Meta.Profiles[profile]
	switch {
	case ok, profile == "" && len(d.Meta.Profiles) == 0:
		return nil
	case profile == "": // else the CA chooses, and lifetimes jump
		return &Problem{Type: invalidProfile, Detail: "the CA has profiles: an order has to name one"}
	}
	return &Problem{Type: invalidProfile, Detail: fmt.Sprintf("the CA has no profile %q", profile)}
}

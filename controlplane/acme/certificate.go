package acme

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"regexp"

	lego "github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"
)

// maxChain bounds a chain: leaf, intermediates and cross-signs.
const maxChain = 10

// Certificate downloads a chain, leaf first (RFC 8555 §7.4.2), and names the URLs of other chains for the
// same leaf. The PEM holds certificates and nothing else (§9.1).
func (c *Client) Certificate(ctx context.Context, url string) (chainPEM []byte, alternates []string, err error) {
	const what = "certificate"
	if err := checkURL(url); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", what, err)
	}
	r, err := c.core(ctx, what, nil, func(core *api.Core) (err error) {
		chainPEM, _, err = core.Certificates.Get(url, true)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	clear, err := parseChain(chainPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", what, &Problem{Status: r.status, Detail: clean("the CA's chain: "+err.Error(), maxDetail)})
	}
	for _, alt := range r.links("alternate") {
		if checkURL(alt) == nil && len(alternates) < maxChain {
			alternates = append(alternates, alt)
		}
	}
	return clear, alternates, nil
}

// parseChain returns the blocks alone: what stands between them (RFC 7468 §2) is nothing to store.
func parseChain(b []byte) ([]byte, error) {
	var out []byte
	for n := 1; ; n++ {
		block, rest := pem.Decode(b)
		if block == nil {
			break
		}
		b = rest
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("block %d is a %.50q", n, block.Type)
		}
		if n > maxChain {
			return nil, fmt.Errorf("more than %d certificates", maxChain)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, fmt.Errorf("block %d: %w", n, err)
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
	}
	if len(out) == 0 {
		return nil, errors.New("no certificate in it")
	}
	return out, nil
}

// Revoke revokes a certificate of the account (RFC 8555 §7.6). reason is a code of RFC 5280 §5.3.1; CAs take
// 0, 1, 4 and 5. One that is revoked already is no error.
func (c *Client) Revoke(ctx context.Context, leafDER []byte, reason int) error {
	return c.revoke(ctx, leafDER, reason, nil)
}

// RevokeWithKey revokes a certificate by its own key, for when the account is lost or the key is known to
// others.
func (c *Client) RevokeWithKey(ctx context.Context, leafDER []byte, reason int, key crypto.Signer) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("revoke-cert: %w", err)
	}
	return c.revoke(ctx, leafDER, reason, &account{key: key})
}

func (c *Client) revoke(ctx context.Context, leafDER []byte, reason int, a *account) error {
	const what = "revoke-cert"
	if reason < 0 || reason > 10 || reason == 7 {
		return fmt.Errorf("%s: %w", what, &Problem{Type: badRevocationReason, Detail: fmt.Sprintf("%d is no reason code", reason)})
	}
	msg := lego.RevokeCertMessage{Certificate: base64.RawURLEncoding.EncodeToString(leafDER)}
	if reason > 0 {
		code := uint(reason)
		msg.Reason = &code
	}
	_, err := c.core(ctx, what, a, func(core *api.Core) error { return core.Certificates.Revoke(msg) })
	if p, ok := errors.AsType[*Problem](err); ok && p.Type == alreadyRevoked {
		return nil
	}
	return err
}

var link = regexp.MustCompile(`<([^<>]*)>\s*;[^,<]*?\brel\s*=\s*"?([a-z]+)"?`)

// links returns the targets of a relation (RFC 8288), absolute.
func (r *reply) links(rel string) []string {
	var found []string
	for _, h := range r.header.Values("Link") {
		for _, m := range link.FindAllStringSubmatch(h, -1) {
			if m[2] != rel {
				continue
			}
			if u, err := url.Parse(m[1]); err == nil {
				found = append(found, r.url.ResolveReference(u).String())
			}
		}
	}
	return found
}

package acme

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	lego "github.com/go-acme/lego/v4/acme"
)

// RenewalInfo is when a CA suggests to renew a certificate (RFC 9773 §4.2). A window in the past means soon.
type RenewalInfo struct {
	Start, End  time.Time
	Explanation string    // URL for the operator, if any
	RetryAfter  time.Time // when to ask again: within a minute and a day (§4.3.2)
}

// NoRenewalInfo says that there is no usable renewal information: renew by the certificate's lifetime, as if
// the CA had none. Never renew because of it.
type NoRenewalInfo struct {
	Reason     error
	RetryAfter time.Time // when to ask again: within a minute and a day; zero: this CA has none to give
}

func (e *NoRenewalInfo) Error() string { return "no renewal information: " + e.Reason.Error() }

func (e *NoRenewalInfo) Unwrap() error { return e.Reason }

const (
	renewalInfoMin   = time.Minute // RFC 9773 §4.3.2
	renewalInfoMax   = 24 * time.Hour
	renewalInfoAgain = 6 * time.Hour // after a long-term error, §4.3.3
	// A window may start this long before the certificate: CAs name "an hour ago" for one that is revoked at once.
	windowSlack = 24 * time.Hour
)

// RenewalInfo asks when to renew a certificate (RFC 9773 §4.1). Every failure is a *NoRenewalInfo: network,
// 404, 5xx, HTML, a window that is missing, inverted or outside of the certificate's lifetime, no Retry-After.
func (c *Client) RenewalInfo(ctx context.Context, leaf *x509.Certificate) (*RenewalInfo, error) {
	id, err := CertID(leaf)
	if err != nil {
		return nil, &NoRenewalInfo{Reason: err}
	}
	ctx, cancel := c.withDeadline(ctx)
	defer cancel()
	d, err := c.directory(ctx)
	if err != nil {
		return nil, noInfo(err)
	}
	if d.RenewalInfo == "" {
		return nil, &NoRenewalInfo{Reason: errors.New("the CA offers none")}
	}
	if err := checkURL(d.RenewalInfo); err != nil {
		return nil, noInfo(err)
	}
	req, err := http.NewRequest(http.MethodGet, d.RenewalInfo+"/"+id, nil)
	if err != nil {
		return nil, noInfo(err)
	}
	r, err := c.send(ctx, req)
	if err != nil {
		return nil, noInfo(err)
	}
	return parseRenewalInfo(r, leaf, time.Now())
}

// noInfo wraps a failure: ask again when the CA says, else after six hours. A rate limit has the bounds of this request, too: a window that moves
// because of a revocation is not missed for a week.
func noInfo(err error) *NoRenewalInfo {
	now := time.Now()
	at := now.Add(renewalInfoAgain)
	if said := RetryAfter(err); !said.IsZero() {
		at = renewalInfoAt(said, now)
	}
	return &NoRenewalInfo{Reason: err, RetryAfter: at}
}

// renewalInfoAt bounds when renewal information is asked for again.
func renewalInfoAt(said, now time.Time) time.Time {
	return now.Add(min(max(said.Sub(now), renewalInfoMin), renewalInfoMax))
}

func parseRenewalInfo(r *reply, leaf *x509.Certificate, now time.Time) (*RenewalInfo, error) {
	var got lego.RenewalInfoResponse
	if err := r.object(&got); err != nil {
		return nil, noInfo(err)
	}
	w := got.SuggestedWindow
	bad := func(format string, args ...any) (*RenewalInfo, error) {
		return nil, noInfo(fmt.Errorf(format, args...))
	}
	const layout = time.RFC3339
	switch {
	case r.status != http.StatusOK:
		return bad("status %d", r.status)
	case r.retryAfter.IsZero():
		return bad("no Retry-After that can be read")
	case w.Start.IsZero() || w.End.IsZero():
		return bad("no window")
	case !w.Start.Before(w.End):
		return bad("the window ends at %s, before it starts", w.End.UTC().Format(layout))
	case w.Start.Before(leaf.NotBefore.Add(-windowSlack)):
		return bad("the window starts at %s, long before the certificate", w.Start.UTC().Format(layout))
	case w.End.After(leaf.NotAfter):
		return bad("the window ends at %s, after the certificate", w.End.UTC().Format(layout))
	}
	return &RenewalInfo{Start: w.Start, End: w.End, Explanation: clean(got.ExplanationURL, 2048), RetryAfter: renewalInfoAt(r.retryAfter, now)}, nil
}

// CertID is a certificate's name in renewal information and in replaces: key identifier of its issuer, serial
// number with the leading zero that DER gives it (RFC 9773 §4.1).
func CertID(leaf *x509.Certificate) (string, error) {
	if len(leaf.AuthorityKeyId) == 0 {
		return "", errors.New("the certificate has no authority key identifier")
	}
	if leaf.SerialNumber == nil || leaf.SerialNumber.Sign() < 0 {
		return "", errors.New("the certificate has no serial number that is not negative")
	}
	der, err := asn1.Marshal(leaf.SerialNumber)
	if err != nil {
		return "", err
	}
	var serial asn1.RawValue
	if _, err := asn1.Unmarshal(der, &serial); err != nil {
		return "", err
	}
	enc := base64.RawURLEncoding
	return enc.EncodeToString(leaf.AuthorityKeyId) + "." + enc.EncodeToString(serial.Bytes), nil
}

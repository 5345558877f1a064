package acme_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// rfc9773 is the certificate of RFC 9773, appendix A. Its dates lie before year 1's end.
const rfc9773 = `-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----
`

func parseDER(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCertID(t *testing.T) {
	block, _ := pem.Decode([]byte(rfc9773))
	if id, err := acme.CertID(parseDER(t, block.Bytes)); err != nil || id != "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE" {
		t.Errorf("%q, error %v", id, err)
	}
	for serial, want := range map[int64]string{1: "AQ", 0x7f: "fw", 0x80: "AIA", 0x0102: "AQI"} {
		c := &x509.Certificate{AuthorityKeyId: []byte{1}, SerialNumber: big.NewInt(serial)}
		if id, err := acme.CertID(c); err != nil || id != "AQ."+want {
			t.Errorf("serial %x: %q, error %v, want AQ.%s", serial, id, err, want)
		}
	}
	for _, bad := range []*x509.Certificate{{SerialNumber: big.NewInt(1)}, {AuthorityKeyId: []byte{1}}, {AuthorityKeyId: []byte{1}, SerialNumber: big.NewInt(-5)}} {
		if id, err := acme.CertID(bad); err == nil {
			t.Errorf("%+v: %q", bad.SerialNumber, id)
		}
	}
}

// Whatever is wrong with renewal information, there is none, and never a reason to renew.
func TestNoRenewalInfo(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		leaf := selfSigned(t, "a.example", nil)
		now := time.Now()
		window := func(start, end time.Duration) string {
			return fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q}}`, now.Add(start).UTC().Format(time.RFC3339), now.Add(end).UTC().Format(time.RFC3339))
		}
		const day = 24 * time.Hour
		for name, c := range map[string]struct {
			status int
			body   string
			again  string // Retry-After
			want   time.Duration
		}{
			"404":                  {404, `{"type":"urn:ietf:params:acme:error:malformed","detail":"no such certificate"}`, "", 6 * time.Hour},
			"404, empty":           {404, "", "", 6 * time.Hour},
			"500":                  {500, `{"type":"urn:ietf:params:acme:error:serverInternal"}`, "", 6 * time.Hour},
			"503 with a time":      {503, "<html>", "7200", 2 * time.Hour},
			"429":                  {429, "", "30", time.Minute},
			"429 for a year":       {429, "", "31536000", day},
			"503 for a year":       {503, "", "31536000", day},
			"302":                  {302, window(day, 2*day), "3600", time.Hour},
			"201":                  {201, window(day, 2*day), "3600", 6 * time.Hour},
			"HTML":                 {200, "<!doctype html><p>hello", "3600", time.Hour},
			"empty":                {200, "", "3600", time.Hour},
			"array":                {200, "[]", "3600", time.Hour},
			"null":                 {200, "null", "3600", time.Hour},
			"no window":            {200, `{}`, "3600", 6 * time.Hour},
			"window of null":       {200, `{"suggestedWindow":null}`, "3600", 6 * time.Hour},
			"window of text":       {200, `{"suggestedWindow":"now"}`, "3600", time.Hour},
			"zero window":          {200, `{"suggestedWindow":{"start":"0001-01-01T00:00:00Z","end":"0001-01-01T00:00:00Z"}}`, "3600", 6 * time.Hour},
			"start alone":          {200, `{"suggestedWindow":{"start":"2000-01-02T00:00:00Z"}}`, "3600", 6 * time.Hour},
			"not times":            {200, `{"suggestedWindow":{"start":"soon","end":"later"}}`, "3600", time.Hour},
			"inverted":             {200, window(2*day, day), "3600", 6 * time.Hour},
			"empty window":         {200, window(day, day), "3600", 6 * time.Hour},
			"far past":             {200, window(-400*day, -399*day), "3600", 6 * time.Hour},
			"from 1970":            {200, `{"suggestedWindow":{"start":"1970-01-01T00:00:00Z","end":"1999-12-31T00:00:00Z"}}`, "3600", 6 * time.Hour},
			"far future":           {200, window(400*day, 401*day), "3600", 6 * time.Hour},
			"ends after it":        {200, window(day, 61*day), "3600", 6 * time.Hour},
			"year 9999":            {200, `{"suggestedWindow":{"start":"2000-01-02T00:00:00Z","end":"9999-12-31T23:59:59Z"}}`, "3600", 6 * time.Hour},
			"no Retry-After":       {200, window(day, 2*day), "", 6 * time.Hour},
			"Retry-After of words": {200, window(day, 2*day), "soon", 6 * time.Hour},
			"Retry-After below 0":  {200, window(day, 2*day), "-5", 6 * time.Hour},
		} {
			f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
				if c.again != "" {
					w.Header().Set("Retry-After", c.again)
				}
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			})
			info, err := f.client(t).RenewalInfo(t.Context(), leaf)
			no, ok := errors.AsType[*acme.NoRenewalInfo](err)
			if !ok || info != nil {
				t.Errorf("%s: %+v, error %v", name, info, err)
				continue
			}
			if got := no.RetryAfter.Sub(now); got != c.want || !acme.RetryAfter(err).Equal(no.RetryAfter) {
				t.Errorf("%s: ask again after %v, want %v (%v)", name, got, c.want, err)
			}
		}
	})
}

func TestRenewalInfo(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		leaf, now := selfSigned(t, "a.example", nil), time.Now()
		for again, want := range map[string]time.Duration{"3600": time.Hour, "1": time.Minute, "0": time.Minute, "864000": 24 * time.Hour, "99999999999999999999": 24 * time.Hour} {
			for _, start := range []time.Duration{-30 * 24 * time.Hour, -time.Hour, 5 * time.Hour} { // a window in the past means soon
				from := now.Add(start).UTC().Truncate(time.Second)
				f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
					if id, _ := acme.CertID(leaf); r.URL.Path != "/ari/"+id || r.Method != http.MethodGet {
						t.Errorf("asked %s %s", r.Method, r.URL.Path)
					}
					w.Header().Set("Retry-After", again)
					fmt.Fprintf(w, `{"suggestedWindow":{"start":%q,"end":%q},"explanationURL":"https://ca.test/why"}`, from.Format(time.RFC3339), from.Add(time.Hour).Format(time.RFC3339))
				})
				info, err := f.client(t).RenewalInfo(t.Context(), leaf)
				if err != nil {
					t.Fatal(err)
				}
				if !info.Start.Equal(from) || !info.End.Equal(from.Add(time.Hour)) || info.Explanation != "https://ca.test/why" || info.RetryAfter.Sub(now) != want {
					t.Errorf("Retry-After %s: %+v", again, info)
				}
			}
		}
	})
}

func TestRenewalInfoOfPebble(t *testing.T) {
	s := start(t, acmetest.Config{Profiles: map[string]acmetest.Profile{"default": {Validity: 90 * 24 * time.Hour}}})
	c := s.registered(t)
	chain, _ := s.issue(t, c, newKey(t), "default", "", "ari.example")
	info, err := c.RenewalInfo(t.Context(), chain[0])
	if err != nil {
		t.Fatal(err)
	}
	if third := chain[0].NotBefore.Add(60 * 24 * time.Hour); third.Before(info.Start) || third.After(info.End) {
		t.Errorf("window %v to %v", info.Start, info.End)
	}
	if err := s.ca.SetRenewalInfo(chain[0].Raw, "not JSON"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RenewalInfo(t.Context(), chain[0]); err == nil {
		t.Error("took what is not JSON")
	}
	if err := s.ca.SetRenewalInfo(chain[0].Raw, ""); err != nil {
		t.Fatal(err)
	}
	if err := c.Revoke(t.Context(), chain[0].Raw, 4); err != nil {
		t.Fatal(err)
	}
	if info, err = c.RenewalInfo(t.Context(), chain[0]); err != nil || !info.End.Before(time.Now()) {
		t.Errorf("after the revocation: %+v, error %v", info, err)
	}
	other := selfSigned(t, "other.example", nil)
	if _, err := c.RenewalInfo(t.Context(), other); err == nil {
		t.Error("renewal information of a certificate that the CA does not know")
	}
	s.proxy.Down(true)
	var no *acme.NoRenewalInfo
	if _, err := c.RenewalInfo(t.Context(), chain[0]); !errors.As(err, &no) || acme.Class(err) != acme.Retry {
		t.Errorf("away: %v", err)
	}
}

//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/rest"
	"github.com/warrenedge/warren/test/lab/canary"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// pendingKeys has an order and a change of the account's key stop where their keys are only stored: the authority fails from here on.
func (c *suite) pendingKeys(authority *acmetest.Proxy) {
	c.t.Helper()
	authority.Set(acmetest.Faults{Fail: 1, Only: []acmetest.Kind{acmetest.Finalize, acmetest.KeyChange}})
	c.warren("cert", "renew", domain)
	c.pending("SELECT count(*) FROM orders WHERE finished_at IS NULL AND sealed_key IS NOT NULL")
	c.warren("issuer", "rollover", "pebble")
	c.pending("SELECT count(*) FROM issuers WHERE sealed_pending_key IS NOT NULL")
}

func (c *suite) pending(query string) {
	c.t.Helper()
	c.until("one row: "+query, func() error {
		if n := c.query(query); len(n) != 1 || n[0] != "1" {
			return fmt.Errorf("%v", n)
		}
		return nil
	})
}

// personSecrets are those of somebody who signs in with a password and an authenticator app.
func (c *suite) personSecrets() (out []canary.Secret) {
	c.t.Helper()
	const password = "canary password of a person 5f1c09"
	link, err := c.Setup()
	c.must(err)
	at, err := url.Parse(link)
	c.must(err)
	browser := c.browser()
	send := func(path, kind, body string) []byte {
		c.t.Helper()
		req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, cluster.PagesURL+path, strings.NewReader(body))
		c.must(err)
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Origin", cluster.PagesURL)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		resp, err := browser.Do(req)
		c.must(err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode/100 != 2 {
			c.t.Fatalf("%s: %s %v: %s", path, resp.Status, err, b)
		}
		return b
	}
	send("/setup", "application/x-www-form-urlencoded", url.Values{"token": {at.Query().Get("token")}, "email": {"ann@example.org"}, "name": {"Ann"}, "password": {password}}.Encode())
	var begun struct{ Secret string }
	c.must(json.Unmarshal(send("/api/v1/me/totp", "application/json", `{"current_password":"`+password+`"}`), &begun))
	home, err := url.Parse(cluster.PagesURL)
	c.must(err)
	for _, cookie := range browser.Jar.Cookies(home) {
		if cookie.Name == rest.SessionCookie { // another one says which organization is looked at
			out = append(out, canary.Text("session", cookie.Value))
		}
	}
	if len(out) != 1 || begun.Secret == "" {
		c.t.Fatalf("%d sessions, app %q", len(out), begun.Secret)
	}
	return append(out, canary.Text("password", password), canary.Text("authenticator app", begun.Secret), canary.Text("setup token", at.Query().Get("token")))
}

// browser is somebody on the administrator's host who keeps cookies.
func (c *suite) browser() *http.Client {
	c.t.Helper()
	b, err := os.ReadFile(c.PagesCA())
	c.must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b)
	jar, err := cookiejar.New(nil)
	c.must(err)
	return &http.Client{Timeout: patience, Jar: jar, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return c.Admin.Dial(ctx, network, netip.MustParseAddrPort("198.18.1.10:443"))
		},
	}}
}

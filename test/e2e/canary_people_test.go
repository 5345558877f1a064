//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/warrenedge/warren/test/lab/canary"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// personSecrets are what a person signs in with and is given: the first administrator at the control plane, who then visits a
// service at a node.
func (c *suite) personSecrets() (out []canary.Secret) {
	c.t.Helper()
	keep := func(name, text string) string {
		if len(text) < 12 {
			c.t.Errorf("no %s: %q", name, text)
		}
		out = append(out, canary.Text(name, text))
		return text
	}
	setup := ""
	c.until("there is a link to set up with", func() (err error) {
		setup, err = c.Setup()
		return err
	})
	link, err := url.Parse(setup)
	c.must(err)
	pages := c.person(netip.MustParseAddrPort("198.18.1.10:443"))
	const email, session = "ann@example.org", "__Host-warren"
	phrase := keep("password", "canary phrase of a person 5f1c09")
	if status, to, body := pages.get(cluster.PagesURL+"/setup", url.Values{"token": {keep("setup token", link.Query().Get("token"))}, "email": {email}, "name": {"Ann"}, "password": {phrase}}); status != http.StatusSeeOther {
		c.t.Fatalf("setting up: %d to %q: %s", status, to, body)
	}
	keep("session", pages.cookies[session])
	pages.get(cluster.PagesURL+"/account/app", url.Values{"current": {phrase}})
	_, _, body := pages.get(cluster.PagesURL+"/account/app", nil)
	key := regexp.MustCompile(`<code class="secret">([A-Z2-7]+)</code>`).FindStringSubmatch(body)
	if key == nil {
		c.t.Fatalf("no secret of an app: %s", body)
	}
	code, err := totp.GenerateCode(keep("TOTP secret", key[1]), time.Now())
	c.must(err)
	_, _, body = pages.get(cluster.PagesURL+"/account/app/confirm", url.Values{"code": {code}})
	for _, m := range regexp.MustCompile(`<li><code>([a-z0-9-]+)</code>`).FindAllStringSubmatch(body, -1) {
		keep("backup code", m[1])
	}
	keep("session with a second factor", pages.cookies[session])

	c.apply("{apiVersion: warren/v1, kind: Policy, metadata: {name: members}, spec: {otherwise: authenticate, auth: {sign_in: {members: true}}}}\n---\n"+
		guarded("wiki", wiki, "members"), "--wait")
	c.until("the service answers", func() error {
		return c.Client.Command("curl", "-sSk", "--max-time", "15", "-o", "/dev/null", "https://"+wiki+"/").Run()
	})
	visitor := c.person(netip.AddrPortFrom(c.Nodes[0].Host.Addr, 443))
	back, callback := "", &url.URL{}
	c.until("the sign-in host sends back to the node", func() error { // one of two, of which one may hear of the service a moment after the node
		_, to, _ := visitor.get("https://"+wiki+"/", nil)
		if !strings.HasPrefix(to, cluster.PagesURL+"/access/authorize?") {
			return fmt.Errorf("sent to %q", to)
		}
		_, back, body = pages.get(to, nil)
		if callback, err = url.Parse(back); err != nil || callback.Host != wiki {
			return fmt.Errorf("sent back to %q, %w: %s", back, err, body)
		}
		return nil
	})
	keep("access code", callback.Query().Get("code"))
	if status, _, body := visitor.get(back, nil); status != http.StatusFound && status != http.StatusSeeOther {
		c.t.Fatalf("the callback: %d %s", status, body)
	}
	keep("access token", visitor.cookies["__Host-warren-access"])
	keep("browser's secret", visitor.cookies["__Host-warren-browser"])
	if status, _, body := visitor.get("https://"+wiki+"/", nil); status != http.StatusOK {
		c.t.Errorf("a visit: %d %s", status, body)
	}
	return out
}

// person is a browser on the client that finds everything at one address.
func (c *suite) person(at netip.AddrPort) *browser {
	return newBrowser(c.t, &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // whose certificates these are is not what is looked for
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return c.Client.Dial(ctx, network, at)
		},
	})
}

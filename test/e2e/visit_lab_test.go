//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/pquerna/otp/totp"
	"golang.org/x/net/websocket"

	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

const (
	wiki, docs = "wiki." + domain, "docs." + domain
	phrase     = "correct horse battery staple 9"
)

// told is what the target is told of who visits.
var told = []string{"Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups", "Warren-Assertion"}

// lively is a target whose pages show what it is told of their visitor, and open a WebSocket that counts as long as it lives.
func (c *suite) lively(s *cluster.Site, addr string, port int) {
	c.t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/live", websocket.Handler(func(ws *websocket.Conn) {
		for n := 1; ; n++ {
			if _, err := io.WriteString(ws, strconv.Itoa(n)); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		who := map[string]string{}
		for _, name := range told {
			who[name] = r.Header.Get(name)
		}
		b, _ := json.Marshal(who)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, `<!doctype html><title>Wiki</title><link rel="icon" href="data:,"><h1>Wiki</h1><p>%s</p><pre id="who">%s</pre><p id="live">0</p>
<script>const s = new WebSocket("wss://" + location.host + "/live"), live = document.getElementById("live")
s.onmessage = e => { live.textContent = e.data }
s.onclose = () => { live.textContent = "closed" }</script>`, html.EscapeString(r.URL.RequestURI()), html.EscapeString(string(b)))
	})
	ln := s.Net.Host(s.Name+"-wiki", addr).Listen(port) // the lab closes it
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: mux}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	c.t.Cleanup(func() { _ = srv.Close(); <-done })
}

// newChromiumOn starts Debian's browser on a host of the lab, with a debugger at a port of it. It asks the host's resolver, and trusts the authorities of the
// cluster and of its pages, as who administers a machine has it; nothing else is overlooked.
func newChromiumOn(c *suite, h *lab.Host, port uint16) *chromium {
	t := c.t
	t.Helper()
	var trusted []string
	for _, file := range []string{c.WebCA(), c.PagesCA()} {
		b, err := os.ReadFile(file)
		c.must(err)
		for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
			trusted = append(trusted, base64.StdEncoding.EncodeToString(block.Bytes))
		}
	}
	rules, err := json.Marshal(map[string]any{"CACertificates": trusted})
	c.must(err)
	h.Etc("chromium/policies/managed/warren.json", string(rules))
	h.Start(fmt.Sprintf("chromium-%d", port), nil, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-default-browser-check",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--password-store=basic", "--no-proxy-server", "--mute-audio",
		fmt.Sprintf("--remote-debugging-port=%d", port), "--user-data-dir="+t.TempDir(), "about:blank")
	// Its debugger listens on the host's loopback.
	at := forward(t, h, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))
	lab.Eventually(t, 2*patience, "Chromium is there", func() error { // as long as one has that chromedp starts
		resp, err := http.Get("http://" + at + "/json/version")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	})
	browser, stop := chromedp.NewRemoteAllocator(t.Context(), "ws://"+at)
	t.Cleanup(stop)
	return newTab(t, browser)
}

// forward brings connections to a port of ours to one of a host.
func forward(t *testing.T, h *lab.Host, to netip.AddrPort) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := h.Dial(t.Context(), "tcp", to)
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
	return l.Addr().String()
}

// counts waits until the WebSocket of the page goes on.
func (c *chromium) counts(when string) {
	c.t.Helper()
	first := -1
	lab.Eventually(c.t, patience, "the WebSocket lives: "+when, func() error {
		var text string
		if err := chromedp.Run(c.ctx, chromedp.Text("#live", &text, chromedp.ByQuery)); err != nil {
			return err
		}
		n, err := strconv.Atoi(text)
		if first < 0 {
			first = n
		}
		if err != nil || n <= first {
			return fmt.Errorf("it says %q", text)
		}
		return nil
	})
}

// visitsAs are the cookies that the browser has of a service; they are the host's alone, and no script sees them.
func (c *chromium) visitsAs(host string) proof {
	c.t.Helper()
	var all []*network.Cookie
	c.do("look at the cookies", chromedp.ActionFunc(func(ctx context.Context) (err error) {
		all, err = storage.GetCookies().Do(ctx)
		return err
	}))
	var has []string
	for _, k := range all {
		if strings.TrimPrefix(k.Domain, ".") != host {
			continue
		}
		if k.Domain != host || !k.HTTPOnly || !k.Secure || k.Path != "/" || !strings.HasPrefix(k.Name, "__Host-") {
			c.t.Errorf("cookie %s of %s: %+v", k.Name, host, k)
		}
		has = append(has, k.Name+"="+k.Value)
	}
	if len(has) == 0 {
		c.t.Errorf("no cookie of %s", host)
	}
	return proof{"Cookie": {strings.Join(has, "; ")}}
}

// shows waits until a page of the target is there, and returns what the target was told of its visitor.
func (c *chromium) shows(what, url string) (who map[string]string) {
	c.t.Helper()
	_, path, _ := strings.Cut(strings.TrimPrefix(url, "https://"), "/")
	c.at(what, url, "/"+path)
	var text string
	c.do("read what the target was told", chromedp.Text("#who", &text, chromedp.ByQuery))
	if err := json.Unmarshal([]byte(text), &who); err != nil {
		c.t.Fatalf("%v: %s", err, text)
	}
	return who
}

// ask sends one request to a node, from the client; more are lines of its header.
func (c *suite) ask(n *cluster.Node, host string, p proof, more string) (net.Conn, *http.Response, error) {
	roots := x509.NewCertPool()
	b, err := os.ReadFile(c.WebCA())
	if err != nil {
		return nil, nil, err
	}
	roots.AppendCertsFromPEM(b)
	raw, err := c.Client.Dial(c.t.Context(), "tcp", netip.AddrPortFrom(n.Host.Addr, 443))
	if err != nil {
		return nil, nil, err
	}
	conn := tls.Client(raw, &tls.Config{RootCAs: roots, ServerName: host})
	_ = conn.SetDeadline(time.Now().Add(patience))
	var fields strings.Builder
	_ = http.Header(p).Write(&fields)
	if _, err := fmt.Fprintf(conn, "GET /live HTTP/1.1\r\nHost: %s\r\n%s%s\r\n", host, fields.String(), more); err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, resp, nil
}

// socket opens a WebSocket at a node, or says how that is refused. It ends when the node ends it.
func (c *suite) socket(n *cluster.Node, host string, p proof) (status int, ended chan time.Time, err error) {
	conn, resp, err := c.ask(n, host, p, "Origin: https://"+host+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")
	if err != nil {
		return 0, nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return resp.StatusCode, nil, conn.Close()
	}
	_ = conn.SetDeadline(time.Time{}) // from here on it is the node that ends it
	c.t.Cleanup(func() { _ = conn.Close() })
	ended = make(chan time.Time, 1)
	go func() {
		_, _ = io.Copy(io.Discard, conn)
		ended <- time.Now()
	}()
	return resp.StatusCode, ended, nil
}

// in opens a WebSocket at every node as soon as that lets the visitor in.
func (c *suite) in(when, host string, p proof) (all []chan time.Time) {
	c.t.Helper()
	for _, n := range c.Nodes {
		c.until(when+": in at "+n.Name, func() error {
			status, ended, err := c.socket(n, host, p)
			if err != nil || ended == nil {
				return fmt.Errorf("answered %d, %w", status, err)
			}
			all = append(all, ended)
			return nil
		})
	}
	return all
}

// out waits until every node refuses the visitor and has ended what he had open, and says how long that took.
func (c *suite) out(what, host string, p proof, open []chan time.Time, since time.Time) {
	c.t.Helper()
	for _, n := range c.Nodes {
		c.until(what+": out at "+n.Name, func() error {
			status, _, err := c.socket(n, host, p)
			if err != nil || status != http.StatusForbidden && status != http.StatusUnauthorized {
				return fmt.Errorf("answered %d, %w", status, err)
			}
			return nil
		})
	}
	refused, closed := time.Since(since), time.Duration(0)
	for _, ended := range open {
		select {
		case at := <-ended:
			closed = max(closed, at.Sub(since))
		case <-time.After(patience):
			c.t.Fatalf("%s: a WebSocket goes on", what)
		}
	}
	c.t.Logf(`{"bench":"revocation","kind":%q,"nodes":%d,"requests_seconds":%.2f,"websockets_seconds":%.2f,"want_seconds_at_most":5}`, what, len(c.Nodes), refused.Seconds(), closed.Seconds())
}

// A person signs in to services of a site, in Debian's browser on a machine of its own, which finds nodes and sign-in host by
// DNS and checks every certificate. Then whatever happens to him and to the control plane shows at every node.
func TestBrowserVisitsAcrossNetworks(t *testing.T) {
	c := newClusterOf(t, cluster.Config{Nodes: 2, Sites: 1})
	c.lively(c.Sites[0], "10.77.1.10", 8080)
	setup := ""
	c.until("there is a link to set up with", func() (err error) {
		setup, err = c.Setup()
		return err
	})

	b := newChromiumOn(c, c.Client, 9222)
	key, backup := b.setsUp(setup)
	const staff, reader = "{apiVersion: warren/v1, kind: Group, metadata: {name: staff}, spec: {users: [%s]}}\n",
		"{apiVersion: warren/v1, kind: Member, metadata: {name: ann@example.org}, spec: {roles: [%s]}}\n"
	c.apply(fmt.Sprintf(staff, "ann@example.org")+`---
{apiVersion: warren/v1, kind: Role, metadata: {name: reader}, spec: {permissions: ["services:read"]}}
---
{apiVersion: warren/v1, kind: Policy, metadata: {name: staff}, spec: {otherwise: authenticate, auth: {sign_in: {groups: [staff]}}}}
---
{apiVersion: warren/v1, kind: Policy, metadata: {name: readers}, spec: {otherwise: authenticate, auth: {sign_in: {roles: [reader]}}}}
---
`+fmt.Sprintf(reader, "owner, reader")+"---\n"+guarded("wiki", wiki, "staff")+"---\n"+guarded("docs", docs, "readers"), "--wait")
	deep := "https://" + wiki + "/deep/link?x=1&y=a%20b"
	code, err := totp.GenerateCode(key, time.Now().Add(30*time.Second))
	c.must(err)
	b.signsIn(deep, code)
	who := b.shows("back at the deep link", deep)
	if who["Remote-User"] != "ann@example.org" || who["Remote-Email"] != "ann@example.org" || who["Remote-Name"] != "Ann" || who["Remote-Groups"] != "staff" {
		t.Errorf("the target is told %v", who)
	}
	c.asserted(who["Warren-Assertion"], wiki)
	b.do("open another service", chromedp.Navigate("https://"+docs+"/"))
	c.asserted(b.shows("without another sign-in", "https://"+docs+"/")["Warren-Assertion"], docs)

	// What he is given and what is taken from him, at both nodes.
	atWiki, atDocs := b.visitsAs(wiki), b.visitsAs(docs)
	for _, k := range []struct {
		what, host string
		p          proof
		kind       string
		less, more string
	}{
		{"group", wiki, atWiki, staff, "", "ann@example.org"},
		{"role", docs, atDocs, reader, "owner", "owner, reader"},
	} {
		open := c.in(k.what, k.host, k.p)
		start := time.Now()
		c.apply(fmt.Sprintf(k.kind, k.less))
		c.out(k.what+" taken", k.host, k.p, open, start)
		c.apply(fmt.Sprintf(k.kind, k.more))
		c.in(k.what+" given back", k.host, k.p)
	}

	// One tab holds a WebSocket open while another one signs out everywhere.
	open := newTab(t, b.ctx)
	open.do("open a page", chromedp.Navigate("https://"+wiki+"/live-page"))
	open.counts("signed in")
	b.do("sign out everywhere", chromedp.Navigate("https://"+wiki+"/.warren/sign-out"), titled("Sign out"), chromedp.Click(`button[name="everywhere"]`),
		chromedp.WaitVisible(`//p[text()="You are signed out everywhere."]`, chromedp.BySearch))
	start := time.Now()
	open.do("the WebSocket is closed", chromedp.WaitVisible(`//p[@id="live"][text()="closed"]`, chromedp.BySearch))
	t.Logf(`{"bench":"revocation","kind":"sign-out in a browser","websockets_seconds":%.2f,"want_seconds_at_most":5}`, time.Since(start).Seconds())
	c.out("sign-out", docs, atDocs, nil, start)

	b.signsIn(deep, backup)
	c.until("back once more", func() error { // a node that has not heard of it yet believes no token of the second in which he went
		var text string
		if err := chromedp.Run(b.ctx, chromedp.Navigate(deep), chromedp.Evaluate("document.body.innerText", &text)); err != nil || !strings.Contains(text, "/deep/link") {
			return fmt.Errorf("%v: %q", err, text)
		}
		return nil
	})
	open.do("open the page again", chromedp.Navigate("https://"+wiki+"/live-page"))
	open.counts("signed in again")
	b.quiet()

	// Without a control plane he goes on, at every page and with what is open; who comes only now is told so.
	for _, p := range c.Control {
		p.Kill()
	}
	b.do("go on", chromedp.Navigate("https://"+wiki+"/later"))
	b.shows("the control plane is gone", "https://"+wiki+"/later")
	open.counts("the control plane is gone")
	fresh := newChromiumOn(c, c.Client, 9223)
	fresh.do("come only now", chromedp.Navigate(deep), titled("Nobody can sign in at this moment"))
	for _, p := range c.Control {
		c.restart(p)
	}
	c.until("it is back", func() error {
		var title string
		if err := chromedp.Run(fresh.ctx, chromedp.Navigate(deep), chromedp.Title(&title)); err != nil || !strings.Contains(title, "Sign in") {
			return fmt.Errorf("%v: %q", err, title)
		}
		return nil
	})
	fresh.do("asked for a password", chromedp.WaitVisible("#password"))
	open.counts("the control plane is back")
}

// guarded is a service with a policy, at the lively target.
func guarded(name, host, policy string) string {
	return strings.Replace(cluster.Service(name, "http", host, "s1", "10.77.1.10", 8080), "pool: default}", "pool: default, policy: "+policy+"}", 1)
}

// setsUp makes the first administrator, gives him an app, and signs out. It returns the app's key and a backup code.
func (c *chromium) setsUp(link string) (key, backup string) {
	c.t.Helper()
	c.do("become the first administrator", chromedp.Navigate(link), titled("Set up"), chromedp.SendKeys("#email", "ann@example.org"), chromedp.SendKeys("#name", "Ann"),
		chromedp.SendKeys("#new-password", phrase), chromedp.Click("form.card button"), chromedp.WaitNotPresent("#new-password", chromedp.ByQuery))
	c.do("add an app", chromedp.Navigate(cluster.PagesURL+"/account"), titled("Your account"), chromedp.SendKeys("#current-app", phrase),
		chromedp.Click(`form[action="/account/app"] button`), titled("Add an authenticator app"), chromedp.WaitVisible("img.qr"), chromedp.Text("code.secret", &key))
	code, err := totp.GenerateCode(key, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	c.do("confirm it", chromedp.SendKeys("#code", code), chromedp.Click("main button"), titled("Your backup codes"), chromedp.Text("main li", &backup, chromedp.ByQuery))
	c.do("sign out", chromedp.Click("header button"), titled("Signed out"))
	return key, strings.TrimSpace(backup)
}

// signsIn follows a link and signs in on the way, at the pages' host.
func (c *chromium) signsIn(link, code string) {
	c.t.Helper()
	var at string
	c.do("follow a link", chromedp.Navigate(link), titled("Sign in"), chromedp.Location(&at))
	if u, err := url.Parse(at); err != nil || "https://"+u.Host != cluster.PagesURL {
		c.t.Errorf("signs in at %s", at)
	}
	c.do("password", chromedp.SendKeys("#email", "ann@example.org"), chromedp.SendKeys("#password", phrase), chromedp.Click("form.card button"), titled("Your code"))
	c.do("second factor", chromedp.SendKeys("#code", code), chromedp.Click("main button"), chromedp.WaitNotPresent("#code", chromedp.ByQuery))
}

// quiet fails if the browser has complained.
func (c *chromium) quiet() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.said) > 0 {
		c.t.Errorf("the browser complains: %s", strings.Join(c.said, "\n"))
	}
}

// asserted checks what a target was sent with the keys that the service shows everybody.
func (c *suite) asserted(assertion, host string) {
	c.t.Helper()
	out, err := c.Client.Command("curl", "-sS", "--fail-with-body", "--max-time", "15", "--cacert", c.WebCA(), "https://"+host+"/.warren/jwks.json").Output()
	c.must(err)
	var keys jose.JSONWebKeySet
	c.must(json.Unmarshal(out, &keys))
	token, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.EdDSA})
	c.must(err)
	var claims jwt.Claims
	c.must(token.Claims(keys, &claims))
	if err := claims.Validate(jwt.Expected{AnyAudience: jwt.Audience{host}, Time: time.Now()}); err != nil {
		c.t.Errorf("%s: %v of %+v", host, err, claims)
	}
}

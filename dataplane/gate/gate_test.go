package gate_test

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/warrenedge/warren/dataplane/page"
	"github.com/warrenedge/warren/dataplane/session"
	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/brand"
	"github.com/warrenedge/warren/shared/policy"
)

// A person follows a deep link, signs in, and is where he wanted to be. The target knows who he is, from fields and from
// an assertion that a stock library verifies; what the node keeps in the browser it does not get.
func TestSigningIn(t *testing.T) {
	n := newNode(t, members(), hello)
	c := n.browser(false)
	resp, body := n.visit(c, "GET", "/docs/a%20b?x=1&y=%2F..", "", "Remote-User", "root@", "remote_groups", "root@", "Warren-Assertion", "@forged")
	if resp.StatusCode != 200 || body != "hello /docs/a%20b?x=1&y=%2F.." || resp.Request.URL.Host != host {
		t.Fatalf("%d %q at %s", resp.StatusCode, body, resp.Request.URL)
	}
	seen := n.got()
	if len(seen) != 1 {
		t.Fatalf("the target got %d requests", len(seen))
	}
	h := seen[0].Header
	for name, want := range map[string]string{"Remote-User": "alice@example.org", "Remote-Email": "alice@example.org", "Remote-Name": "Alice Ä  X-Evil: 1", "Remote-Groups": "staff,ops"} {
		if got := h.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if s := fmt.Sprint(h); strings.Contains(strings.ToLower(s), "__host-warren") || strings.Contains(s, "root@") || strings.Contains(s, "@forged") {
		t.Errorf("the target was sent %s", s)
	}
	resp, body = n.visit(c, "GET", "/.warren/jwks.json", "")
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(body), &set); resp.StatusCode != 200 || err != nil {
		t.Fatal(resp.StatusCode, err)
	}
	token, err := jwt.ParseSigned(h.Get("Warren-Assertion"), []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var claims jwt.Claims
	if err := token.Claims(set, &claims); err != nil {
		t.Fatal(err)
	}
	if err := claims.Validate(jwt.Expected{Issuer: cluster, AnyAudience: jwt.Audience{host}, Subject: "user_1", Time: time.Now()}); err != nil {
		t.Error(err)
	}
	// From here on nobody is asked.
	n.plane.away.Store(true)
	before := n.plane.calls.Load()
	for i := range 100 {
		if resp, _ := n.visit(c, []string{"GET", "POST"}[i%2], "/", strings.Repeat("x", i%2)); resp.StatusCode != 200 {
			t.Fatal(resp.StatusCode)
		}
	}
	if n.plane.calls.Load() != before {
		t.Errorf("%d calls for 100 requests", n.plane.calls.Load()-before)
	}
	// Whoever comes only now is told why he is not taken to sign in, and finds the way back to what he wanted.
	fresh := n.browser(true)
	resp, body = n.visit(fresh, "GET", "/docs/?x=1&y=2", "")
	if resp.StatusCode != 503 || !strings.Contains(body, "Nobody can sign in at this moment") || !strings.Contains(body, `href="/docs/?x=1&amp;y=2"`) ||
		resp.Header.Get("Location") != "" || resp.Header.Get("Retry-After") == "" || len(resp.Cookies()) > 0 {
		t.Errorf("a visitor while the control plane is away: %d %v\n%s", resp.StatusCode, resp.Header, body)
	}
	n.plane.away.Store(false)
	if resp, _ := n.visit(fresh, "GET", "/docs/?x=1&y=2", ""); resp.StatusCode != 302 {
		t.Errorf("once it is back: %d", resp.StatusCode)
	}
}

// Whoever is not a person at a page is told what is missing, and is sent nowhere.
func TestProgramsAreNotRedirected(t *testing.T) {
	n := newNode(t, members(), hello)
	for name, tt := range map[string]struct{ method, fields string }{
		"curl":             {"GET", "Accept: */*"},
		"fetch of a page":  {"GET", "Accept: text/html\nSec-Fetch-Mode: cors"},
		"form":             {"POST", "Accept: text/html"},
		"image":            {"GET", "Accept: image/webp\nSec-Fetch-Mode: no-cors"},
		"gRPC":             {"POST", "Content-Type: application/grpc\nTe: trailers"},
		"bad token":        {"GET", "Accept: */*\nWarren-Access-Token: a.b.c\nWarren-Access-Secret: x"},
		"forged forwarded": {"GET", "Accept: */*\nX-Forwarded-For: 127.0.0.1\nX-Original-Url: /public\nX-Forwarded-Method: OPTIONS\nX-Http-Method-Override: GET"},
	} {
		var fields []string
		for _, f := range strings.Split(tt.fields, "\n") {
			k, v, _ := strings.Cut(f, ": ")
			fields = append(fields, k, v)
		}
		resp, _ := n.visit(n.browser(true), tt.method, "/x", "", fields...)
		if resp.StatusCode != 401 || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Warren ") || len(resp.Cookies()) > 0 {
			t.Errorf("%s: %d %v", name, resp.StatusCode, resp.Header)
		}
	}
	if seen := n.got(); len(seen) > 0 {
		t.Errorf("the target got %d requests", len(seen))
	}
}

// A program without cookies shows a token and its secret.
func TestTokenOfAProgram(t *testing.T) {
	n := newNode(t, members(), hello)
	n.plane.codes["c"] = host + " " + accesstoken.Binding("s3cret")
	token, err := n.plane.Redeem(t.Context(), "c", host, accesstoken.Binding("s3cret"))
	if err != nil {
		t.Fatal(err)
	}
	c := n.browser(true)
	if resp, _ := n.visit(c, "POST", "/api", "x=1", "Accept", "*/*", "Warren-Access-Token", token, "Warren-Access-Secret", "s3cret"); resp.StatusCode != 200 {
		t.Error(resp.StatusCode)
	}
	if resp, _ := n.visit(c, "POST", "/api", "x=1", "Accept", "*/*", "Warren-Access-Token", token, "Warren-Access-Secret", "other"); resp.StatusCode != 401 {
		t.Error(resp.StatusCode)
	}
	for _, r := range n.got() {
		if s := fmt.Sprint(r.Header); strings.Contains(s, "s3cret") || strings.Contains(s, "Warren-Access") {
			t.Errorf("the target was sent %s", s)
		}
	}
}

// What comes back from signing in lets in one browser, once, to where it wanted to go.
func TestT30_CallbackIsForOneBrowserOnce(t *testing.T) {
	n := newNode(t, members(), hello)
	// back follows the flow until the callback, which it does not open.
	back := func(c *http.Client) string {
		resp, _ := n.visit(c, "GET", "/deep", "")
		if resp.StatusCode != 302 || resp.Header.Get("Cache-Control") != "no-store" {
			t.Fatal(resp.StatusCode)
		}
		resp, _ = n.visit(c, "GET", resp.Header.Get("Location"), "")
		return resp.Header.Get("Location")
	}
	victim, attacker := n.browser(true), n.browser(true)
	link := back(attacker)
	if resp, _ := n.visit(victim, "GET", link, ""); resp.StatusCode != 400 || len(resp.Cookies()) > 0 {
		t.Errorf("without a browser's secret: %d", resp.StatusCode)
	}
	own := back(victim)
	if resp, _ := n.visit(victim, "GET", link, ""); resp.StatusCode != 400 || len(resp.Cookies()) > 0 {
		t.Errorf("another browser's: %d", resp.StatusCode)
	}
	mixed, _ := url.Parse(own)
	q, theirs := mixed.Query(), must(url.Parse(link)).Query()
	q.Set("code", theirs.Get("code"))
	mixed.RawQuery = q.Encode()
	if resp, _ := n.visit(victim, "GET", mixed.String(), ""); resp.StatusCode != 400 || len(resp.Cookies()) > 0 {
		t.Errorf("another browser's code: %d", resp.StatusCode)
	}
	n.plane.away.Store(true)
	if resp, _ := n.visit(victim, "GET", own, ""); resp.StatusCode != 503 {
		t.Errorf("control plane away: %d", resp.StatusCode)
	}
	n.plane.away.Store(false)
	resp, _ := n.visit(victim, "GET", own, "")
	if resp.StatusCode != 302 || resp.Header.Get("Location") != "/deep" {
		t.Fatalf("%d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	for _, k := range resp.Cookies() {
		if !strings.HasPrefix(k.Name, "__Host-") || !k.Secure || !k.HttpOnly || k.Path != "/" || k.Domain != "" || k.SameSite != http.SameSiteLaxMode {
			t.Errorf("cookie %s", k)
		}
	}
	if resp, _ := n.visit(victim, "GET", own, ""); resp.StatusCode != 400 {
		t.Errorf("a second time: %d", resp.StatusCode)
	}
	if strings.Contains(n.log.String(), q.Get("code")) {
		t.Error("a code is in the log")
	}
}

// Nothing that a client says leads anywhere else.
func TestNoOpenRedirect(t *testing.T) {
	n := newNode(t, members(), hello)
	for _, evil := range []string{"https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", b64.EncodeToString([]byte("//evil.example"))} {
		for _, target := range []string{"/.warren/callback?code=c&state=", "/.warren/sign-in?to=", "/?next=", "/.warren/sign-in?return_to="} {
			resp, body := n.visit(n.browser(true), "GET", target+url.QueryEscape(evil), "")
			if to := resp.Header.Get("Location"); to != "" && !strings.HasPrefix(to, n.signIn.String()+"/access/authorize?") || strings.Contains(body, "evil.example") {
				t.Errorf("%s%s: %d to %q, %q", target, evil, resp.StatusCode, to, body)
			}
		}
	}
}

var hidden = regexp.MustCompile(`name="to" value="([^"]*)"`)

func TestPINAndPassword(t *testing.T) {
	n := newNode(t, pin(t, "123456"), hello)
	c := n.browser(true)
	resp, body := n.visit(c, "GET", "/deep.link?x=1", "")
	m := hidden.FindStringSubmatch(body)
	if resp.StatusCode != 401 || m == nil || strings.Contains(body, "deep.link") {
		t.Fatalf("%d %q", resp.StatusCode, body)
	}
	csp, sum := resp.Header.Get("Content-Security-Policy"), ""
	if s := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(body); s != nil {
		h := sha256.Sum256([]byte(s[1]))
		sum = strings.TrimRight(b64.EncodeToString(h[:]), "=")
	}
	if plain := strings.NewReplacer("+", "-", "/", "_").Replace(csp); !strings.Contains(plain, "sha256-"+sum) || !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("%s for a style of %s", csp, sum)
	}
	form := func(secret string) string {
		return url.Values{"way": {"pin"}, "to": {html.UnescapeString(m[1])}, "secret": {secret}}.Encode()
	}
	if resp, _ := n.visit(c, "POST", "/.warren/enter", form("123456"), "Sec-Fetch-Site", "cross-site"); resp.StatusCode != 403 {
		t.Errorf("from another site: %d", resp.StatusCode)
	}
	if resp, body := n.visit(c, "POST", "/.warren/enter", form("000000")); resp.StatusCode != 403 || !strings.Contains(body, "not right") || len(resp.Cookies()) > 0 {
		t.Errorf("wrong: %d", resp.StatusCode)
	}
	if resp, _ := n.visit(n.browser(true), "POST", "/.warren/enter", form("123456")); resp.StatusCode != 400 {
		t.Errorf("of another browser: %d", resp.StatusCode)
	}
	resp, _ = n.visit(c, "POST", "/.warren/enter", form("123456"))
	if resp.StatusCode != 302 || resp.Header.Get("Location") != "/deep.link?x=1" {
		t.Fatalf("%d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	if resp, _ := n.visit(c, "GET", "/deep", ""); resp.StatusCode != 200 {
		t.Error(resp.StatusCode)
	}
	seen := n.got()
	if h := seen[len(seen)-1].Header; h.Get("Remote-User")+h.Get("Warren-Assertion")+h.Get("Cookie") != "" {
		t.Errorf("a visitor without a name: %v", h)
	}
	n.apply(pin(t, "654321"))
	if resp, _ := n.visit(c, "GET", "/deep", ""); resp.StatusCode != 401 {
		t.Errorf("with the grant of a PIN that is another now: %d", resp.StatusCode)
	}
}

func pin(t *testing.T, pin string) *policy.Policy {
	t.Helper()
	hash, err := argon2id.CreateHash(pin, &argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	return &policy.Policy{Otherwise: policy.Authenticate, Auth: policy.Auth{PINHash: hash}}
}

// A link's secret goes to the node, and nowhere else.
func TestT13_ShareLinksLeaveNoTrace(t *testing.T) {
	const canary = "canary-7f3a"
	n := newNode(t, &policy.Policy{Otherwise: policy.Authenticate, Auth: policy.Auth{ShareLinks: []policy.Secret{{ID: "link_1", SHA256: policy.HashSecret(canary)}}}}, hello)
	c := n.browser(true)
	if resp, _ := n.visit(c, "GET", "/a?warren_share=wrong&x=1", ""); resp.StatusCode != 403 {
		t.Errorf("another: %d", resp.StatusCode)
	}
	resp, _ := n.visit(c, "GET", "/a?warren_share="+canary+"&x=1", "")
	if resp.StatusCode != 302 || resp.Header.Get("Location") != "/a?x=1" || resp.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	if strings.Contains(fmt.Sprint(resp.Header), canary) {
		t.Errorf("answered %v", resp.Header)
	}
	if resp, body := n.visit(c, "GET", "/a?x=1", ""); resp.StatusCode != 200 || body != "hello /a?x=1" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	for _, r := range n.got() {
		if s := fmt.Sprint(r.URL, r.Header); strings.Contains(s, canary) || strings.Contains(s, "__Host") {
			t.Errorf("the target got %s", s)
		}
	}
	if strings.Contains(n.log.String(), canary) {
		t.Error("it is in the log")
	}
	n.apply(&policy.Policy{Otherwise: policy.Authenticate, Auth: policy.Auth{ShareLinks: []policy.Secret{{ID: "link_2", SHA256: policy.HashSecret("x")}}}})
	if resp, _ := n.visit(c, "GET", "/a", ""); resp.StatusCode == 200 {
		t.Error("let in by a link that was taken back")
	}
}

// Somebody is revoked: what he has open ends, streams and upgraded connections alike, and nothing else opens.
func TestRevocationEndsWhatIsOpen(t *testing.T) {
	n := newNode(t, members(), func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			c, rw, _ := http.NewResponseController(w).Hijack()
			defer c.Close()
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nopen")
			_ = rw.Flush()
			_, _ = io.Copy(io.Discard, rw)
			return
		}
		if r.URL.Path == "/stream" {
			_, _ = io.WriteString(w, "open")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		hello(w, r)
	})
	c := n.browser(false)
	n.visit(c, "GET", "/", "")
	resp, err := c.Get("https://" + host + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	four := make([]byte, 4)
	if _, err := io.ReadFull(resp.Body, four); err != nil || string(four) != "open" {
		t.Fatal(err)
	}
	ws, err := tls.Dial("tcp", n.addr, &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	_ = ws.SetDeadline(time.Now().Add(20 * time.Second))
	cookie := ""
	for _, k := range c.Jar.Cookies(must(url.Parse("https://" + host))) {
		cookie += k.Name + "=" + k.Value + "; "
	}
	_, _ = fmt.Fprintf(ws, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nCookie: %s\r\n\r\n", host, strings.TrimSuffix(cookie, "; "))
	in := bufio.NewReader(ws)
	up, err := http.ReadResponse(in, nil)
	if err != nil || up.StatusCode != 101 {
		t.Fatal(up, err)
	}
	if _, err := io.ReadFull(in, four); err != nil {
		t.Fatal(err)
	}
	n.sessions.Apply(session.Config{Keys: n.sessions.Keys(), Revoked: []session.Revoked{{Session: "session_1"}}})
	n.gate.Apply(*n.config())
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("the stream has ended as if it were whole")
	}
	if _, err := in.ReadByte(); err == nil {
		t.Error("the WebSocket goes on")
	}
	if resp, _ := n.visit(n.with(c), "GET", "/", "", "Accept", "*/*"); resp.StatusCode != 401 {
		t.Errorf("a new request: %d", resp.StatusCode)
	}
}

// Somebody's groups are changed. His next request is judged by what is true now, be it of a page or of a program, and what he
// has open ends if it may not stay. Where the control plane does not answer the node, a page comes back by way of signing in,
// and a program is refused.
func TestChangedGroupsAreSeen(t *testing.T) {
	ops := &policy.Policy{Otherwise: policy.Authenticate, Auth: policy.Auth{SignIn: policy.SignIn{Groups: []string{"extra"}}}}
	n := newNode(t, ops, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			_, _ = io.WriteString(w, "open")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		hello(w, r)
	})
	extra := "extra"
	n.plane.group.Store(&extra)
	changed := func() {
		time.Sleep(2 * time.Microsecond)
		n.sessions.Apply(session.Config{Keys: n.sessions.Keys(), Revoked: []session.Revoked{{Subject: "user_1", Stale: true, Before: time.Now().Add(-time.Microsecond)}}})
		n.gate.Apply(*n.config())
	}
	c := n.browser(false)
	if resp, _ := n.visit(c, "GET", "/", ""); resp.StatusCode != 200 {
		t.Fatal(resp.StatusCode)
	}
	still := n.with(c)
	changed()
	if resp, _ := n.visit(still, "GET", "/page", ""); resp.StatusCode != 302 || !strings.HasPrefix(resp.Header.Get("Location"), n.signIn.String()) {
		t.Errorf("a page, and nobody has renewed the token: %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	if resp, _ := n.visit(still, "GET", "/api", "", "Accept", "*/*"); resp.StatusCode != 401 {
		t.Errorf("a program: %d", resp.StatusCode)
	}
	if resp, body := n.visit(c, "GET", "/page?a=b", ""); resp.StatusCode != 200 || body != "hello /page?a=b" {
		t.Errorf("by way of signing in: %d %q", resp.StatusCode, body)
	}
	n.plane.renew.Store(true)
	changed()
	if resp, _ := n.visit(still, "POST", "/api", "a=b", "Accept", "*/*"); resp.StatusCode != 200 || len(resp.Cookies()) == 0 {
		t.Errorf("what has to wait until he is known again: %d", resp.StatusCode)
	}
	resp, err := c.Get("https://" + host + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n.plane.group.Store(nil)
	changed()
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("the stream has ended as if it were whole")
	}
	if resp, _ := n.visit(still, "GET", "/page", ""); resp.StatusCode != 403 {
		t.Errorf("who is in the group no more: %d", resp.StatusCode)
	}
}

func TestSigningOut(t *testing.T) {
	n := newNode(t, members(), hello)
	c := n.browser(false)
	n.visit(c, "GET", "/", "")
	if resp, body := n.visit(c, "GET", "/.warren/sign-out", ""); resp.StatusCode != 200 || !strings.Contains(body, "everywhere") {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	if resp, _ := n.visit(c, "POST", "/.warren/sign-out", "everywhere=yes", "Sec-Fetch-Site", "cross-site"); resp.StatusCode != 403 || len(n.plane.ended) > 0 {
		t.Errorf("by another site: %d", resp.StatusCode)
	}
	if resp, _ := n.visit(c, "POST", "/.warren/sign-out", "everywhere=yes"); resp.StatusCode != 200 || len(n.plane.ended) != 1 {
		t.Errorf("%d, %d sessions have ended", resp.StatusCode, len(n.plane.ended))
	}
	if left := c.Jar.Cookies(must(url.Parse("https://" + host))); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}

// A cookie that is there twice is none, and a target can neither set ours nor read them.
func TestCookiesAreTheNodesAlone(t *testing.T) {
	n := newNode(t, members(), func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "__Host-warren-browser", Value: "fixed", Path: "/", Secure: true})
		http.SetCookie(w, &http.Cookie{Name: "own", Value: "kept", Path: "/"})
	})
	c := n.browser(false)
	resp, _ := n.visit(c, "GET", "/", "", "Cookie", "mine=1; __host-WARREN-x=2; yours=3")
	if s := fmt.Sprint(resp.Header["Set-Cookie"]); strings.Contains(s, "fixed") || !strings.Contains(s, "own=kept") {
		t.Errorf("set %s", s)
	}
	for _, k := range c.Jar.Cookies(must(url.Parse("https://" + host))) {
		if k.Name == "__Host-warren-access" {
			if resp, _ := n.visit(c, "GET", "/", "", "Accept", "*/*", "Cookie", k.Name+"="+k.Value); resp.StatusCode != 401 {
				t.Errorf("two tokens: %d", resp.StatusCode)
			}
		}
	}
	for _, r := range n.got() {
		if s := strings.Join(r.Header["Cookie"], "; "); strings.Contains(strings.ToLower(s), "warren") {
			t.Errorf("the target got %q", s)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A program of who has signed in shows what it was given in one field. It is good there alone: a browser would send a cookie
// unasked. The target sees nothing of it, but who it is.
func TestProgramOfAUser(t *testing.T) {
	n := newNode(t, members(), hello)
	secret := strings.Repeat("s", 43)
	sign := func(use, aud string) string {
		now := time.Now()
		token, err := accesstoken.Sign(n.plane.key, "k", &accesstoken.Claims{Issuer: cluster, Audience: aud, Subject: "user_1", Session: "session_1", Org: org, Email: "alice@example.org",
			Issued: accesstoken.At(now), Expires: accesstoken.At(now.Add(accesstoken.Life)), Binding: accesstoken.Binding(secret), Use: use})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	token := sign(accesstoken.UseProgram, host)
	c := n.browser(true)
	for name, tt := range map[string]struct {
		fields []string
		want   int
	}{
		"bearer":                        {[]string{"Authorization", "Bearer " + accesstoken.Join(token, secret)}, 200},
		"bearer, however it is written": {[]string{"Authorization", "bEARER " + accesstoken.Join(token, secret)}, 200},
		"in our field":                  {[]string{"Warren-Access-Token", accesstoken.Join(token, secret)}, 200},
		"beside the target's own":       {[]string{"Warren-Access-Token", accesstoken.Join(token, secret), "Authorization", "Bearer of-the-target"}, 200},
		"without the secret":            {[]string{"Authorization", "Bearer " + token}, 401},
		"with another secret":           {[]string{"Authorization", "Bearer " + accesstoken.Join(token, strings.Repeat("x", 43))}, 401},
		"for another host":              {[]string{"Authorization", "Bearer " + accesstoken.Join(sign(accesstoken.UseProgram, "other.example"), secret)}, 401},
		"as a cookie":                   {[]string{"Cookie", "__Host-warren-access=" + token + "; __Host-warren-browser=" + secret}, 401},
		"a browser's as a cookie":       {[]string{"Cookie", "__Host-warren-access=" + sign("", host) + "; __Host-warren-browser=" + secret}, 200},
	} {
		resp, _ := n.visit(c, "POST", "/api", "x=1", append([]string{"Accept", "*/*", "Sec-Fetch-Mode", "cors"}, tt.fields...)...)
		seen := n.got()
		if resp.StatusCode != tt.want || len(resp.Header["Set-Cookie"]) > 0 && tt.want == 200 {
			t.Errorf("%s: %d %v, want %d", name, resp.StatusCode, resp.Header["Set-Cookie"], tt.want)
		}
		for _, r := range seen {
			if s := fmt.Sprint(r.Header); strings.Contains(s, secret) || r.Header.Get("Remote-Email") != "alice@example.org" || strings.Contains(r.Header.Get("Authorization"), "eyJ") {
				t.Errorf("%s: the target was sent %s", name, s)
			}
			if name == "beside the target's own" && r.Header.Get("Authorization") != "Bearer of-the-target" {
				t.Errorf("the target's own is gone: %v", r.Header)
			}
		}
	}
}

// The pages of a policy look as its organization has them.
func TestLookOfTheGate(t *testing.T) {
	n := newNode(t, pin(t, "123456"), hello)
	n.look = page.NewLook(brand.Brand{Name: "Söhne & Co", Accent: "#0a8f3c"})
	n.apply(pin(t, "123456"))
	resp, body := n.visit(n.browser(true), "GET", "/", "")
	if resp.StatusCode != 401 || !strings.Contains(body, "Söhne &amp; Co") || !strings.Contains(body, "#0a8f3c") || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "form-action 'self'") {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
}

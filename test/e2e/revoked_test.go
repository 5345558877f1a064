//go:build e2e

package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab"
)

// upgrading answers requests, and keeps what is upgraded open until the other end closes it.
func upgrading(t *testing.T) (port int) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			_, _ = io.WriteString(w, "a page")
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.Copy(io.Discard, rw)
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().(*net.TCPAddr).Port
}

// nodePorts are where the two nodes serve TLS.
func (v *visited) nodePorts() (ports []string) {
	v.t.Helper()
	for _, name := range []string{"node-1", "node-2"} {
		b, err := os.ReadFile(filepath.Join(v.dir, "state", name+".yaml"))
		if err != nil {
			v.t.Fatal(err)
		}
		m := regexp.MustCompile(`(?m)^\s*https: "?127\.0\.0\.1:(\d+)`).FindSubmatch(b)
		if m == nil {
			v.t.Fatalf("no port in\n%s", b)
		}
		ports = append(ports, string(m[1]))
	}
	return ports
}

// made reads what a command has printed of something that it has made.
func (v *visited) made(into any, printed string) {
	v.t.Helper()
	if err := json.NewDecoder(strings.NewReader(printed)).Decode(into); err != nil {
		v.t.Fatalf("%v of %s", err, printed)
	}
}

// proof is what a visitor shows at each request.
type proof http.Header

func cookiesOf(b *browser) proof {
	var all []string
	for k, v := range b.cookies {
		all = append(all, k+"="+v)
	}
	return proof{"Cookie": {strings.Join(all, "; ")}}
}

// ask sends one request to a node and returns the connection, with the answer that it had.
func (v *visited) ask(port string, p proof, fields string) (net.Conn, *http.Response, error) {
	c, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", port), &tls.Config{ServerName: v.host(), InsecureSkipVerify: true})
	if err != nil {
		return nil, nil, err
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	var b strings.Builder
	_ = http.Header(p).Write(&b)
	if _, err := fmt.Fprintf(c, "GET /page HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n%s%s\r\n", strings.TrimPrefix(v.service, "https://"), b.String(), fields); err != nil {
		return c, nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	return c, resp, err
}

func (v *visited) host() string {
	return strings.Split(strings.TrimPrefix(v.service, "https://"), ":")[0]
}

// status is what a request is answered at a node.
func (v *visited) status(port string, p proof) (int, error) {
	c, resp, err := v.ask(port, p, "Connection: close\r\n")
	if c != nil {
		defer c.Close()
	}
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

// revoked lets a visitor in at both nodes, with a WebSocket open at each, has something taken back, and waits until he is out at
// both. It returns how long each took from before the command.
func (v *visited) revoked(kind string, p proof, take func()) {
	v.t.Helper()
	var closed []chan time.Time
	ports := v.nodePorts()
	for _, port := range ports {
		lab.Eventually(v.t, patience, kind+": the visitor is in at "+port, func() error {
			if status, err := v.status(port, p); err != nil || status != http.StatusOK {
				return fmt.Errorf("answered %d, %w", status, err)
			}
			return nil
		})
		c, resp, err := v.ask(port, p, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			v.t.Fatalf("%s: no WebSocket at %s: %v, %v", kind, port, resp, err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Time{}) // from here on it is the node that ends it
		end := make(chan time.Time, 1)
		go func() {
			_, _ = io.Copy(io.Discard, c)
			end <- time.Now()
		}()
		closed = append(closed, end)
	}
	start := time.Now()
	take()
	figure := map[string]any{"bench": "revocation", "kind": kind, "want_seconds_at_most": 5}
	var requests, sockets float64
	for i, port := range ports {
		lab.Eventually(v.t, patience, kind+": the visitor is out at "+port, func() error {
			if status, err := v.status(port, p); err != nil || status == http.StatusOK {
				return fmt.Errorf("still answered %d, %w", status, err)
			}
			return nil
		})
		requests = max(requests, time.Since(start).Seconds())
		select {
		case at := <-closed[i]:
			sockets = max(sockets, at.Sub(start).Seconds())
		case <-time.After(patience):
			v.t.Errorf("%s: the WebSocket at %s goes on", kind, port)
		}
	}
	figure["requests_seconds"], figure["websockets_seconds"] = fmt.Sprintf("%.2f", requests), fmt.Sprintf("%.2f", sockets)
	line, _ := json.Marshal(figure)
	v.t.Logf("%s", line)
}

// Whatever lets a visitor in, as soon as it is taken back he is out at every node, with what he has open.
func TestRevokedAtEveryNode(t *testing.T) {
	v := newVisited(t)
	port := upgrading(t)
	v.apply(fmt.Sprintf("{apiVersion: warren/v1, kind: Target, metadata: {name: hello}, spec: {service: hello, site: home, address: 127.0.0.1, port: %d}}\n", port))
	home := strings.Split(v.setup, "/setup")[0]
	signIn := func() proof {
		t.Helper()
		if v.control.cookies["__Host-warren"] == "" {
			form := url.Values{"email": {"ann@example.org"}, "password": {"correct horse battery staple 9"}}
			if status, _, body := v.control.get(home+"/sign-in", form); status != http.StatusSeeOther || v.control.cookies["__Host-warren"] == "" {
				t.Fatalf("signing in: %d %s", status, body)
			}
		}
		var b *browser
		lab.Eventually(t, patience, "signed in", func() error {
			b = v.visitor()
			v.signIn(b)
			if status, _, _ := b.get(v.service+"/", nil); status != http.StatusOK {
				return fmt.Errorf("answered %d", status)
			}
			return nil
		})
		return cookiesOf(b)
	}

	v.revoked("session", signIn(), func() {
		if status, _, body := v.control.get(home+"/sign-out", url.Values{"x": {""}}); status != http.StatusOK {
			t.Fatalf("signing out: %d %s", status, body)
		}
	})
	v.revoked("membership", signIn(), func() { v.warren("", "delete", "member", "ann@example.org", "--yes") })
	v.warren("", "create", "member", "ann@example.org", "--roles", "member")

	var link struct{ ID, Path string }
	v.made(&link, v.warren("", "policy", "link", "create", "staff", "for Bob", "-o", "json", "--wait"))
	guest := v.visitor()
	if status, _, body := guest.get(v.service+link.Path, nil); status != http.StatusFound {
		t.Fatalf("a share link: %d %s", status, body)
	}
	v.revoked("share link", cookiesOf(guest), func() { v.warren("", "policy", "link", "revoke", "staff", link.ID, "--yes") })

	var token struct{ ID, Secret string }
	v.made(&token, v.warren("", "policy", "token", "create", "staff", "probe", "-o", "json", "--wait"))
	v.revoked("service token", proof{"Warren-Token-Id": {token.ID}, "Warren-Token-Secret": {token.Secret}}, func() {
		v.warren("", "policy", "token", "revoke", "staff", "probe", "--yes")
	})

	v.revoked("user", signIn(), func() {
		v.apply("{apiVersion: warren/v1, kind: User, metadata: {name: ann@example.org}, spec: {disabled: true}}\n")
	})

	var key struct{ Secret string }
	v.made(&key, v.warren("", "create", "api-key", "ci", "--organization", "default", "-o", "json"))
	calls := func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, home+"/api/v1/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key.Secret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if status := calls(); status != http.StatusOK {
		t.Fatalf("a key: %d", status)
	}
	start := time.Now()
	v.warren("", "delete", "api-key", "ci", "--yes")
	lab.Eventually(t, patience, "the key is worth nothing", func() error {
		if status := calls(); status != http.StatusUnauthorized {
			return fmt.Errorf("answered %d", status)
		}
		return nil
	})
	t.Logf(`{"bench":"revocation","kind":"API key","calls_seconds":%.2f,"want_seconds_at_most":5}`, time.Since(start).Seconds())
	v.interrupt(t)
}

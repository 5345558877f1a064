//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab"
)

// A browser keeps the cookies of one host, follows no redirect and takes http://localhost for secure, as they all do.
type browser struct {
	t       *testing.T
	client  *http.Client
	cookies map[string]string
}

func newBrowser(t *testing.T, tr *http.Transport) *browser {
	t.Cleanup(tr.CloseIdleConnections)
	return &browser{t, &http.Client{
		Transport: tr, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, map[string]string{}}
}

// get asks for a page, or posts a form; it returns the status, where it leads on to, and the page.
func (b *browser) get(to string, form url.Values) (status int, location, body string) {
	b.t.Helper()
	method, content := http.MethodGet, ""
	if form != nil {
		method, content = http.MethodPost, form.Encode()
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, to, strings.NewReader(content))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for k, v := range b.cookies {
		req.AddCookie(&http.Cookie{Name: k, Value: v})
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, c := range resp.Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Location"), string(page)
}

// visited is "warren up" with a policy on its service, which wants people to sign in.
type visited struct {
	*upRun
	t       *testing.T
	dir     string
	service string   // its URL, without a slash at the end
	control *browser // of the first administrator, who has signed in
	setup   string
}

func newVisited(t *testing.T) *visited {
	dir := home(t)
	v := &visited{upRun: startUp(t, "root", dir, "--state-dir", filepath.Join(dir, "state")), t: t, dir: dir}
	link := regexp.MustCompile(`http://localhost:\d+/setup\?token=\S+`).FindString(v.out.String())
	at := regexp.MustCompile(`https://(hello\.[a-z.]+:\d+)/`).FindStringSubmatch(v.out.String())
	if link == "" || at == nil {
		t.Fatalf("no link to set up with, or no service:\n%s", v.out)
	}
	v.setup, v.service = link, "https://"+at[1]
	v.control = newBrowser(t, &http.Transport{})
	v.apply(`{apiVersion: warren/v1, kind: Policy, metadata: {name: staff}, spec: {otherwise: authenticate, auth: {sign_in: {members: true}}}}
---
{apiVersion: warren/v1, kind: Service, metadata: {name: hello}, spec: {kind: http, hostname: ` + strings.Split(at[1], ":")[0] + `, pool: default, policy: staff}}
`)
	page, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"token": {page.Query().Get("token")}, "email": {"ann@example.org"}, "name": {"Ann"}, "password": {"correct horse battery staple 9"}}
	if status, to, body := v.control.get(strings.Split(link, "?")[0], form); status != http.StatusSeeOther || v.control.cookies["__Host-warren"] == "" {
		t.Fatalf("setting up the first administrator: %d to %q, %s", status, to, body)
	}
	if status, _, _ := newBrowser(t, &http.Transport{}).get(strings.Split(link, "?")[0], form); status == http.StatusSeeOther {
		t.Error("the link to set up with is good twice")
	}
	return v
}

// warren returns what a command prints as data.
func (v *visited) warren(stdin string, args ...string) string {
	v.t.Helper()
	cmd := exec.Command(filepath.Join(v.dir, "bin", "warren"), append([]string{"--config", filepath.Join(v.dir, "state", "cli.yaml")}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var words strings.Builder
	cmd.Stderr = &words
	out, err := cmd.Output()
	if err != nil {
		v.t.Fatalf("warren %s: %v\n%s%s", strings.Join(args, " "), err, out, words.String())
	}
	return string(out)
}

func (v *visited) apply(manifest string) {
	v.t.Helper()
	v.warren(manifest, "apply", "--wait", "-f", "-")
}

// visitor is a browser at the service.
func (v *visited) visitor() *browser {
	v.t.Helper()
	pem, err := os.ReadFile(filepath.Join(v.dir, "state", "ca.pem"))
	if err != nil {
		v.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	_, port, _ := strings.Cut(strings.TrimPrefix(v.service, "https://"), ":")
	return newBrowser(v.t, &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
	})
}

// signIn leads a visitor to the control plane, where the administrator has signed in, and back.
func (v *visited) signIn(b *browser) (status int, location string) {
	v.t.Helper()
	status, to, _ := b.get(v.service+"/deep/link?x=1", nil)
	if status != http.StatusFound || !strings.Contains(to, "/access/authorize?") {
		v.t.Fatalf("a stranger is answered %d to %q", status, to)
	}
	status, back, body := v.control.get(to, nil)
	if status != http.StatusFound || !strings.HasPrefix(back, v.service+"/.warren/callback?") {
		v.t.Fatalf("authorize: %d to %q\n%s", status, back, body)
	}
	if other, _, _ := v.visitor().get(back, nil); other == http.StatusFound { // whoever has seen the address of the callback
		v.t.Error("another browser comes in with the code")
	}
	status, location, _ = b.get(back, nil)
	return status, location
}

// isOut waits until a visitor is asked to sign in again.
func (v *visited) isOut(b *browser, why string) {
	v.t.Helper()
	start := time.Now()
	lab.Eventually(v.t, patience, why+": the visitor is out", func() error {
		if status, _, _ := b.get(v.service+"/", nil); status != http.StatusFound {
			return fmt.Errorf("still answered %d", status)
		}
		return nil
	})
	v.t.Logf("%s: out after %v", why, time.Since(start).Round(time.Millisecond))
}

// People visit a service from end to end: sent to sign in, taken back to the page that they wanted, let on while the
// control plane hangs, and out when an administrator says so.
func TestVisitorsSignIn(t *testing.T) {
	v := newVisited(t)
	b := v.visitor()
	if status, to := v.signIn(b); status != http.StatusFound || to != "/deep/link?x=1" {
		t.Fatalf("back from signing in: %d to %q", status, to)
	}
	in := func(when string) {
		t.Helper()
		if status, _, body := b.get(v.service+"/deep/link?x=1", nil); status != http.StatusOK {
			t.Errorf("%s: %d %s", when, status, body)
		}
	}
	in("signed in")
	stranger := v.visitor()
	stranger.cookies["__Host-warren-access"] = b.cookies["__Host-warren-access"]
	if status, _, _ := stranger.get(v.service+"/", nil); status == http.StatusOK {
		t.Error("a token is good without its browser's secret")
	}

	pid := v.controlPlane()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	for range 20 {
		in("the control plane hangs")
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}

	v.warren("", "delete", "member", "ann@example.org", "--yes")
	v.isOut(b, "no member any more")
	v.warren("", "create", "member", "ann@example.org", "--roles", "member")
	// A token tells its second: one of the second in which its user was sent out is not believed.
	lab.Eventually(t, patience, "a member again", func() error {
		b = v.visitor()
		v.signIn(b)
		if status, _, _ := b.get(v.service+"/", nil); status != http.StatusOK {
			return fmt.Errorf("answered %d", status)
		}
		return nil
	})
	v.apply("{apiVersion: warren/v1, kind: User, metadata: {name: ann@example.org}, spec: {disabled: true}}\n")
	v.isOut(b, "disabled")
	var log struct{ Entries int }
	v.made(&log, v.warren("", "audit", "verify", "-o", "json"))
	if log.Entries == 0 {
		t.Error("the audit log is empty")
	}
	v.interrupt(t)
}

// controlPlane is the process that serves the API.
func (v *visited) controlPlane() int {
	v.t.Helper()
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range lines {
		b, err := os.ReadFile(f)
		if err == nil && strings.HasPrefix(string(b), filepath.Join(v.dir, "bin", "warren-control")+"\x00") {
			pid, _ := strconv.Atoi(strings.Split(f, "/")[2])
			return pid
		}
	}
	v.t.Fatal("no control plane is running")
	return 0
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/pquerna/otp/totp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/controlplane/cli"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/rest"
	"github.com/warrenedge/warren/controlplane/signin/passkey/passkeytest"
	"github.com/warrenedge/warren/controlplane/store"
)

// passphrase is what people of scripts sign in with at first.
const passphrase = "correct horse battery staple 17"

// person is whom a script acts as, with a browser in which he is signed in.
type person struct {
	*replica
	id      model.UserID
	email   string
	cookies map[string]string // of the browser
}

type personKey struct{}

func personOf(ts *testscript.TestScript) *person { return ts.Value(personKey{}).(*person) }

// become makes a user with a role in the organization, who chooses a password by a link and signs in in his browser. The command
// line knows no key from then on.
func become(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: person NAME ROLE")
	}
	p, org := personOf(ts), ts.Getenv("ORG")
	p.cookies = map[string]string{}
	ctx := context.Background()
	p.email = args[0] + "@" + org + ".example"
	u, _, err := p.api.CreateUser(ctx, typed.CreateUserParams{}, typed.UserBody{Name: p.email})
	ts.Check(err)
	_, _, err = p.api.CreateMember(ctx, org, typed.CreateMemberParams{}, typed.MemberBody{Name: p.email, Roles: []string{args[1]}})
	ts.Check(err)
	p.id, err = model.UserID{}.Parse(u.ID)
	ts.Check(err)
	l, _, err := p.api.ResetPassword(ctx, p.email)
	ts.Check(err)
	link, err := url.Parse(l.Link)
	ts.Check(err)
	_, err = p.post(link.Path, url.Values{"token": {link.Query().Get("token")}, "password": {passphrase}})
	ts.Check(err)
	p.signIn(ts, passphrase)
	ts.Setenv("EMAIL", p.email)
	ts.Check(os.WriteFile(ts.MkAbs("config.yaml"), fmt.Appendf(nil, "server: %s\norganization: %s\n", p.url, org), 0o600))
}

// signIn begins a session of the browser.
func (p *person) signIn(ts *testscript.TestScript, password string) {
	p.cookies = map[string]string{}
	_, err := p.post("/sign-in", url.Values{"email": {p.email}, "password": {password}})
	ts.Check(err)
	if p.cookies[rest.SessionCookie] == "" {
		ts.Fatalf("%s is not signed in", p.email)
	}
}

// inBrowser has the person sign in in his browser once more.
func inBrowser(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: browser PASSWORD")
	}
	personOf(ts).signIn(ts, args[0])
}

// post sends a form as the browser does.
func (p *person) post(path string, form url.Values) (string, error) {
	return p.send(path, "application/x-www-form-urlencoded", form.Encode())
}

func (p *person) send(path, content, body string) (string, error) {
	req, err := http.NewRequest(http.MethodPost, p.home+path, strings.NewReader(body)) //nolint:noctx // bounded by the client
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", content)
	req.Header.Set("Origin", p.home)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	for name, value := range p.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	client := http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("POST %s: %s: %s", path, resp.Status, b)
	}
	for _, c := range resp.Cookies() {
		p.cookies[c.Name] = c.Value
	}
	return string(b), err
}

// shownCode is what "warren login" asks its user to approve.
var shownCode = regexp.MustCompile(`approve the code (\S+)`)

// approved calls a command that shows a code, has the person approve that in his browser, and wants it to succeed.
func approved(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: approved ARG...")
	}
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	out := &said{}
	root := cli.Root(strings.NewReader(""), out, out)
	root.SetArgs(arguments(ts, args))
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(ctx) }()
	var code []string
	for code == nil {
		if code = shownCode.FindStringSubmatch(out.String()); code != nil {
			break
		}
		select {
		case err := <-ended:
			ts.Fatalf("it ended with %v before it showed a code:\n%s", err, out)
		case <-time.After(20 * time.Millisecond):
		}
	}
	_, err := personOf(ts).post("/device", url.Values{"code": {code[1]}, "answer": {"approve"}})
	ts.Check(err)
	if err := <-ended; err != nil {
		ts.Fatalf("it ended with %v:\n%s", err, out)
	}
	_, _ = ts.Stdout().Write([]byte(out.String()))
}

// appCode makes a variable of the code that an authenticator app shows for the secret in the last standard output.
func appCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: app NAME")
	}
	var app struct{ Secret string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &app))
	code, err := totp.GenerateCode(strings.ReplaceAll(app.Secret, " ", ""), time.Now())
	ts.Check(err)
	ts.Setenv(args[0], code)
}

// addPasskey makes a passkey in the browser, with an authenticator that is none.
func addPasskey(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: passkey NAME PASSWORD")
	}
	p := personOf(ts)
	asked, err := p.post("/account/passkeys/options", url.Values{"current": {args[1]}})
	ts.Check(err)
	options, err := virtualwebauthn.ParseAttestationOptions(asked)
	ts.Check(err)
	at, err := url.Parse(p.home)
	ts.Check(err)
	device := virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: p.id.UUID[:]})
	made := virtualwebauthn.CreateAttestationResponse(virtualwebauthn.RelyingParty{Name: "Warren", ID: at.Hostname(), Origin: p.home}, device,
		passkeytest.Credential(), *options)
	_, err = p.send("/account/passkeys?name="+url.QueryEscape(args[0]), "application/json", made)
	ts.Check(err)
}

// addIdentity makes the person somebody at a provider.
func addIdentity(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: identity PROVIDER")
	}
	p, ctx := personOf(ts), context.Background()
	_, err := p.db.Tx(ctx, "test", func(tx *store.Tx) error {
		provider := model.IdentityProvider{ID: model.IdentityProviderID{}.New(), Name: args[0], Issuer: "https://" + args[0] + ".example", ClientID: "warren"}
		if err := tx.CreateIdentityProvider(ctx, &provider); err != nil {
			return err
		}
		return tx.CreateIdentity(ctx, p.id, model.Identity{Provider: provider.ID, Issuer: provider.Issuer, Subject: p.email})
	})
	ts.Check(err)
}

// columnOf makes a variable of the first value that the last standard output, a list in JSON, has for a field.
func columnOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: first FIELD NAME")
	}
	var items []map[string]any
	d := json.NewDecoder(bytes.NewReader([]byte(ts.ReadFile("stdout"))))
	d.UseNumber()
	ts.Check(d.Decode(&items))
	if len(items) == 0 || items[0][args[0]] == nil {
		ts.Fatalf("no %s in %v", args[0], items)
	}
	ts.Setenv(args[1], fmt.Sprint(items[0][args[0]]))
}

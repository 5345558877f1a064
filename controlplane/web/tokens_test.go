package web

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin"
	"github.com/warrenedge/warren/controlplane/signin/oidc"
	"github.com/warrenedge/warren/controlplane/signin/passkey"
	"github.com/warrenedge/warren/controlplane/store"
)

// kindOfToken is something that signing in gives out and takes back.
type kindOfToken struct {
	life time.Duration
	give func() string
	take func(token string) error // uses it up; a fault of kind NotFound if it is not known
}

// T33: whatever signing in gives out, by mail, to a browser or to a program, is refused with any character another one, at any
// length, when its time is over, in the place of any other kind, and twice.
func TestT33EveryKindOfToken(t *testing.T) {
	r := newRig(t)
	kinds := map[string]kindOfToken{"setup link": {24 * time.Hour, func() string { return must1(t)(signin.NewSetupToken(t.Context(), r.db)) }, func(token string) error {
		_, err := r.signIn.Setup(t.Context(), r.stranger(), token, signin.Person{Email: alice, Name: "Alice", Password: secret})
		return err
	}}}
	r.refuses(t, "setup link", kinds) // and there is alice, by the one that is good

	ctx := t.Context()
	root := access.Principal{Session: model.SessionID{}.New(), Grants: access.Everything()}
	b := r.browser(t)
	b.post("/sign-in", "email", alice, "password", secret)
	_, backup := b.addApp()
	who, err := r.signIn.Who(ctx, b.cookie(sessions))
	if err != nil {
		t.Fatal(err)
	}
	org, invited := r.org(t, "acme"), 0
	p := r.provider(t, &model.IdentityProvider{})
	tokenOf := func(link string) string {
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		return u.Query().Get("token")
	}
	kinds["reset link"] = kindOfToken{30 * time.Minute, func() string {
		link, _, err := r.signIn.ResetLink(ctx, root, alice)
		if err != nil {
			t.Fatal(err)
		}
		return tokenOf(link)
	}, func(token string) error { return r.signIn.Reset(ctx, r.stranger(), token, secret) }}
	kinds["invitation"] = kindOfToken{30 * time.Minute, func() (token string) {
		invited++
		v := &model.Invitation{ID: model.InvitationID{}.New(), Org: org, Email: fmt.Sprintf("bob%d@example.org", invited), Roles: []model.RoleID{model.RoleViewer}}
		if _, err := r.db.Tx(ctx, "test", func(tx *store.Tx) error {
			link, err := r.signIn.NewInvitation(ctx, tx, v)
			token = tokenOf(link)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return token
	}, func(token string) error {
		_, err := r.signIn.Accept(ctx, r.stranger(), token, signin.Person{Name: "Bob", Password: secret})
		return err
	}}
	kinds["device code"] = kindOfToken{10 * time.Minute, func() string {
		d, err := r.signIn.BeginDevice(ctx, r.stranger(), "a laptop")
		if err == nil {
			err = r.signIn.AnswerDevice(ctx, who, r.stranger(), d.UserCode, true)
		}
		return must1(t)(d.Code, err)
	}, func(code string) error { _, err := r.signIn.Device(ctx, r.stranger(), code); return err }}
	kinds["half a sign-in"] = kindOfToken{10 * time.Minute, func() string {
		out, err := r.signIn.Password(ctx, r.stranger(), alice, secret)
		return must1(t)(out.Flow, err)
	}, func(flow string) error {
		_, err := r.signIn.SecondFactor(ctx, r.stranger(), flow, backup[0])
		if err == nil {
			backup = backup[1:]
		}
		return err
	}}
	kinds["passkey's flow"] = kindOfToken{passkey.Life, func() string {
		_, flow, err := r.signIn.BeginPasskey(ctx, r.stranger())
		return must1(t)(flow, err)
	}, func(flow string) error {
		_, err := r.signIn.Passkey(ctx, r.stranger(), flow, []byte("{}"))
		return known(err)
	}}
	kinds["provider's flow"] = kindOfToken{oidc.Life, func() string {
		_, flow, err := r.signIn.BeginOIDC(ctx, r.stranger(), p.ID.String(), "/", nil)
		return must1(t)(flow, err)
	}, func(flow string) error {
		_, err := r.signIn.FinishOIDC(ctx, r.stranger(), flow, url.Values{"state": {"another"}}, nil)
		return known(err)
	}}
	for _, name := range []string{"invitation", "device code", "half a sign-in", "passkey's flow", "provider's flow", "reset link"} { // which ends what alice has
		r.refuses(t, name, kinds)
	}
}

// known makes nothing of a refusal that says that the flow itself was found.
func known(err error) error {
	if fault.Of(err) == fault.NotFound {
		return err
	}
	return nil
}

// refuses tries one kind of token in all ways, and uses a good one.
func (r *rig) refuses(t *testing.T, name string, kinds map[string]kindOfToken) {
	t.Helper()
	k := kinds[name]
	refused := func(how, token string) {
		t.Helper()
		if err := k.take(token); fault.Of(err) != fault.NotFound || err == nil {
			t.Errorf("%s, %s: %v", name, how, err)
		}
	}
	late := k.give()
	r.ahead(k.life)
	refused("over", late)
	r.ahead(-k.life)
	token := k.give()
	for i := range token {
		changed := byte('A')
		if token[i] == changed {
			changed = 'B'
		}
		refused(fmt.Sprintf("character %d changed", i), token[:i]+string(changed)+token[i+1:])
		refused(fmt.Sprintf("%d characters", i), token[:i])
	}
	for _, more := range []string{token + "A", token + "=", "A" + token, token + token, strings.ToLower(token), token + "\x00", "null"} {
		refused("as "+more, more)
	}
	for other, k := range kinds {
		if other != name && other != "setup link" {
			refused("in the place of one: "+other, k.give())
		}
	}
	if err := k.take(token); err != nil {
		t.Errorf("%s as it was given: %v", name, err)
	}
	refused("a second time", token)
}

// ahead sets the clock of the sign-in.
func (r *rig) ahead(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.later += d
}

// stranger calls from an address of its own, so that no limit of attempts is met.
func (r *rig) stranger() signin.Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.strangers++
	return signin.Client{Address: netip.AddrFrom4([4]byte{10, byte(r.strangers >> 16), byte(r.strangers >> 8), byte(r.strangers)})}
}

// must1 returns a value that there has to be.
func must1(t *testing.T) func(string, error) string {
	return func(v string, err error) string {
		t.Helper()
		if err == nil && v == "" {
			err = errors.New("nothing was given")
		}
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

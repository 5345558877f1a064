package visit

import (
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/accesstoken"
)

var office = netip.MustParseAddr("192.0.2.7")

// guests lets in who can read the mail of a domain.
func (f *fixture) guests(mail ...string) Wanted {
	f.t.Helper()
	f.guard(func(p *model.Policy) { p.Mail = mail })
	w, err := f.entrance.Wanted(wanted(host))
	if err != nil {
		f.t.Fatal(err)
	}
	return w
}

func (f *fixture) ask(w Wanted, address string) (flow string) {
	f.t.Helper()
	flow, err := f.entrance.SendCode(f.t.Context(), w, office, address)
	if err != nil {
		f.t.Fatal(err)
	}
	return flow
}

// mailed is the code of the next message.
func (f *fixture) mailed(to string) string {
	f.t.Helper()
	m := f.mail.Next(f.t)
	code := regexp.MustCompile(`[B-Z]{4}-[B-Z]{4}`).FindString(m.Text)
	if m.To != to || code == "" || !strings.Contains(m.Text, "https://"+host) || !strings.Contains(m.Text, office.String()) {
		f.t.Fatalf("%+v", m)
	}
	return code
}

// visits is a token of somebody who was mailed a code.
func (f *fixture) visits(w Wanted, address string) (token string) {
	f.t.Helper()
	to, err := f.entrance.EnterMailed(f.t.Context(), w, office, f.ask(w, address), f.mailed(address))
	if err != nil {
		f.t.Fatal(err)
	}
	token, is := f.redeem(regexp.MustCompile(`code=([A-Z2-7]+)`).FindStringSubmatch(to)[1], host, binding)
	if is != codes.OK {
		f.t.Fatal(is)
	}
	return token
}

func (f *fixture) renew(token string) (string, codes.Code) {
	r, err := f.Renew(f.t.Context(), &nodev1.RenewAccessRequest{Token: token})
	return r.GetToken(), status.Code(err)
}

func TestMailedCodeLetsInOnceInItsBrowser(t *testing.T) {
	f := setup(t)
	w := f.guests("*@example.org", "eve@other.example")
	flow := f.ask(w, "Bob@Example.ORG")
	code := f.mailed("bob@example.org")
	other := w
	other.Binding = accesstoken.Binding("another browser")
	for name, try := range map[string]func() (string, error){
		"in another browser": func() (string, error) { return f.entrance.EnterMailed(t.Context(), other, office, flow, code) },
		"of another flow": func() (string, error) {
			return f.entrance.EnterMailed(t.Context(), w, office, model.MailCodeID{}.New().String(), code)
		},
		"of no flow": func() (string, error) { return f.entrance.EnterMailed(t.Context(), w, office, "x", code) },
		"wrong":      func() (string, error) { return f.entrance.EnterMailed(t.Context(), w, office, flow, "BBBB-BBBB") },
		"nothing":    func() (string, error) { return f.entrance.EnterMailed(t.Context(), w, office, flow, "") },
	} {
		if to, err := try(); !errors.Is(err, ErrCode) && !errors.Is(err, ErrCodeOver) {
			t.Errorf("%s: %q, %v", name, to, err)
		}
	}
	to, err := f.entrance.EnterMailed(t.Context(), w, office, flow, strings.ToLower(strings.Replace(code, "-", " ", 1)))
	if err != nil || !strings.HasPrefix(to, "https://"+host+"/.warren/callback?code=") || !strings.Contains(to, "state=st%26te") {
		t.Fatalf("%q, %v", to, err)
	}
	if _, err := f.entrance.EnterMailed(t.Context(), w, office, flow, code); !errors.Is(err, ErrCodeOver) {
		t.Errorf("a second time: %v", err)
	}
	token, is := f.redeem(regexp.MustCompile(`code=([A-Z2-7]+)`).FindStringSubmatch(to)[1], host, binding)
	if is != codes.OK {
		t.Fatal(is)
	}
	c := f.read(token)
	if c.Subject != "mail:bob@example.org" || c.Email != "bob@example.org" || c.Org != f.org.String() || !slices.Equal(c.Methods, []string{"otp"}) || c.Roles != nil || c.Groups != nil {
		t.Errorf("%+v", c)
	}
	if _, is := f.renew(token); is != codes.OK {
		t.Errorf("renewed: %s", is)
	}
}

// Nobody learns which addresses may: the same is answered, as many guesses are let pass, and nothing is mailed.
func TestWhetherAnAddressMayIsNotTold(t *testing.T) {
	f := setup(t)
	w := f.guests("*@example.org")
	for _, address := range []string{"bob@example.org", "bob@elsewhere.example"} {
		flow := f.ask(w, address)
		for n := 1; n <= mailCodeTries+1; n++ {
			want := ErrCode
			if n >= mailCodeTries {
				want = ErrCodeOver
			}
			if _, err := f.entrance.EnterMailed(t.Context(), w, office, flow, "BBBBBBBB"); !errors.Is(err, want) {
				t.Errorf("%s, guess %d: %v, want %v", address, n, err, want)
			}
		}
	}
	f.mailed("bob@example.org")
	f.ask(w, "carl@example.org") // whatever was mailed before this one would have come
	f.mailed("carl@example.org")
	for _, bad := range []string{"", "bob", "Bob <bob@example.org>", "*@example.org", "a@b\r\nBcc: c@example.org"} {
		if flow, err := f.entrance.SendCode(t.Context(), w, office, bad); err == nil {
			t.Errorf("%q: %s", bad, flow)
		}
	}
}

// However many clients ask, no mailbox is filled; and no client asks for ever.
func TestHowManyCodesAreMailed(t *testing.T) {
	f := setup(t)
	w := f.guests("*@example.org")
	many := func(address func(int) string, from func(int) netip.Addr) (n int) {
		for ; n < 1000; n++ {
			_, err := f.entrance.SendCode(t.Context(), w, from(n), address(n))
			if _, ok := errors.AsType[*signin.TooMany](err); ok {
				return n
			} else if err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	nth := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)}) }
	if n := many(func(int) string { return "bob@example.org" }, nth); n != perAddress.Burst {
		t.Errorf("%d to one address", n)
	}
	if n := many(func(n int) string { return "a" + string(rune('a'+n%26)) + string(rune('a'+n/26)) + "@no.example" }, func(int) netip.Addr { return office }); n != perClient.Burst {
		t.Errorf("%d by one client", n)
	}
}

// A visit ends with its row, with the policy, and with its time; whatever ends it is told to nodes.
func TestAVisitEnds(t *testing.T) {
	f := setup(t)
	w := f.guests("*@example.org")
	ctx := t.Context()
	visitor := func(token string) model.VisitorID {
		id, err := model.VisitorID{}.Parse(f.read(token).Session)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	token := f.visits(w, "bob@example.org")
	id := visitor(token)
	f.tx(func(tx *store.Tx) error { return tx.EndVisitor(ctx, id) })
	if _, is := f.renew(token); is != codes.Unauthenticated {
		t.Errorf("renewed after it was ended: %s", is)
	}
	if !slices.ContainsFunc(slices.Collect(f.follow().Revocations()), func(r *model.AccessRevocation) bool { return r.Session == id.String() && !r.Stale }) {
		t.Error("nodes are not told")
	}

	token = f.visits(w, "bob@example.org")
	if _, err := f.SignOut(ctx, &nodev1.SignOutRequest{Token: token}); err != nil {
		t.Error(err)
	}
	if _, is := f.renew(token); is != codes.Unauthenticated {
		t.Errorf("renewed after signing out: %s", is)
	}

	token = f.visits(w, "bob@example.org")
	f.guests("*@elsewhere.example")
	if _, is := f.renew(token); is != codes.Unauthenticated {
		t.Errorf("renewed although the address may not any more: %s", is)
	}
	f.guests("*@example.org")

	f.tx(func(tx *store.Tx) error {
		return tx.SetSecurity(ctx, model.Security{Org: f.org, MaxSession: model.MinSessionAge})
	})
	token = f.visits(w, "carl@example.org")
	if c := f.read(token); c.Expires.Time().After(time.Now().Add(model.MinSessionAge + time.Second)) {
		t.Errorf("good until %s, longer than a session there", c.Expires.Time())
	}
}

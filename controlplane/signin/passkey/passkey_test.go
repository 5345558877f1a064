package passkey

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/descope/virtualwebauthn"
	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/signin/passkey/passkeytest"
)

const origin = "https://control.example.org"

func ceremonies(t *testing.T, base string) *Ceremonies {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(u)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// device is a virtual authenticator with one credential.
type device struct {
	rp   virtualwebauthn.RelyingParty
	auth virtualwebauthn.Authenticator
	cred virtualwebauthn.Credential
}

func newDevice(handle []byte) *device {
	return &device{
		virtualwebauthn.RelyingParty{Name: "Warren", ID: "control.example.org", Origin: origin},
		virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: handle}), passkeytest.Credential(),
	}
}

func (d *device) register(t *testing.T, options []byte) []byte {
	t.Helper()
	o, err := virtualwebauthn.ParseAttestationOptions(string(options))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(virtualwebauthn.CreateAttestationResponse(d.rp, d.auth, d.cred, *o))
}

func (d *device) assert(t *testing.T, options []byte) []byte {
	t.Helper()
	o, err := virtualwebauthn.ParseAssertionOptions(string(options))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(virtualwebauthn.CreateAssertionResponse(d.rp, d.auth, d.cred, *o))
}

func begun(options []byte, s State, err error) func(*testing.T) ([]byte, State) {
	return func(t *testing.T) ([]byte, State) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return options, s
	}
}

// registered is a user with the passkey of a device.
func registered(t *testing.T, c *Ceremonies) (User, *device) {
	t.Helper()
	id := uuid.New()
	u := User{Handle: id[:], Email: "a@example.org"}
	d := newDevice(u.Handle)
	options, s := begun(c.BeginRegistration(u))(t)
	k, err := c.FinishRegistration(u, s, d.register(t, options))
	if err != nil {
		t.Fatal(err)
	}
	u.Keys = []Key{k}
	d.auth.AddCredential(d.cred)
	return u, d
}

func TestAPasskeyIsMadeAndSignsIn(t *testing.T) {
	c := ceremonies(t, origin+"/")
	u, d := registered(t, c)
	options, s := begun(c.BeginSignIn())(t)
	if !strings.Contains(string(options), `"userVerification":"required"`) || strings.Contains(string(options), "allowCredentials") {
		t.Errorf("options name users, or let them pass unseen: %s", options)
	}
	k, err := c.FinishSignIn(s, d.assert(t, options), func(handle []byte) (User, error) {
		if string(handle) != string(u.Handle) {
			return User{}, fault.New(fault.NotFound, "no such user")
		}
		return u, nil
	})
	if err != nil || string(k.ID) != string(u.Keys[0].ID) {
		t.Fatal(err)
	}
	again, _ := begun(c.BeginRegistration(u))(t)
	if !strings.Contains(string(again), "excludeCredentials") {
		t.Errorf("a device would be asked for a second passkey: %s", again)
	}
}

func TestWhatIsRefused(t *testing.T) {
	c := ceremonies(t, origin)
	u, d := registered(t, c)
	find := func([]byte) (User, error) { return u, nil }
	options, s := begun(c.BeginSignIn())(t)
	_, other := begun(c.BeginSignIn())(t)
	good := d.assert(t, options)
	elsewhere := *d
	elsewhere.rp.Origin = "https://control.example.org.evil.example"
	sibling := *d
	sibling.rp.Origin = "https://wiki.control.example.org"
	site := *d
	site.rp.ID = "example.org"
	plain := *d
	plain.rp.Origin = "http://control.example.org"
	stranger := newDevice(u.Handle)
	stranger.auth.AddCredential(stranger.cred)
	unseen := *d
	unseen.auth.Options.UserNotVerified = true
	mutate := func(from, to string) []byte { return []byte(strings.Replace(string(good), from, to, 1)) }
	for name, tc := range map[string]struct {
		s    State
		said []byte
	}{
		"another challenge":    {other, good},
		"another origin":       {s, elsewhere.assert(t, options)},
		"a service's origin":   {s, sibling.assert(t, options)},
		"without TLS":          {s, plain.assert(t, options)},
		"another site's":       {s, site.assert(t, options)},
		"another key":          {s, stranger.assert(t, options)},
		"nobody was looked at": {s, unseen.assert(t, options)},
		"nothing":              {s, nil},
		"no JSON":              {s, []byte("{")},
		"an empty object":      {s, []byte("{}")},
		"another type":         {s, mutate(`"type":"public-key"`, `"type":"password"`)},
		"cut":                  {s, good[:len(good)-10]},
	} {
		if _, err := c.FinishSignIn(tc.s, tc.said, find); fault.Of(err) != fault.Denied || err.Error() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.FinishSignIn(s, good, func([]byte) (User, error) { return User{}, fault.New(fault.NotFound, "no such user") }); fault.Of(err) != fault.Denied {
		t.Errorf("no such user: %v", err)
	}
	away := fault.New(fault.Unavailable, "the database is away")
	if _, err := c.FinishSignIn(s, good, func([]byte) (User, error) { return User{}, away }); !errors.Is(err, away) {
		t.Errorf("the database is away: %v", err)
	}
	if _, err := c.FinishSignIn(s, good, find); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func TestRegistrationRefuses(t *testing.T) {
	c := ceremonies(t, origin)
	u := User{Handle: []byte("0123456789abcdef"), Email: "a@example.org"}
	d := newDevice(u.Handle)
	options, s := begun(c.BeginRegistration(u))(t)
	_, other := begun(c.BeginRegistration(u))(t)
	elsewhere := *d
	elsewhere.rp.Origin = "https://evil.example"
	for name, tc := range map[string]struct {
		s    State
		said []byte
	}{
		"another challenge": {other, d.register(t, options)}, "another origin": {s, elsewhere.register(t, options)}, "nothing": {s, nil},
	} {
		if _, err := c.FinishRegistration(u, tc.s, tc.said); fault.Of(err) != fault.Denied {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnAddressHasNoPasskeys(t *testing.T) {
	for _, base := range []string{"http://127.0.0.1:7080", "https://[2001:db8::1]"} {
		u, _ := url.Parse(base)
		if _, err := New(u); err == nil {
			t.Errorf("%s: taken", base)
		}
	}
	if c := ceremonies(t, "http://localhost:7080"); c == nil {
		t.Error("localhost has none")
	}
}

func FuzzFinishSignIn(f *testing.F) {
	u, _ := url.Parse(origin)
	c, err := New(u)
	if err != nil {
		f.Fatal(err)
	}
	_, s, err := c.BeginSignIn()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AA","signature":"AA","userHandle":"AA"}}`))
	f.Fuzz(func(t *testing.T, said []byte) {
		if _, err := c.FinishSignIn(s, said, func([]byte) (User, error) { return User{}, fault.New(fault.NotFound, "nobody") }); err == nil {
			t.Error("accepted")
		}
		if !json.Valid(s) {
			t.Error("the state was changed")
		}
	})
}

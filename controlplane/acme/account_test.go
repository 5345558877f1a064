package acme_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/acme/acmetest"
)

func TestExternalAccountBinding(t *testing.T) {
	hmac := base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32))
	wrong := base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte("w"), 32))
	s := start(t, acmetest.Config{EAB: map[string]string{"kid-1": hmac}})
	c := s.client(t, "")
	if d, err := c.Directory(t.Context()); err != nil || !d.ExternalAccountRequired {
		t.Errorf("directory %+v, error %v", d, err)
	}
	for name, bad := range map[string]*acme.EAB{
		"none": nil, "wrong key": {KeyID: "kid-1", HMAC: acme.Secret(wrong)}, "unknown": {KeyID: "kid-2", HMAC: acme.Secret(hmac)}, "not base64": {KeyID: "kid-1", HMAC: "!" + acme.Secret(hmac)},
	} {
		_, err := c.Register(t.Context(), nil, bad, true)
		if err == nil || c.AccountURL() != "" {
			t.Errorf("%s: registered", name)
		} else if strings.Contains(err.Error(), hmac) || strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: the key is in %q", name, err)
		}
	}
	if _, err := c.Register(t.Context(), nil, nil, true); acme.Class(err) != acme.AccountUnusable {
		t.Errorf("without a binding: %v (%v)", err, acme.Class(err))
	}
	if _, err := c.Register(t.Context(), nil, &acme.EAB{KeyID: "kid-1", HMAC: acme.Secret(hmac)}, true); err != nil {
		t.Fatal(err)
	}
	s.issue(t, c, newKey(t), "default", "", "bound.example")
}

func TestRSAAndP384Accounts(t *testing.T) {
	s := start(t, acmetest.Config{AlwaysValid: true})
	k2048, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []acme.Options{{Key: k2048}, {Key: p384}} {
		o.Directory, o.Roots = s.proxy.Directory, s.proxy.Roots
		c, err := acme.New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Register(t.Context(), nil, nil, true); err != nil {
			t.Errorf("%T: %v", o.Key, err)
		}
		if err := c.Rollover(t.Context(), newKey(t)); err != nil {
			t.Errorf("%T: roll over: %v", o.Key, err)
		}
		if _, err := c.NewOrder(t.Context(), []string{"rsa.example"}, "default", ""); err != nil {
			t.Errorf("%T: %v", o.Key, err)
		}
	}
}

func TestNotRegistered(t *testing.T) {
	s := start(t, acmetest.Config{})
	c := s.client(t, "")
	if _, err := c.NewOrder(t.Context(), []string{"a.example"}, "default", ""); acme.Class(err) != acme.AccountUnusable {
		t.Errorf("%v (%v)", err, acme.Class(err))
	}
	if n := s.proxy.Requests()[acmetest.NewOrder]; n != 0 {
		t.Errorf("%d requests without an account", n)
	}
	c = s.client(t, strings.Replace(s.proxy.Directory, "/dir", "/my-account/nobody", 1))
	if _, err := c.NewOrder(t.Context(), []string{"a.example"}, "default", ""); acme.Class(err) != acme.AccountUnusable {
		t.Errorf("an account that the CA does not know: %v (%v)", err, acme.Class(err))
	}
}

func TestRollover(t *testing.T) {
	s := start(t, acmetest.Config{})
	c := s.registered(t)
	account, old := c.AccountURL(), s.key
	work := func(c *acme.Client) error {
		_, err := c.NewOrder(t.Context(), []string{"roll.example"}, "default", "")
		return err
	}
	for name, faults := range map[string][]acmetest.Fault{
		"plain": nil, "reply lost": {acmetest.Lose}, "not sent, then lost": {acmetest.Refuse, acmetest.Lose}, "HTML after": {acmetest.HTMLAfter},
	} {
		s.proxy.Next(acmetest.KeyChange, faults...)
		next := newKey(t)
		err := c.Rollover(t.Context(), next)
		for acme.Class(err) == acme.Retry && err != nil {
			err = c.Rollover(t.Context(), next)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := work(c); err != nil {
			t.Errorf("%s: with the new key: %v", name, err)
		}
		s.key = old
		if err := work(s.client(t, account)); acme.Class(err) != acme.AccountUnusable {
			t.Errorf("%s: with the old key: %v (%v)", name, err, acme.Class(err))
		}
		s.key = next
		if err := work(s.client(t, account)); err != nil {
			t.Errorf("%s: the new key in another process: %v", name, err)
		}
		if err := s.client(t, account).Rollover(t.Context(), next); err != nil {
			t.Errorf("%s: repeated: %v", name, err)
		}
		old = next
	}
	// A process that rolled over and died before it knew goes on with the old key, and finds that it is done.
	next := newKey(t)
	if err := c.Rollover(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	s.key = old
	late := s.client(t, account)
	if err := late.Rollover(t.Context(), next); err != nil {
		t.Errorf("after a crash: %v", err)
	}
	if err := work(late); err != nil {
		t.Errorf("after a crash, with the new key: %v", err)
	}
	// A key that another account has is refused.
	s.key = newKey(t)
	s.registered(t)
	if err := c.Rollover(t.Context(), s.key); err == nil {
		t.Error("took over another account's key")
	}
	if err := work(c); err != nil {
		t.Errorf("after a rollover that was refused: %v", err)
	}
}

// Requests that were signed with the old key are signed anew, and none fails.
func TestRolloverUnderWork(t *testing.T) {
	s := start(t, acmetest.Config{})
	c := s.registered(t)
	stop := make(chan struct{})
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := c.NewOrder(t.Context(), []string{fmt.Sprintf("w%d.example", i)}, "default", ""); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 10 {
		if err := c.Rollover(t.Context(), newKey(t)); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	group.Wait()
}

func TestRevoke(t *testing.T) {
	s := start(t, acmetest.Config{})
	c := s.registered(t)
	key := newKey(t)
	first, _ := s.issue(t, c, key, "default", "", "first.example")
	second, _ := s.issue(t, c, key, "default", "", "second.example")
	s.key = newKey(t)
	stranger := s.registered(t)
	if err := stranger.Revoke(t.Context(), first[0].Raw, 4); acme.Class(err) != acme.Refused {
		t.Errorf("another account's certificate: %v (%v)", err, acme.Class(err))
	}
	if err := stranger.RevokeWithKey(t.Context(), first[0].Raw, 4, newKey(t)); err == nil {
		t.Error("revoked with some key")
	}
	for _, reason := range []int{-1, 7, 11} {
		if err := c.Revoke(t.Context(), first[0].Raw, reason); acme.Class(err) != acme.Terminal {
			t.Errorf("reason %d: %v", reason, err)
		}
	}
	s.proxy.Next(acmetest.Revoke, acmetest.Lose)
	err := c.Revoke(t.Context(), first[0].Raw, 4)
	if acme.Class(err) != acme.Retry {
		t.Errorf("lost: %v", err)
	}
	if err := c.Revoke(t.Context(), first[0].Raw, 4); err != nil {
		t.Errorf("repeated: %v", err)
	}
	// The account is gone; the certificate's key is enough.
	s.key = newKey(t)
	if err := s.client(t, "").RevokeWithKey(t.Context(), second[0].Raw, 1, key); err != nil {
		t.Errorf("with its key: %v", err)
	}
	for i, want := range map[int]int{0: 4, 1: 1} {
		cert := [][]byte{first[0].Raw, second[0].Raw}[i]
		leaf := parseDER(t, cert)
		if revoked, reason, err := s.ca.Revoked(leaf.SerialNumber); err != nil || !revoked || reason != want {
			t.Errorf("%v: revoked %v, reason %d, want %d, error %v", leaf.DNSNames, revoked, reason, want, err)
		}
	}
}

func TestNothingPrintsKeys(t *testing.T) {
	key := newKey(t)
	const secret = acme.Secret("c2VjcmV0LWhtYWMta2V5")
	o := acme.Options{Directory: "https://ca.test/dir", Key: key, AccountURL: "https://ca.test/acct/1"}
	c, err := acme.New(o)
	if err != nil {
		t.Fatal(err)
	}
	eab := acme.EAB{KeyID: "kid", HMAC: secret}
	var out strings.Builder
	for _, v := range []any{o, &o, c, eab, &eab, secret, []acme.Secret{secret}, map[string]any{"a": eab, "o": o}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%T: %v", v, err)
		}
		out.Write(b)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
	}
	d, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, canary := range []string{
		string(secret), fmt.Sprintf("%x", string(secret)), new(big.Int).SetBytes(d).String(), fmt.Sprintf("%x", d), base64.StdEncoding.EncodeToString(d), fmt.Sprintf("%v", d),
	} {
		if strings.Contains(text, canary) {
			t.Errorf("%q is printed", canary)
		}
	}
	if !strings.Contains(text, "ca.test") || !strings.Contains(text, "redacted") {
		t.Error("nothing of use is printed")
	}
}

// What is no profile of the CA's is not asked for, and nothing is left to the CA.
func TestProfiles(t *testing.T) {
	s := start(t, acmetest.Config{Profiles: map[string]acmetest.Profile{"a": {}, "b": {}}})
	c := s.registered(t)
	for _, profile := range []string{"", "c", "A"} {
		_, err := c.NewOrder(t.Context(), []string{"p.example"}, profile, "")
		p, _ := errors.AsType[*acme.Problem](err)
		if acme.Class(err) != acme.Terminal || p == nil || !strings.HasSuffix(p.Type, ":invalidProfile") {
			t.Errorf("profile %q: %v", profile, err)
		}
		if profile == "" && !strings.Contains(err.Error(), "has to name one") {
			t.Errorf("no profile: %v", err)
		}
	}
	if n := s.proxy.Requests()[acmetest.NewOrder]; n != 0 {
		t.Errorf("the CA was asked %d times", n)
	}
	o, err := c.NewOrder(t.Context(), []string{"p.example"}, "b", "")
	if err != nil || o.Profile != "b" {
		t.Errorf("order %+v, error %v", o, err)
	}
}

func TestNamesOfAnOrder(t *testing.T) {
	c := newFake(t, nil).client(t)
	for _, names := range [][]string{nil, {""}, {"192.0.2.1"}, {"a.example", "::1"}, {strings.Repeat("a", 300)}, {"A.example"}, {"a.example."}, {"*.*.example"}, {"bücher.example"}} {
		if _, err := c.NewOrder(t.Context(), names, "", ""); acme.Class(err) != acme.Terminal {
			t.Errorf("%.20v: %v", names, err)
		}
	}
}

package acme_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/acme/acmetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// setup is a Pebble with its DNS, a Proxy before it, and a client of it that has no account yet.
type setup struct {
	ca    *acmetest.CA
	dns   *acmetest.DNS
	proxy *acmetest.Proxy
	key   *ecdsa.PrivateKey
}

func start(t testing.TB, c acmetest.Config) *setup {
	t.Helper()
	s := &setup{dns: acmetest.StartDNS(t), key: newKey(t)}
	c.DNS = s.dns.Addr
	s.ca = acmetest.Start(t, c)
	s.proxy = acmetest.StartProxy(t, s.ca, 7)
	return s
}

// client is a new process's view: it knows key and account URL and nothing else.
func (s *setup) client(t testing.TB, account string) *acme.Client {
	t.Helper()
	c, err := acme.New(acme.Options{Directory: s.proxy.Directory, Roots: s.proxy.Roots, Key: s.key, AccountURL: account, UserAgent: "warren/test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (s *setup) registered(t testing.TB) *acme.Client {
	t.Helper()
	c := s.client(t, "")
	if _, err := c.Register(t.Context(), []string{"mailto:ops@warren.example"}, nil, true); err != nil {
		t.Fatal(err)
	}
	return c
}

func csr(t testing.TB, key crypto.Signer, names ...string) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// poll reads until done says so, obeying Retry-After, else every 20 ms.
func poll[T any](ctx context.Context, read func(context.Context) (T, time.Time, error), done func(T) bool) (T, error) {
	for {
		v, at, err := read(ctx)
		if err != nil || done(v) {
			return v, err
		}
		wait := max(time.Until(at), 20*time.Millisecond)
		select {
		case <-ctx.Done():
			return v, ctx.Err()
		case <-time.After(wait):
		}
	}
}

func readOrder(c *acme.Client, url string) func(context.Context) (*acme.Order, time.Time, error) {
	return func(ctx context.Context) (*acme.Order, time.Time, error) {
		o, err := c.Order(ctx, url)
		if err != nil {
			return nil, time.Time{}, err
		}
		return o, o.RetryAfter, nil
	}
}

func readAuthz(c *acme.Client, url string) func(context.Context) (*acme.Authorization, time.Time, error) {
	return func(ctx context.Context) (*acme.Authorization, time.Time, error) {
		a, err := c.Authorization(ctx, url)
		if err != nil {
			return nil, time.Time{}, err
		}
		return a, a.RetryAfter, nil
	}
}

// prove writes all challenges, initiates all, and waits for all.
func (s *setup) prove(ctx context.Context, c *acme.Client, o *acme.Order) error {
	var initiate []string
	for _, url := range o.Authorizations {
		a, err := c.Authorization(ctx, url)
		if err != nil {
			return err
		}
		ch := a.Challenge(acme.DNS01)
		if a.Status != acme.StatusPending || ch == nil {
			continue
		}
		auth, err := acme.KeyAuthorization(ch.Token, s.key)
		if err != nil {
			return err
		}
		s.dns.Add("_acme-challenge."+a.Name, acme.TXTValue(auth))
		initiate = append(initiate, ch.URL)
	}
	for _, url := range initiate {
		if err := c.Initiate(ctx, url); err != nil {
			return err
		}
	}
	for _, url := range o.Authorizations {
		a, err := poll(ctx, readAuthz(c, url), func(a *acme.Authorization) bool { return a.Status != acme.StatusPending })
		if err != nil {
			return err
		}
		if err := a.Err(); err != nil {
			return err
		}
	}
	return nil
}

// issue is the whole path for names.
func (s *setup) issue(t testing.TB, c *acme.Client, key crypto.Signer, profile, replaces string, names ...string) ([]*x509.Certificate, []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o, err := c.NewOrder(ctx, names, profile, replaces)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.prove(ctx, c, o); err != nil {
		t.Fatal(err)
	}
	if o, err = poll(ctx, readOrder(c, o.URL), func(o *acme.Order) bool { return o.Status != acme.StatusPending }); err != nil || o.Status != acme.StatusReady {
		t.Fatalf("order %+v, error %v", o, err)
	}
	if o, err = c.Finalize(ctx, o, csr(t, key, names...)); err != nil {
		t.Fatal(err)
	}
	if o.Status != acme.StatusValid {
		if o, err = poll(ctx, readOrder(c, o.URL), func(o *acme.Order) bool { return o.Status != acme.StatusProcessing }); err != nil {
			t.Fatal(err)
		}
	}
	chain, alternates, err := c.Certificate(ctx, o.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, chain), alternates
}

func parse(t testing.TB, chain []byte) (certs []*x509.Certificate) {
	t.Helper()
	for b, rest := pem.Decode(chain); b != nil; b, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, c)
	}
	return certs
}

func verify(t testing.TB, ca *acmetest.CA, root int, chain []*x509.Certificate, name string) {
	t.Helper()
	roots, err := ca.IssuerRoots(root)
	if err != nil {
		t.Fatal(err)
	}
	middle := x509.NewCertPool()
	for _, c := range chain[1:] {
		middle.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: middle}); err != nil {
		t.Error(err)
	}
}

func TestIssueApexAndWildcard(t *testing.T) {
	s := start(t, acmetest.Config{AlternateRoots: 1, Strict: true, Profiles: map[string]acmetest.Profile{
		"classic": {Description: "90 days", Validity: 90 * 24 * time.Hour}, "short": {Description: "6 days", Validity: 6 * 24 * time.Hour},
	}})
	c := s.client(t, "")
	d, err := c.Directory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !d.RenewalInfo || d.ExternalAccountRequired || d.Profiles["short"] != "6 days" || !slices.Equal(d.CAAIdentities, []string{"pebble.letsencrypt.org"}) || d.Terms == "" {
		t.Errorf("directory %+v", d)
	}
	account, err := c.Register(t.Context(), []string{"mailto:ops@warren.example"}, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.client(t, "").Register(t.Context(), nil, nil, true); err != nil || again != account || c.AccountURL() != account {
		t.Errorf("registered again as %q, error %v; the client has %q; want %q", again, err, c.AccountURL(), account)
	}
	key := newKey(t)
	chain, alternates := s.issue(t, c, key, "short", "", "warren.example", "*.warren.example")
	leaf := chain[0]
	if names := slices.Sorted(slices.Values(leaf.DNSNames)); !slices.Equal(names, []string{"*.warren.example", "warren.example"}) {
		t.Errorf("names %v", names)
	}
	if life := leaf.NotAfter.Sub(leaf.NotBefore).Round(time.Hour); life != 6*24*time.Hour {
		t.Errorf("it lives for %v: the profile was not named", life)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		t.Error("not our key")
	}
	verify(t, s.ca, 0, chain, "a.warren.example")
	if len(alternates) != 1 {
		t.Fatalf("alternates %v", alternates)
	}
	other, _, err := c.Certificate(t.Context(), alternates[0])
	if err != nil {
		t.Fatal(err)
	}
	verify(t, s.ca, 1, parse(t, other), "warren.example")
	if v := append(s.proxy.Violations(), s.proxy.EarlyPolls()...); len(v) != 0 {
		t.Errorf("requests inside of a Retry-After: %v", v)
	}
	t.Log(s.proxy)
}

// The set-up that other tests use: servers that know the challenges, a resolver with a cache before them.
func TestIssueThroughResolver(t *testing.T) {
	s, second := &setup{dns: acmetest.StartDNS(t), key: newKey(t)}, acmetest.StartDNS(t)
	resolver := acmetest.StartResolver(t, []string{"cached.example"}, netip.MustParseAddrPort(s.dns.Addr), netip.MustParseAddrPort(second.Addr))
	s.ca = acmetest.Start(t, acmetest.Config{DNS: resolver})
	s.proxy = acmetest.StartProxy(t, s.ca, 7)
	c := s.registered(t)
	o, err := c.NewOrder(t.Context(), []string{"both.cached.example"}, "default", "")
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Authorization(t.Context(), o.Authorizations[0])
	if err != nil {
		t.Fatal(err)
	}
	auth, err := acme.KeyAuthorization(a.Challenge(acme.DNS01).Token, s.key)
	if err != nil {
		t.Fatal(err)
	}
	second.Add("_acme-challenge.both.cached.example", acme.TXTValue(auth)) // the first gets it from prove
	if err := s.prove(t.Context(), c, o); err != nil {
		t.Error(err)
	}
	if n := s.dns.Asked("_acme-challenge.both.cached.example") + second.Asked("_acme-challenge.both.cached.example"); n == 0 {
		t.Error("no server was asked")
	}
}

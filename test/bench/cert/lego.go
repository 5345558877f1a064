package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	stdlog "log"
	"net/http"
	"os"
	"time"

	"github.com/go-acme/lego/v4/certcrypto"
	"github.com/go-acme/lego/v4/certificate"
	"github.com/go-acme/lego/v4/challenge"
	"github.com/go-acme/lego/v4/challenge/dns01"
	"github.com/go-acme/lego/v4/lego"
	"github.com/go-acme/lego/v4/log"
	"github.com/go-acme/lego/v4/registration"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
)

// theirs orders with lego's Certificate.Obtain. Whatever can be taken off it is: it looks at no DNS itself, and
// its provider says that records are there at once.
type theirs struct {
	*counter
	client *lego.Client
}

type user struct {
	key crypto.PrivateKey
	reg *registration.Resource
}

func (u *user) GetEmail() string                        { return "" }
func (u *user) GetRegistration() *registration.Resource { return u.reg }
func (u *user) GetPrivateKey() crypto.PrivateKey        { return u.key }

// provider writes challenges to the DNS of the bench, where they are at once.
type provider struct{ dns *acmetest.DNS }

func (p *provider) Present(domain, _, keyAuth string) error {
	info := dns01.GetChallengeInfo(domain, keyAuth)
	p.dns.Add(info.EffectiveFQDN, info.Value)
	return nil
}

func (p *provider) CleanUp(string, string, string) error { return nil }

func (p *provider) Timeout() (timeout, interval time.Duration) {
	return time.Minute, time.Millisecond
}

// newLego registers an account; there says whether challenges that p has written are answered.
func newLego(directory string, through *counter, p challenge.Provider, there dns01.WrapPreCheckFunc) (*theirs, error) {
	log.Logger = stdlog.New(io.Discard, "", 0)
	if err := os.Setenv("LEGO_DISABLE_CNAME_SUPPORT", "true"); err != nil { // else it asks the system's resolvers
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &theirs{counter: through}
	u := &user{key: key}
	c := lego.NewConfig(u)
	c.CADirURL, c.HTTPClient, c.Certificate.KeyType = directory, &http.Client{Transport: t.counter}, certcrypto.EC256
	if t.client, err = lego.NewClient(c); err != nil {
		return nil, err
	}
	if err := t.client.Challenge.SetDNS01Provider(p, dns01.WrapPreCheck(there)); err != nil {
		return nil, err
	}
	u.reg, err = t.client.Registration.Register(registration.RegisterOptions{TermsOfServiceAgreed: true})
	return t, err
}

func atOnce(string, string, string, dns01.PreCheckFunc) (bool, error) { return true, nil }

func (t *theirs) order(_ context.Context, names []string) error { // it has no context
	_, err := t.client.Certificate.Obtain(certificate.ObtainRequest{Domains: names, Bundle: true, Profile: "default"})
	return err
}

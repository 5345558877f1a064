package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/acme/acmetest"
)

// counter counts what goes through a transport.
type counter struct {
	http.RoundTripper
	n atomic.Int64
}

func newCounter(roots *x509.CertPool) *counter { return newCounterFrom(roots, nil) }

// newCounterFrom counts what is sent over connections that dial opens; nil: as the program does.
func newCounterFrom(roots *x509.CertPool, dial func(ctx context.Context, network, address string) (net.Conn, error)) *counter {
	return &counter{RoundTripper: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DialContext: dial, ForceAttemptHTTP2: true,
	}}
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

func (c *counter) requests() int { return int(c.n.Load()) }

// ours orders with controlplane/acme: all challenges are written, then initiated, then polled together.
type ours struct {
	*counter
	client *acme.Client
	key    *ecdsa.PrivateKey
	dns    *acmetest.DNS
}

func newOurs(ctx context.Context, ca *acmetest.CA, dns *acmetest.DNS) (*ours, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	o := &ours{counter: newCounter(ca.Roots), key: key, dns: dns}
	if o.client, err = acme.New(acme.Options{Directory: ca.Directory, Key: key, Transport: o.counter}); err != nil {
		return nil, err
	}
	_, err = o.client.Register(ctx, nil, nil, true)
	return o, err
}

func (o *ours) order(ctx context.Context, names []string) error {
	order, err := again(ctx, func() (*acme.Order, error) { return o.client.NewOrder(ctx, names, "default", "") })
	if err != nil {
		return err
	}
	if err := o.prove(ctx, order); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
	if err != nil {
		return err
	}
	url := order.URL
	if order, err = again(ctx, func() (*acme.Order, error) { return o.client.Finalize(ctx, order, csr) }); err != nil {
		return err
	}
	err = poll(ctx, func() (bool, time.Time, error) {
		if order.Status != acme.StatusProcessing {
			return true, time.Time{}, nil
		}
		if order, err = again(ctx, func() (*acme.Order, error) { return o.client.Order(ctx, url) }); err != nil {
			return false, time.Time{}, err
		}
		return order.Status != acme.StatusProcessing, order.RetryAfter, nil
	})
	if err != nil || order.Status != acme.StatusValid {
		return fmt.Errorf("order is %s: %w", order.Status, err)
	}
	_, err = again(ctx, func() ([]byte, error) {
		chain, _, err := o.client.Certificate(ctx, order.Certificate)
		return chain, err
	})
	return err
}

func (o *ours) prove(ctx context.Context, order *acme.Order) error {
	var initiate []string
	for _, url := range order.Authorizations {
		a, err := again(ctx, func() (*acme.Authorization, error) { return o.client.Authorization(ctx, url) })
		if err != nil {
			return err
		}
		ch := a.Challenge(acme.DNS01)
		if ch == nil {
			return fmt.Errorf("%s: no %s", a.Name, acme.DNS01)
		}
		auth, err := acme.KeyAuthorization(ch.Token, o.key)
		if err != nil {
			return err
		}
		o.dns.Add("_acme-challenge."+a.Name, acme.TXTValue(auth))
		initiate = append(initiate, ch.URL)
	}
	for _, url := range initiate {
		if _, err := again(ctx, func() (any, error) { return nil, o.client.Initiate(ctx, url) }); err != nil {
			return err
		}
	}
	for _, url := range order.Authorizations {
		err := poll(ctx, func() (bool, time.Time, error) {
			a, err := again(ctx, func() (*acme.Authorization, error) { return o.client.Authorization(ctx, url) })
			if err != nil {
				return false, time.Time{}, err
			}
			return a.Status != acme.StatusPending, a.RetryAfter, a.Err()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// again asks once more where nobody has refused anything, as the worker does above the client: with half of the nonces rejected, one call
// in some hundreds meets no good one in all its tries.
func again[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	for wait := 100 * time.Millisecond; ; wait *= 2 {
		v, err := ask()
		if acme.Class(err) != acme.Retry || wait > time.Second || !rest(ctx, wait) {
			return v, err
		}
	}
}

// rest waits; false: ctx has ended.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// poll asks again when the CA says, else after 50 ms, 100 ms …
func poll(ctx context.Context, ask func() (bool, time.Time, error)) error {
	for wait := 50 * time.Millisecond; ; wait *= 2 {
		done, at, err := ask()
		if done || err != nil {
			return err
		}
		if !rest(ctx, max(wait, time.Until(at))) {
			return ctx.Err()
		}
	}
}

package orders

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// account is how an issuer is asked.
type account struct {
	ca  CA
	key crypto.Signer // signs, and is part of what challenges are answered with

	url       string // of the row that it was made from, as the rest
	sealed    []byte
	rootsPEM  []byte
	directory string
	close     func()
}

// accounts keeps an account for each issuer. Keys and accounts that are not there are made: the key is stored
// before the authority hears of it, and registering finds the account that a key has, so that no replica ever
// makes a second one.
type accounts struct {
	store     *store.Store
	sealer    *authority.Sealer
	userAgent string
	pauses    *pauses
	wrap      func(CA) CA // nil, or what tests put around clients

	around func(model.IssuerID, http.RoundTripper) http.RoundTripper // nil, or what tests put around requests

	mu   sync.Mutex
	open map[model.IssuerID]*account // guarded by mu
}

// of returns the account at an issuer.
func (a *accounts) of(ctx context.Context, i *model.Issuer) (*account, error) {
	a.mu.Lock()
	have := a.open[i.ID]
	a.mu.Unlock()
	if have != nil && have.url == i.AccountURL && have.directory == i.DirectoryURL && bytes.Equal(have.sealed, i.SealedAccountKey) && bytes.Equal(have.rootsPEM, i.RootsPEM) {
		return have, nil
	}
	next, err := a.make(ctx, i)
	if err != nil {
		return nil, fmt.Errorf("account at %s: %w", i.Name, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.open[i.ID]; old != nil {
		old.close() // of what is idle: it may still be in use
	}
	a.open[i.ID] = next
	return next, nil
}

func (a *accounts) make(ctx context.Context, i *model.Issuer) (*account, error) {
	sealed, err := a.key(ctx, i)
	if err != nil {
		return nil, err
	}
	keyPEM, err := a.sealer.Open(sealed, i.ID.String())
	if err != nil {
		return nil, err
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	var roots *x509.CertPool
	if len(i.RootsPEM) > 0 {
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(i.RootsPEM) {
			return nil, fmt.Errorf("roots: no certificate in them")
		}
	}
	tr := acme.Transport(roots)
	var way http.RoundTripper = patient{tr, i.ID, a.pauses}
	if a.around != nil {
		way = a.around(i.ID, way)
	}
	c, err := acme.New(acme.Options{Directory: i.DirectoryURL, Key: key, AccountURL: i.AccountURL, UserAgent: a.userAgent, Transport: way})
	if err != nil {
		return nil, err
	}
	url := i.AccountURL
	if url == "" {
		if url, err = a.register(ctx, i, c); err != nil {
			tr.CloseIdleConnections()
			return nil, err
		}
	}
	if i.DirectoryRead.IsZero() { // before the first order, whose pre-flight asks whether CAA permits this authority
		if err := learn(ctx, a.store, i, c, time.Now()); err != nil {
			tr.CloseIdleConnections()
			return nil, err
		}
	}
	out := &account{ca: steady{c, i.ID, a.pauses}, key: key, url: url, sealed: sealed, rootsPEM: i.RootsPEM, directory: i.DirectoryURL, close: tr.CloseIdleConnections}
	if a.wrap != nil {
		out.ca = a.wrap(out.ca)
	}
	return out, nil
}

// forget has the account at an issuer made anew, from its row.
func (a *accounts) forget(id model.IssuerID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.open[id]; old != nil {
		old.close()
		delete(a.open, id)
	}
}

// key returns the sealed key of the account; the first replica to ask makes it.
func (a *accounts) key(ctx context.Context, i *model.Issuer) (sealed []byte, err error) {
	if i.SealedAccountKey != nil {
		return i.SealedAccountKey, nil
	}
	_, keyPEM, err := newKey(model.ECDSA)
	if err != nil {
		return nil, err
	}
	fresh, err := a.sealer.Seal(keyPEM, i.ID.String())
	if err != nil {
		return nil, err
	}
	_, err = a.store.Tx(ctx, actor, func(tx *store.Tx) error {
		now, err := tx.LockIssuer(ctx, i.ID)
		if err != nil {
			return err
		}
		if sealed = now.SealedAccountKey; sealed == nil {
			sealed = fresh
			return tx.SetAccountKeys(ctx, i.ID, fresh, now.SealedPendingKey)
		}
		return nil
	})
	return sealed, err
}

func (a *accounts) register(ctx context.Context, i *model.Issuer, c *acme.Client) (string, error) {
	var eab *acme.EAB
	if i.EABKeyID != "" {
		mac, err := a.sealer.Open(i.SealedEABKey, i.EABRow())
		if err != nil {
			return "", err
		}
		eab = &acme.EAB{KeyID: i.EABKeyID, HMAC: acme.Secret(base64.RawURLEncoding.EncodeToString(mac))} // the row has its bytes
	}
	url, err := again(ctx, steady{issuer: i.ID, pauses: a.pauses}, func() (string, error) { return c.Register(ctx, i.Contacts, eab, true) })
	if err != nil {
		return "", err
	}
	_, err = a.store.Tx(ctx, actor, func(tx *store.Tx) error { return tx.SetAccountURL(ctx, i.ID, url) })
	return url, err
}

// Close drops connections.
func (a *accounts) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, x := range a.open {
		x.close()
		delete(a.open, id)
	}
}

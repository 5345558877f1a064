package orders

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// revoke asks for a revocation, and for a successor, as an operator does.
func (r *rig) revoke(t *testing.T, c *model.Certificate, reason model.RevocationReason) *x509.Certificate {
	t.Helper()
	b, _ := pem.Decode(c.ChainPEM)
	leaf, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	r.tx(t, func(tx *store.Tx) error {
		v := &model.Revocation{Certificate: c.ID, Org: c.Org, Managed: c.Managed, Issuer: c.Issuer, Leaf: leaf.Raw, Reason: reason, NotAfter: c.NotAfter, NextAttempt: time.Now()}
		if err := tx.CreateRevocation(t.Context(), v); err != nil {
			return err
		}
		m, err := tx.LockManagedCertificate(t.Context(), c.Managed)
		if err != nil {
			return err
		}
		m.NextAttempt = time.Now()
		return tx.UpdateManagedCertificate(t.Context(), m)
	})
	return leaf
}

func (r *rig) revoked(t *testing.T, leaf *x509.Certificate) (bool, int) {
	t.Helper()
	yes, reason, err := r.pebble.Revoked(leaf.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	return yes, reason
}

func (r *rig) untilRevoked(t *testing.T, c *model.Certificate) {
	t.Helper()
	r.until(t, "the revocation", 30*time.Second, func(tx *store.Tx) (bool, error) {
		v, err := tx.GetRevocation(t.Context(), c.ID)
		return err == nil && !v.Revoked.IsZero(), err
	})
}

// What is revoked is replaced first, on all nodes; the authority is asked until it has done it, though it loses answers and fails. A key
// that others know is not waited with.
func TestRevocation(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	fleet := &nodes{}
	o := r.options("a")
	o.Fleet = fleet
	w, _ := r.run(t, o)
	r.publish(t, "v.test")
	first := r.served(t, 1, 30*time.Second)["*.v.test"]

	fleet.set("n1") // does not have the new one
	leaf := r.revoke(t, first, model.Superseded)
	w.Replan()
	r.until(t, "the successor", 30*time.Second, func(tx *store.Tx) (bool, error) {
		v, err := tx.GetRevocation(t.Context(), first.ID)
		if err != nil {
			return false, err
		}
		c, err := tx.GetCertificate(t.Context(), first.ID)
		return err == nil && !c.SupersededBy.IsZero() && v.Problem != "", err
	})
	if yes, _ := r.revoked(t, leaf); yes {
		t.Error("revoked while a node has nothing else")
	}
	r.proxy.Next(acmetest.Revoke, acmetest.Fail, acmetest.Lose)
	fleet.set()
	r.untilRevoked(t, first)
	if yes, reason := r.revoked(t, leaf); !yes || reason != 4 {
		t.Errorf("revoked %v for reason %d", yes, reason)
	}

	second := r.served(t, 1, 30*time.Second)["*.v.test"]
	fleet.set("n1")
	leaf = r.revoke(t, second, model.KeyCompromise)
	w.Replan()
	r.untilRevoked(t, second)
	if yes, reason := r.revoked(t, leaf); !yes || reason != 1 {
		t.Errorf("revoked %v for reason %d", yes, reason)
	}
	fleet.set()
	r.until(t, "another certificate", 30*time.Second, func(tx *store.Tx) (bool, error) {
		m, err := tx.GetManagedCertificate(t.Context(), second.Managed)
		return err == nil && m.Certificate != second.ID, err
	})
	third := r.served(t, 1, 30*time.Second)["*.v.test"]
	b, _ := pem.Decode(third.ChainPEM)
	if next, err := x509.ParseCertificate(b.Bytes); err != nil || string(next.RawSubjectPublicKeyInfo) == string(leaf.RawSubjectPublicKeyInfo) {
		t.Errorf("the key that others know is used again, %v", err)
	}
}

// The account that ordered a certificate is lost, or the authority knows it no more: a key that others know still revokes the certificate,
// as whoever has it may (RFC 8555 §7.6), also at an issuer that is suspended.
func TestRevocationWithTheKeyItself(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	r.run(t, r.options("a"))
	r.publish(t, "k1.test")
	r.publish(t, "k2.test")
	all := r.served(t, 2, 30*time.Second)
	r.tx(t, func(tx *store.Tx) error { // from here on nobody registers because of an order
		i, err := tx.LockIssuer(t.Context(), r.issuer.ID)
		if err != nil {
			return err
		}
		i.Suspended = true
		return tx.UpdateIssuer(t.Context(), i)
	})
	byKey := func() (n int) {
		for _, e := range r.proxy.Entries() {
			if e.Kind == acmetest.Revoke && strings.HasPrefix(e.Account, "key ") && e.Status == http.StatusOK {
				n++
			}
		}
		return n
	}
	for i, gone := range []func(tx *store.Tx) error{
		func(tx *store.Tx) error {
			return tx.SetAccountURL(t.Context(), r.issuer.ID, r.issuerNow(t).AccountURL+"0")
		},
		func(tx *store.Tx) error { // another one is made, which has not ordered it
			return errors.Join(tx.SetAccountURL(t.Context(), r.issuer.ID, ""), tx.SetAccountKeys(t.Context(), r.issuer.ID, nil, nil))
		},
	} {
		c := all[fmt.Sprintf("*.k%d.test", i+1)]
		r.tx(t, gone)
		leaf := r.revoke(t, c, model.KeyCompromise)
		r.untilRevoked(t, c)
		if yes, reason := r.revoked(t, leaf); !yes || reason != 1 || byKey() != i+1 {
			t.Errorf("%v: revoked %v for reason %d, %d requests of keys", c.Names, yes, reason, byKey())
		}
	}
}

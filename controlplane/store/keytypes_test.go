package store_test

import (
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// What nobody renews any more gives way to what has the same type of key, as soon as that is there, and to another type only
// where its own is not wanted. One of several types that were asked for is not removed because nobody needs the names.
func TestUnwantedGivesWayToItsOwnType(t *testing.T) {
	w, ctx := newOrderWorld(t), t.Context()
	add := func(of model.KeyType, names ...string) *model.ManagedCertificate {
		v := &model.ManagedCertificate{ID: model.ManagedCertificateID{}.New(), Org: w.org.ID, Names: names, KeyType: of, Wanted: true, NextAttempt: orderTime}
		w.tx(t, func(tx *store.Tx) error { return tx.CreateManagedCertificate(ctx, v) })
		return v
	}
	serve := func(v *model.ManagedCertificate) *model.Certificate {
		c := &model.Certificate{
			ID: model.CertificateID{}.New(), Org: w.org.ID, Names: v.Names, ChainPEM: []byte("x"), SealedKey: []byte("x"), NotBefore: orderTime, NotAfter: orderTime.Add(time.Hour),
			Managed: v.ID, Issuer: w.issuer.ID, KeyType: v.KeyType,
		}
		w.tx(t, func(tx *store.Tx) error {
			if err := tx.CreateCertificate(ctx, c); err != nil {
				return err
			}
			v.Certificate = c.ID
			return tx.UpdateManagedCertificate(ctx, v)
		})
		return c
	}
	by := func(c *model.Certificate) (id model.CertificateID) {
		t.Helper()
		w.tx(t, func(tx *store.Tx) error {
			if err := tx.SupersedeUnwanted(ctx, orderTime); err != nil {
				return err
			}
			got, err := tx.GetCertificate(ctx, c.ID)
			if err == nil {
				id = got.SupersededBy
			}
			return err
		})
		return id
	}
	old := add(model.ECDSA, "www.example.org")
	was := serve(old)
	old.Wanted = false
	w.tx(t, func(tx *store.Tx) error { return tx.UpdateManagedCertificate(ctx, old) })
	rsa := add(model.RSA, w.managed.Names...)
	serve(rsa)
	if id := by(was); !id.IsZero() {
		t.Error("an ECDSA certificate gives way to an RSA one while there is to be one of its own type")
	}
	if next := serve(w.managed); by(was) != next.ID {
		t.Error("it does not give way to its own type")
	}

	alone := add(model.ECDSA, "a.example.net", "b.example.net") // never came to anything
	other := add(model.RSA, "a.example.net", "b.example.net")
	lone := add(model.ECDSA, "lone.example.net")
	w.tx(t, func(tx *store.Tx) error {
		for _, v := range []*model.ManagedCertificate{alone, other, lone} {
			v.Wanted = false
			if err := tx.UpdateManagedCertificate(ctx, v); err != nil {
				return err
			}
		}
		return nil
	})
	w.tx(t, func(tx *store.Tx) error { return tx.DeleteUnused(ctx, time.Now().Add(time.Hour)) })
	w.tx(t, func(tx *store.Tx) error {
		if _, err := tx.GetManagedCertificate(ctx, lone.ID); fault.Of(err) != fault.NotFound {
			t.Errorf("what nobody needs stays: %v", err)
		}
		for _, v := range []*model.ManagedCertificate{alone, other} {
			if _, err := tx.GetManagedCertificate(ctx, v.ID); err != nil {
				t.Errorf("%s: %v", v.KeyType, err)
			}
		}
		return nil
	})
}

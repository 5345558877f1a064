package rest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Names have a managed certificate for each type of key that is asked for. What is not asked for any more goes, and its
// certificates give way to what there is.
func TestTypesOfKey(t *testing.T) {
	w := newWorld(t)
	w.must(201, "POST", "/api/v1/issuers", `{"name":"le",`+directory+`,"profiles":{"short":"shortlived"}}`)
	ecdsa := w.managed("*.example.com", "example.com")
	w.managed("example.com")
	const base = "/api/v1/orgs/default/managed-certificates"
	put := func(body string, keys ...string) (v admin.Managed) {
		t.Helper()
		for range 2 { // it may be said again
			if err := json.Unmarshal(w.must(200, "PUT", base+"/*.example.com", body).body, &v); err != nil || !slices.Equal(v.Keys, keys) || v.KeyType != keys[0] {
				t.Fatalf("%s: %+v, %v", body, v, err)
			}
		}
		return v
	}
	rows := func() (out []admin.Managed) {
		t.Helper()
		var page struct{ Items []admin.Managed }
		if err := json.Unmarshal(w.must(200, "GET", base, "").body, &page); err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(page.Items, func(v admin.Managed) bool { return len(v.Names) != 2 })
	}
	// serve gives one a certificate, as an order does.
	serve := func(ref string, of model.KeyType) (out model.CertificateID) {
		t.Helper()
		id, err := model.ManagedCertificateID{}.Parse(ref)
		if err != nil {
			t.Fatal(err)
		}
		ctx, now := t.Context(), time.Now().UTC()
		_, err = w.db.Tx(ctx, "test", func(tx *store.Tx) error {
			v, err := tx.LockManagedCertificate(ctx, id)
			if err != nil {
				return err
			}
			c := &model.Certificate{ID: model.CertificateID{}.New(), Org: v.Org, Names: v.Names, ChainPEM: []byte("x"), SealedKey: []byte("x"), NotBefore: now, NotAfter: now.Add(time.Hour), Managed: id, KeyType: of}
			if err := tx.CreateCertificate(ctx, c); err != nil {
				return err
			}
			v.Certificate, out = c.ID, c.ID
			return tx.UpdateManagedCertificate(ctx, v)
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	certificate := func(id model.CertificateID) (c *model.Certificate) {
		t.Helper()
		err := w.db.View(t.Context(), func(tx *store.Tx) (err error) { c, err = tx.GetCertificate(t.Context(), id); return err })
		if err != nil {
			t.Fatal(err)
		}
		return c
	}

	if v := put(`{}`, "ecdsa"); v.ID != ecdsa.String() {
		t.Errorf("%+v", v)
	}
	put(`{"keys":["rsa","ecdsa"],"profile":"short"}`, "ecdsa", "rsa")
	all := rows()
	if len(all) != 2 || all[0].Profile != "short" || all[1].Profile != "short" || all[0].KeyType == all[1].KeyType {
		t.Fatalf("%+v", all)
	}
	if r := w.must(200, "GET", base+"/*.example.com", ""); !strings.Contains(string(r.body), `"keys":["ecdsa","rsa"]`) {
		t.Errorf("%s", r.body)
	}
	rsa := all[slices.IndexFunc(all, func(v admin.Managed) bool { return v.KeyType == "rsa" })]
	served := serve(rsa.ID, model.RSA)

	// There is nothing of ECDSA yet: RSA serves until there is.
	if v := put(`{"key_type":"ecdsa"}`, "ecdsa"); v.ID != rsa.ID || v.Certificate != served.String() || time.Until(v.NextAttempt) > 0 || len(rows()) != 1 {
		t.Errorf("%+v", v)
	}
	if c := certificate(served); !c.SupersededBy.IsZero() {
		t.Errorf("%+v", c)
	}
	next := serve(rsa.ID, model.ECDSA)
	put(`{"keys":["ecdsa","rsa"]}`, "ecdsa", "rsa")
	all = rows()
	second := all[slices.IndexFunc(all, func(v admin.Managed) bool { return v.KeyType == "rsa" })]
	gone := serve(second.ID, model.RSA)
	if v := put(`{}`, "ecdsa"); v.ID != rsa.ID || v.Certificate != next.String() || len(rows()) != 1 {
		t.Errorf("%+v", v)
	}
	if c := certificate(gone); c.SupersededBy != next || c.Managed.String() != rsa.ID {
		t.Errorf("%+v", c)
	}
}

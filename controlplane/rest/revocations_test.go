package rest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

func upload(chain, key string) string {
	b, _ := json.Marshal(map[string]string{"chain": chain, "key": key})
	return string(b)
}

// ordered writes a certificate as if it had been ordered, the newest of a managed one.
func (w *world) ordered(chain string, names ...string) model.CertificateID {
	w.t.Helper()
	managed := w.managed(names...)
	ctx, id := w.t.Context(), model.CertificateID{}.New()
	_, err := w.db.Tx(ctx, "test", func(tx *store.Tx) error {
		m, err := tx.LockManagedCertificate(ctx, managed)
		if err != nil {
			return err
		}
		issuers, err := tx.ListIssuers(ctx)
		if err != nil {
			return err
		}
		now := time.Now()
		c := &model.Certificate{
			ID: id, Org: m.Org, Names: names, ChainPEM: []byte(chain), SealedKey: []byte("sealed"), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(900 * time.Hour),
			Managed: managed, Issuer: issuers[0].ID,
		}
		m.Certificate = id
		if err := tx.CreateCertificate(ctx, c); err != nil {
			return err
		}
		return tx.UpdateManagedCertificate(ctx, m)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// What was ordered can be revoked, once; another one is ordered at once. A key that others know is not taken from anybody again.
func TestRevokedCertificates(t *testing.T) {
	w := newWorld(t)
	w.service()
	internal := w.certificate()
	w.must(201, "POST", "/api/v1/issuers", `{"name":"le",`+directory+`}`)
	chain, key := handmade(t, "*.example.com", "example.com")
	id := w.ordered(chain, "*.example.com", "example.com").String()
	const base = "/api/v1/orgs/default/certificates/"
	for _, body := range []string{`{}`, `{"reason":"affiliationChanged"}`, `{"reason":4}`} {
		if r := w.as(w.key, "POST", base+id+"/revoke", body); r.status != 422 || !strings.Contains(string(r.body), "reason") {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	if r := w.as(w.key, "POST", base+internal+"/revoke", `{"reason":"superseded"}`); r.status != 409 {
		t.Errorf("one of the cluster's own authority: %d %s", r.status, r.body)
	}
	var c admin.Certificate
	if err := json.Unmarshal(w.must(200, "POST", base+id+"/revoke", `{"reason":"superseded"}`).body, &c); err != nil || c.Revocation == nil || c.Revocation.Reason != "superseded" || c.Revocation.RevokedAt != nil {
		t.Errorf("%+v, %v", c, err)
	}
	var m admin.Managed
	if err := json.Unmarshal(w.must(200, "GET", "/api/v1/orgs/default/managed-certificates/example.com", "").body, &m); err != nil || time.Until(m.NextAttempt) > 0 {
		t.Errorf("its successor is ordered at %v, %v", m.NextAttempt, err)
	}
	if len(m.Revocations) != 1 || m.Revocations[0].Certificate != id || m.Revocations[0].Reason != "superseded" || m.Revocations[0].AskedBy == "" || m.Revocations[0].AskedAt.IsZero() {
		t.Errorf("the managed certificate shows %+v", m.Revocations)
	}
	uploaded := upload(chain, key)
	var own admin.Certificate
	if err := json.Unmarshal(w.must(201, "POST", strings.TrimSuffix(base, "/"), uploaded).body, &own); err != nil {
		t.Fatal(err)
	}
	if r := w.as(w.key, "POST", base+own.ID+"/revoke", `{"reason":"superseded"}`); r.status != 409 || !strings.Contains(string(r.body), "uploaded") {
		t.Errorf("one that was uploaded: %d %s", r.status, r.body)
	}
	for _, reason := range []string{"keyCompromise", "superseded"} { // the more urgent one stays
		if err := json.Unmarshal(w.must(200, "POST", base+id+"/revoke", `{"reason":"`+reason+`"}`).body, &c); err != nil || c.Revocation.Reason != "keyCompromise" {
			t.Errorf("%+v, %v", c.Revocation, err)
		}
	}
	stranger := w.orgKey("stranger")
	for org, by := range map[string]string{"default": w.key, "stranger": stranger} {
		if r := w.as(by, "POST", "/api/v1/orgs/"+org+"/certificates", uploaded); r.status != 422 || !strings.Contains(string(r.body), "body.key") {
			t.Errorf("%s uploads a key that others know: %d %s", org, r.status, r.body)
		}
	}
}

// A key is changed where there is an account.
func TestRolloverIsAsked(t *testing.T) {
	w := newWorld(t)
	w.must(201, "POST", "/api/v1/issuers", `{"name":"le",`+directory+`}`)
	for name, want := range map[string]int{"le": 409, "internal": 409, "nowhere": 404} {
		if r := w.as(w.key, "POST", "/api/v1/issuers/"+name+"/rollover", ""); r.status != want {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	_, err := w.db.Tx(t.Context(), "test", func(tx *store.Tx) error {
		all, err := tx.ListIssuers(t.Context())
		if err != nil {
			return err
		}
		return tx.SetAccountURL(t.Context(), all[0].ID, "https://ca.example/acct/1")
	})
	if err != nil {
		t.Fatal(err)
	}
	var first, again admin.Issuer
	if err := json.Unmarshal(w.must(200, "POST", "/api/v1/issuers/le/rollover", "").body, &first); err != nil || first.Rollover == nil {
		t.Fatalf("%+v, %v", first, err)
	}
	if err := json.Unmarshal(w.must(200, "POST", "/api/v1/issuers/le/rollover", "").body, &again); err != nil || again.Rollover == nil || !again.Rollover.NextAttempt.Equal(first.Rollover.NextAttempt) {
		t.Errorf("asked again: %+v, %v", again.Rollover, err)
	}
}

// A certificate that another organization has for our names, uploaded or wildcard, is never one of our services'.
func TestUploadForNamesOfOthers(t *testing.T) {
	w := newWorld(t)
	w.service() // wiki.example.com
	before := w.certificate()
	stranger := w.orgKey("stranger")
	for _, names := range [][]string{{"wiki.example.com"}, {"*.example.com", "example.com"}, {"*.com"}} {
		chain, key := handmade(t, names...)
		r := w.as(stranger, "POST", "/api/v1/orgs/stranger/certificates", upload(chain, key))
		if r.status != 201 && r.status != 422 {
			t.Fatalf("%v: %d %s", names, r.status, r.body)
		}
	}
	b, err := w.db.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := model.Empty().Apply(b)
	for s := range m.Services() {
		if c := m.CertificateFor(s); s.EndsTLS() && (c == nil || c.Org != s.Org || fmt.Sprint(c.ID) != before) {
			t.Errorf("%s is served with %v", s.Hostname, c)
		}
	}
	for c := range m.Certificates() {
		for p := range m.PoolsUsingCertificate(c.ID) {
			if c.Uploaded {
				t.Errorf("nodes of pool %v get the certificate of %v", p, c.Names)
			}
		}
	}
}

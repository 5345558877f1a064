package rest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Whoever has found somebody's session makes no key with it: that takes his password, however often it is tried, and of who has none
// a sign-in of just now. Who has it makes keys, which end where they are said to.
func TestAKeyOfOnesOwnAsksForThePassword(t *testing.T) {
	s := newSelf(t)
	const base = "/api/v1/me/api-keys"
	for _, body := range []string{`{"name":"a"}`, `{"name":"a","current_password":""}`, `{"name":"a","current_password":"` + newPassword + `"}`} {
		if r := s.do(403, "POST", base, body); strings.Contains(string(r.body), "wrn_") {
			t.Errorf("%s: %s", body, r.body)
		}
	}
	var none struct{ Items []any }
	if s.do(200, "GET", base, "").into(t, &none); len(none.Items) != 0 {
		t.Fatalf("there are keys: %v", none.Items)
	}
	if n := len(s.told); n == 0 || s.told[n-1].Refused == "" {
		t.Errorf("nothing of it in the audit log: %+v", s.told)
	}
	s.do(422, "POST", base, `{"name":"a","service_account":"ci","current_password":"`+oldPassword+`"}`)
	var key struct{ Secret string }
	s.do(201, "POST", base, `{"name":"laptop","current_password":"`+oldPassword+`"}`).into(t, &key)
	if r := s.as(key.Secret, "GET", "/api/v1/me", ""); r.status != 200 {
		t.Errorf("the key: %d %s", r.status, r.body)
	}
	for range 50 {
		if s.with(s.token, "POST", base, `{"name":"b","current_password":"wrong"}`).status == http.StatusTooManyRequests {
			return
		}
	}
	t.Error("passwords can be tried without end")
}

// Accounts of providers are shown and removed over the API, by id or name, against the password; the last way in stays.
func TestOwnIdentities(t *testing.T) {
	s := newSelf(t)
	ctx := t.Context()
	const base, current = "/api/v1/me/identities", `{"current_password":"` + oldPassword + `"}`
	ids := map[string]model.IdentityProviderID{}
	if _, err := s.db.Tx(ctx, "test", func(tx *store.Tx) error {
		for _, p := range []model.IdentityProvider{{Name: "sso", Issuer: "https://a.example"}, {Name: "work", Issuer: "https://b.example"}, {Name: "work", Issuer: "https://c.example", Org: s.orgID("default")}} {
			p.ID, p.ClientID = model.IdentityProviderID{}.New(), "warren"
			if err := tx.CreateIdentityProvider(ctx, &p); err != nil {
				return err
			}
			ids[p.Issuer] = p.ID
			if err := tx.CreateIdentity(ctx, s.user, model.Identity{Provider: p.ID, Issuer: p.Issuer, Subject: "ann at " + p.Issuer}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var list struct {
		Items []struct{ ID, Name, Subject string }
	}
	if s.do(200, "GET", base, "").into(t, &list); len(list.Items) != 3 || !strings.HasPrefix(list.Items[0].Subject, "ann at ") {
		t.Fatalf("%+v", list)
	}
	s.do(403, "POST", base+"/sso/remove", `{}`)
	s.do(404, "POST", base+"/nobody/remove", current)
	s.do(409, "POST", base+"/work/remove", current) // which one?
	s.do(204, "POST", base+"/"+ids["https://b.example"].String()+"/remove", current)
	s.do(404, "POST", base+"/"+ids["https://b.example"].String()+"/remove", current)
	s.do(204, "POST", base+"/work/remove", current)

	bob := s.signIn("bob@example.com", "default", model.RoleViewer) // just now, and without a password
	if _, err := s.db.Tx(ctx, "test", func(tx *store.Tx) error {
		u, err := tx.GetUserByEmail(ctx, "bob@example.com")
		if err != nil {
			return err
		}
		return tx.CreateIdentity(ctx, u.ID, model.Identity{Provider: ids["https://a.example"], Issuer: "https://a.example", Subject: "bob"})
	}); err != nil {
		t.Fatal(err)
	}
	if r := s.as(bob, "POST", base+"/sso/remove", `{}`); r.status != http.StatusConflict || !strings.Contains(string(r.body), "nothing else that you sign in with") {
		t.Errorf("the last way in: %d %s", r.status, r.body)
	}
}

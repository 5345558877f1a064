package rest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

const directory = `"directory_url":"https://ca.example/directory"`

func TestIssuers(t *testing.T) {
	w := newWorld(t)
	hmac := "c2VjcmV0c2VjcmV0c2VjcmV0"
	made := w.must(201, "POST", "/api/v1/issuers", `{"name":"le",`+directory+`,"contacts":["ops@example.org"],"rank":0,"profiles":{"default":"classic","short":"shortlived"},
		"eab":{"key_id":"kid","hmac_key":"`+hmac+`"},"caa_identities":["CA.example"],"limits":{"new_orders":10}}`)
	var v admin.Issuer
	if err := json.Unmarshal(made.body, &v); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(made.body), hmac) || v.EAB == nil || v.EAB.KeyID != "kid" || v.Contacts[0] != "ops@example.org" || v.Profiles["default"] != "classic" ||
		v.CAAIdentities[0] != "ca.example" || v.Rank != 0 || v.Limits.NewOrders != 10 || made.revision == 0 {
		t.Errorf("%s, revision %d", made.body, made.revision)
	}
	put := `{` + directory + `,"eab":{"key_id":"kid"}}`
	if r := w.must(200, "PUT", "/api/v1/issuers/le", put); r.header.Get("X-Warren-Unchanged") != "" || !strings.Contains(string(r.body), `"rank":100`) {
		t.Errorf("%s", r.body)
	}
	if r := w.must(200, "PUT", "/api/v1/issuers/le", put); r.header.Get("X-Warren-Unchanged") != "true" {
		t.Error("the same again is a change")
	}
	for _, tc := range []struct{ body, field string }{
		{`{"directory_url":"http://ca.example"}`, "directory_url"},
		{`{"directory_url":"https://user@ca.example"}`, "directory_url"},
		{`{"directory_url":"https://other.example/directory"}`, "directory_url"},
		{`{` + directory + `,"contacts":["nobody"]}`, "contacts[0]"},
		{`{` + directory + `,"contacts":["a@example.org?cc=b"]}`, "contacts[0]"},
		{`{` + directory + `,"eab":{"key_id":"other"}}`, "eab.hmac_key"},
		{`{` + directory + `,"eab":{"key_id":"kid","hmac_key":"***"}}`, "eab.hmac_key"},
		{`{` + directory + `,"roots_pem":"x"}`, "roots_pem"},
		{`{` + directory + `,"caa_identities":["a b"]}`, "caa_identities[0]"},
		{`{` + directory + `,"rank":1000}`, "rank"},
		{`{}`, "directory_url"},
	} {
		if r := w.as(w.key, "PUT", "/api/v1/issuers/le", tc.body); r.status != 422 || !strings.Contains(string(r.body), tc.field) {
			t.Errorf("%s: %d %s; want 422 and %s", tc.body, r.status, r.body, tc.field)
		}
	}
	for _, method := range []string{"PUT", "DELETE"} {
		if r := w.as(w.key, method, "/api/v1/issuers/internal", map[string]string{"PUT": put}[method]); r.status != 409 {
			t.Errorf("%s of the cluster's own authority: %d %s", method, r.status, r.body)
		}
	}
	w.must(204, "DELETE", "/api/v1/issuers/le", "")
}

// How an issuer is doing is no change of configuration; what zones say because of it is one.
func TestOnlyWhatNodesNeedOfAnIssuerIsARevision(t *testing.T) {
	w := newWorld(t)
	w.must(201, "POST", "/api/v1/issuers", `{"name":"le",`+directory+`,"caa_identities":["ca.example"]}`)
	before := w.head()
	_, err := w.db.Tx(t.Context(), "test", func(tx *store.Tx) error {
		all, err := tx.ListIssuers(t.Context())
		if err != nil {
			return err
		}
		i := all[0]
		i.PausedUntil, i.Failures, i.LastProblem = time.Now().Add(time.Hour), 3, "rateLimited: slow down"
		return tx.SetIssuerHealth(t.Context(), i)
	})
	if err != nil || w.head() != before {
		t.Errorf("%v, revision %d, was %d", err, w.head(), before)
	}
	if r := w.must(200, "GET", "/api/v1/issuers/le", ""); !strings.Contains(string(r.body), "rateLimited: slow down") {
		t.Errorf("%s", r.body)
	}
	w.must(200, "PUT", "/api/v1/issuers/le", `{`+directory+`,"caa_identities":["ca.example","other.example"]}`)
	if w.head() == before {
		t.Error("no revision for what zones say")
	}
}

// managed writes one as the worker does, with an order that has failed.
func (w *world) managed(names ...string) model.ManagedCertificateID {
	w.t.Helper()
	ctx, now := w.t.Context(), time.Now().UTC().Truncate(time.Microsecond)
	id := model.ManagedCertificateID{}.New()
	_, err := w.db.Tx(ctx, "test", func(tx *store.Tx) error {
		org, err := tx.GetOrganizationByName(ctx, "default")
		if err != nil {
			return err
		}
		issuers, err := tx.ListIssuers(ctx)
		if err != nil {
			return err
		}
		v := &model.ManagedCertificate{ID: id, Org: org.ID, Names: names, KeyType: model.ECDSA, NextAttempt: now.Add(time.Hour), Wanted: true}
		if err := tx.CreateManagedCertificate(ctx, v); err != nil {
			return err
		}
		v.LadderStep, v.LastProblem, v.FailingSince = 3, "urn:ietf:params:acme:error:dns: no TXT record", now
		if err := tx.UpdateManagedCertificate(ctx, v); err != nil {
			return err
		}
		o := &model.Order{ID: model.OrderID{}.New(), Org: org.ID, Managed: id, Issuer: issuers[0].ID, Names: names, KeyType: model.ECDSA, Certificate: model.CertificateID{}.New(), NextAttempt: now}
		if _, err := tx.CreateOrders(ctx, []*model.Order{o}, now); err != nil {
			return err
		}
		return tx.AddOrderEvents(ctx, model.OrderEvent{Order: o.ID, At: now, State: model.OrderPlanned, What: "planned with le"})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func TestManagedCertificates(t *testing.T) {
	w := newWorld(t)
	w.must(201, "POST", "/api/v1/issuers", `{"name":"le",`+directory+`,"profiles":{"short":"shortlived"}}`)
	id := w.managed("*.example.com", "example.com")
	const base = "/api/v1/orgs/default/managed-certificates"
	if r := w.must(200, "GET", base, ""); !strings.Contains(string(r.body), `"state":"failing"`) || strings.Contains(string(r.body), `"orders"`) {
		t.Errorf("%s", r.body)
	}
	for _, ref := range []string{id.String(), "example.com", "*.EXAMPLE.com"} {
		r := w.must(200, "GET", base+"/"+ref, "")
		if !strings.Contains(string(r.body), "no TXT record") || !strings.Contains(string(r.body), "planned with le") {
			t.Errorf("%s: %s", ref, r.body)
		}
	}
	var v admin.Managed
	if err := json.Unmarshal(w.must(200, "POST", base+"/example.com/renew", "").body, &v); err != nil || time.Until(v.NextAttempt) > 0 {
		t.Errorf("next attempt %s, %v", v.NextAttempt, err)
	}
	r := w.must(200, "PUT", base+"/example.com", `{"key_type":"rsa","profile":"short","issuer":"le"}`)
	if err := json.Unmarshal(r.body, &v); err != nil || v.KeyType != "rsa" || v.Profile != "short" || v.Issuer != "le" {
		t.Errorf("%s, %v", r.body, err)
	}
	for _, tc := range []struct{ body, field string }{
		{`{"key_type":"dsa"}`, "key_type"}, {`{"keys":["dsa"]}`, "keys"}, {`{"keys":["rsa","rsa"]}`, "keys"}, {`{"keys":["rsa"],"key_type":"rsa"}`, "key_type"}, {`{"profile":"tall"}`, "profile"}, {`{"issuer":"le","profile":"tall"}`, "profile"},
		{`{"issuer":"nowhere"}`, "issuer"}, {`{"issuer":"internal"}`, "issuer"},
	} {
		if r := w.as(w.key, "PUT", base+"/example.com", tc.body); r.status != 422 || !strings.Contains(string(r.body), tc.field) {
			t.Errorf("%s: %d %s", tc.body, r.status, r.body)
		}
	}
	for _, ref := range []string{"nothing.example", "a b", "cert_x"} {
		if r := w.as(w.key, "POST", base+"/"+strings.ReplaceAll(ref, " ", "%20")+"/renew", ""); r.status != 404 {
			t.Errorf("%s: %d %s", ref, r.status, r.body)
		}
	}
	if r := w.as(w.key, "DELETE", base+"/example.com", ""); r.status != 409 {
		t.Errorf("one that services need: %d %s", r.status, r.body)
	}
}

// A suspended issuer orders nothing: what was planned there goes elsewhere, and what is to come from it alone says what it waits for. It is
// deleted as soon as nothing needs it.
func TestSuspendedIssuers(t *testing.T) {
	w := newWorld(t)
	w.must(201, "POST", "/api/v1/issuers", `{"name":"le",`+directory+`}`)
	id := w.managed("*.example.com", "example.com")
	const base, spec = "/api/v1/orgs/default/managed-certificates/example.com", `{` + directory + `,"suspended":true}`
	said := func(status int, method, path, body string, want ...string) {
		t.Helper()
		r := w.as(w.key, method, path, body)
		for _, words := range want {
			if r.status != status || !strings.Contains(string(r.body), words) {
				t.Errorf("%s %s: %d %s; want %d, %q", method, path, r.status, r.body, status, words)
			}
		}
	}
	said(200, "PUT", "/api/v1/issuers/le", spec, `"suspended":true`)
	said(200, "GET", base, "", `"waits_for":"every issuer is suspended`, `"problem":"le is suspended"`, `"state":"failed"`)
	said(200, "GET", "/api/v1/issuers/le/budget", "", `"suspended":true`)
	said(200, "PUT", base, `{"issuer":"le"}`, `"waits_for":"issuer le, the only one`)
	chain, _ := handmade(t, "example.com")
	c := &model.Certificate{ID: model.CertificateID{}.New(), Managed: id, Names: []string{"example.com"}, ChainPEM: []byte(chain), SealedKey: []byte("k"), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	if _, err := w.db.Tx(t.Context(), "test", func(tx *store.Tx) error {
		m, err := tx.GetManagedCertificate(t.Context(), id)
		if err != nil {
			return err
		}
		c.Org, c.Issuer = m.Org, m.Issuer
		return tx.CreateCertificate(t.Context(), c)
	}); err != nil {
		t.Fatal(err)
	}
	said(409, "DELETE", "/api/v1/issuers/le", "", "1 certificate of it is valid, until ", "1 certificate is to be ordered from it alone (*.example.com)")
	said(200, "PUT", "/api/v1/issuers/le", `{`+directory+`}`, `"name":"le"`)
	said(409, "DELETE", "/api/v1/issuers/le", "", "suspend it meanwhile")
	w.must(200, "PUT", base, `{}`)
	w.must(204, "DELETE", "/api/v1/orgs/default/certificates/"+c.ID.String(), "")
	w.must(204, "DELETE", "/api/v1/issuers/le", "")
	said(200, "GET", base, "", `"waits_for":"there is no issuer`, "planned with le")
}

// handmade is a certificate of a CA that nobody knows, with its chain and key as PEM.
func handmade(t *testing.T, names ...string) (chain, key string) {
	t.Helper()
	caKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	own, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	now := time.Now()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(1000 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca.Subject.CommonName = "handmade"
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(900 * time.Hour), DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, own.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return block("CERTIFICATE", der) + block("CERTIFICATE", caDER), block("PRIVATE KEY", pkcs8)
}

func TestUploadedCertificates(t *testing.T) {
	w := newWorld(t)
	w.service() // wiki.example.com, with a certificate of the cluster's own
	chain, key := handmade(t, "wiki.example.com")
	_, other := handmade(t, "wiki.example.com")
	body := func(chain, key string) string {
		b, _ := json.Marshal(map[string]string{"chain": chain, "key": key})
		return string(b)
	}
	const base = "/api/v1/orgs/default/certificates"
	for name, bad := range map[string]string{
		"key": body(chain, other), "chain": body("x", key), "block": body(chain[:100], key),
	} {
		if r := w.as(w.key, "POST", base, bad); r.status != 422 || !strings.Contains(string(r.body), name) || strings.Contains(string(r.body), "PRIVATE") {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	r := w.must(201, "POST", base, body(chain, key))
	var c admin.Certificate
	if err := json.Unmarshal(r.body, &c); err != nil || !c.Uploaded || c.Issuer != "" || fmt.Sprint(c.Names) != "[wiki.example.com]" || strings.Contains(string(r.body), "PRIVATE") {
		t.Errorf("%s, %v", r.body, err)
	}
	w.must(204, "DELETE", base+"/"+c.ID, "") // the service has another one
	if r := w.as(w.key, "DELETE", base+"/"+w.certificate(), ""); r.status != 409 || !strings.Contains(string(r.body), "wiki") {
		t.Errorf("the only one of a service: %d %s", r.status, r.body)
	}
}

// What is uploaded is served at once, although the cluster's own authority has made certificates for its names that last longer; by its
// wildcard, too, and for services that come later. When it goes, the cluster's own are there.
func TestUploadGoesBeforeTheClustersOwn(t *testing.T) {
	w := newWorld(t)
	w.service() // wiki.example.com, with a certificate of the cluster's own
	served := func(name, id string) {
		t.Helper()
		b, err := w.db.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m := model.Empty().Apply(b)
		for s := range m.Services() {
			if c := m.CertificateFor(s); s.Name == name && (c == nil || c.Own() != (id == "") || id != "" && c.ID.String() != id) {
				t.Errorf("%s is served with %+v, want %q", name, c, id)
			}
		}
	}
	give := func(names ...string) string {
		t.Helper()
		chain, key := handmade(t, names...)
		var c admin.Certificate
		w.must(201, "POST", org+"/certificates", upload(chain, key)).into(t, &c)
		return c.ID
	}
	served("wiki", "")
	wild := give("*.example.com")
	served("wiki", wild)
	w.must(201, "POST", org+"/services", `{"name":"shop","kind":"http","hostname":"shop.example.com","pool":"default"}`)
	served("shop", wild)
	exact := give("wiki.example.com")
	served("wiki", exact)
	w.must(204, "DELETE", org+"/certificates/"+exact, "")
	served("shop", wild)
	w.must(204, "DELETE", org+"/certificates/"+wild, "")
	served("wiki", "")
	served("shop", "")
}

// A certificate stays while it is the only one of a service, also of one that its wildcard covers; another one by either name is enough to remove
// it. What is kept for services is ordered anew at once, not when the one that is gone would have been renewed.
func TestCertificateOfAWildcardIsNeeded(t *testing.T) {
	w := newWorld(t)
	w.must(201, "POST", "/api/v1/issuers", `{"name":"le",`+directory+`}`)
	w.service() // wiki.example.com; an issuer is there, so the cluster's own authority makes none
	const base = "/api/v1/orgs/default/certificates"
	managed := w.managed("*.example.com", "example.com")
	give := func(until time.Duration) string {
		t.Helper()
		chain, _ := handmade(t, "*.example.com", "example.com")
		c := &model.Certificate{ID: model.CertificateID{}.New(), Managed: managed, Names: []string{"*.example.com", "example.com"}, ChainPEM: []byte(chain), SealedKey: []byte("k"), NotBefore: time.Now(), NotAfter: time.Now().Add(until)}
		if _, err := w.db.Tx(t.Context(), "test", func(tx *store.Tx) error {
			m, err := tx.LockManagedCertificate(t.Context(), managed)
			if err != nil {
				return err
			}
			issuers, err := tx.ListIssuers(t.Context())
			if err != nil {
				return err
			}
			c.Org, c.Issuer = m.Org, issuers[0].ID
			if err := tx.CreateCertificate(t.Context(), c); err != nil {
				return err
			}
			m.Certificate, m.RenewAt, m.NextAttempt = c.ID, c.NotAfter.Add(-time.Minute), c.NotAfter.Add(-time.Minute)
			return tx.UpdateManagedCertificate(t.Context(), m)
		}); err != nil {
			t.Fatal(err)
		}
		return c.ID.String()
	}
	stays := func(id, why string) {
		t.Helper()
		if r := w.as(w.key, "DELETE", base+"/"+id, ""); r.status != 409 || !strings.Contains(string(r.body), "needed by service wiki") {
			t.Errorf("%s: %d %s", why, r.status, r.body)
		}
	}
	upload := func(names ...string) string {
		t.Helper()
		chain, key := handmade(t, names...)
		body, _ := json.Marshal(map[string]string{"chain": chain, "key": key})
		var c admin.Certificate
		if err := json.Unmarshal(w.must(201, "POST", base, string(body)).body, &c); err != nil {
			t.Fatal(err)
		}
		return c.ID
	}

	wild := give(time.Hour)
	stays(wild, "the only one, by its wildcard")
	upload("other.example.com")
	stays(wild, "beside one of another name")
	exact := upload("wiki.example.com")
	w.must(204, "DELETE", base+"/"+wild, "")
	var v admin.Managed
	if err := json.Unmarshal(w.must(200, "GET", "/api/v1/orgs/default/managed-certificates/example.com", "").body, &v); err != nil || time.Until(v.NextAttempt) > 0 {
		t.Errorf("next attempt %s, %v", v.NextAttempt, err)
	}
	stays(exact, "the only one, by its name")
	give(time.Hour)
	w.must(204, "DELETE", base+"/"+exact, "")
}

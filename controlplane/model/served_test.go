package model_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
)

// A service is served with one certificate of each type of key: the one that is chosen whatever its type is, then what somebody
// asked for beside it.
func TestCertificatesFor(t *testing.T) {
	const service = "service www organization=acme pool=edge hostname=www.example.org\n"
	cert := func(words string) string { return "certificate " + words + " organization=acme\n" }
	ecdsa := cert("ecdsa names=*.example.org,example.org expires=2026-04-01 key=ecdsa issuer=le")
	rsa := cert("rsa names=*.example.org,example.org expires=2026-03-01 key=rsa issuer=le")
	for what, c := range map[string]struct{ rows, want string }{
		"one":                              {ecdsa, "ecdsa"},
		"the other alone":                  {rsa, "rsa"},
		"both":                             {ecdsa + rsa, "ecdsa rsa"},
		"both, the other lasts longer":     {ecdsa + cert("late names=*.example.org expires=2026-05-01 key=rsa issuer=le"), "late ecdsa"},
		"of each type the last to expire":  {ecdsa + rsa + cert("old names=*.example.org expires=2026-02-01 key=rsa issuer=le"), "ecdsa rsa"},
		"each type has its own successors": {ecdsa + rsa + cert("was names=*.example.org expires=2026-06-01 key=ecdsa issuer=le superseded=ecdsa"), "ecdsa rsa"},
		"an exact one and a wildcard":      {ecdsa + cert("exact names=www.example.org expires=2026-02-01 key=rsa issuer=le"), "exact ecdsa"},
		"another took its place":           {ecdsa + cert("gone names=*.example.org expires=2026-06-01 key=rsa issuer=le superseded=ecdsa"), "ecdsa"},
		"the cluster's own beside ordered": {rsa + cert("own names=www.example.org expires=2026-02-01 key=ecdsa superseded=rsa"), "rsa"},
		"our own lasts longer":             {rsa + cert("own names=www.example.org expires=2026-06-01 key=ecdsa"), "own"},
		"uploaded beside ordered":          {ecdsa + cert("up names=*.example.org expires=2027-01-01 key=rsa uploaded"), "up"},
		"uploaded both":                    {cert("up names=*.example.org expires=2027-01-01 key=rsa uploaded") + cert("too names=www.example.org expires=2026-05-01 key=ecdsa uploaded"), "too up"},
		"uploaded, and over":               {ecdsa + cert("up names=www.example.org expires=2026-01-01 key=rsa uploaded superseded=ecdsa"), "ecdsa"},
		"of a type that was not written":   {rsa + cert("before names=*.example.org expires=2026-06-01 issuer=le"), "before"},
		"a stranger's":                     {ecdsa + strings.ReplaceAll(rsa, "acme", "other"), "ecdsa"},
	} {
		m := parse(t, service+c.rows)
		var want []model.CertificateID
		for _, n := range strings.Fields(c.want) {
			want = append(want, model.CertificateID{UUID: modeltest.UUID("certificate", n)})
		}
		s := m.Service(model.ServiceID{UUID: modeltest.UUID("service", "www")})
		var got []model.CertificateID
		for _, v := range m.CertificatesFor(s) {
			got = append(got, v.ID)
			if !slices.Equal(slices.Collect(m.PoolsUsingCertificate(v.ID)), []model.PoolID{s.Pool}) {
				t.Errorf("%s: the pool does not get %v", what, v.ID)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %s", what, got, c.want)
		}
	}
}

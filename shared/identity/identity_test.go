package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"net/url"
	"testing"
	"time"
)

const cluster = "0198b2c4-0f0e-7d3a-9a5e-3b1f6f1d2c4e"

func TestFromCertificate(t *testing.T) {
	for _, c := range []struct {
		uri  string
		want Identity // zero: refused
	}{
		{"spiffe://" + cluster + "/node/node_01h455vb4pex5vsknk084sn02q", Identity{cluster, Node, "node_01h455vb4pex5vsknk084sn02q"}},
		{"spiffe://" + cluster + "/connector/connector_1", Identity{cluster, Connector, "connector_1"}},
		{"spiffe://" + cluster + "/control/control", Identity{cluster, Control, "control"}},
		{"spiffe://" + cluster + "/user/alice", Identity{}},
		{"spiffe://" + cluster + "/Node/a", Identity{}},
		{"spiffe://" + cluster + "/node", Identity{}},
		{"spiffe://" + cluster + "/node/", Identity{}},
		{"spiffe://" + cluster + "/node/a/b", Identity{}},
		{"spiffe://" + cluster + "/node/a/", Identity{}},
		{"spiffe://" + cluster + "//node/a", Identity{}},
		{"spiffe://" + cluster + "/node/..", Identity{}},
		{"spiffe://" + cluster + "/node/.", Identity{}},
		{"spiffe://" + cluster + "/node/a%2Fb", Identity{}},
		{"spiffe://" + cluster + "/node/%61", Identity{}},
		{"spiffe://" + cluster + "/node/a b", Identity{}},
		{"spiffe://" + cluster + "/node/é", Identity{}},
		{"spiffe://" + cluster + "/node/a?", Identity{}},
		{"spiffe://" + cluster + "/node/a?x=1", Identity{}},
		{"spiffe://" + cluster + "/node/a#x", Identity{}},
		{"spiffe://" + cluster + ":443/node/a", Identity{}},
		{"spiffe://" + cluster + ":/node/a", Identity{}},
		{"spiffe://user@" + cluster + "/node/a", Identity{}},
		{"spiffe:///node/a", Identity{}},
		{"spiffe://A/node/a", Identity{}},
		{"spiffe:node/a", Identity{}},
		{"/node/a", Identity{}},
		{"https://" + cluster + "/node/a", Identity{}},
	} {
		u, err := url.Parse(c.uri)
		if err != nil {
			t.Fatalf("%s: %v", c.uri, err)
		}
		got, err := FromCertificate(&x509.Certificate{URIs: []*url.URL{u}})
		if got != c.want || (err == nil) != (c.want != Identity{}) {
			t.Errorf("%s: %+v, %v, want %+v", c.uri, got, err, c.want)
		}
		if err != nil && !errors.Is(err, ErrIdentity) {
			t.Errorf("%s: %v is no ErrIdentity", c.uri, err)
		}
		if err == nil && got.String() != c.uri {
			t.Errorf("%s is written as %s", c.uri, got)
		}
	}
}

func TestOneURI(t *testing.T) {
	u := Identity{cluster, Node, "a"}.URI()
	for _, uris := range [][]*url.URL{nil, {u, u}, {u, {Scheme: "https", Host: "example.org"}}} {
		if id, err := FromCertificate(&x509.Certificate{URIs: uris}); !errors.Is(err, ErrIdentity) || id != (Identity{}) {
			t.Errorf("%d names: %v, %v", len(uris), id, err)
		}
	}
}

func FuzzFromCertificate(f *testing.F) {
	f.Add("spiffe://" + cluster + "/node/node_1")
	f.Add("spiffe://a/node/%61")
	f.Add("spiffe://a:1/node/b?c#d")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil {
			return
		}
		id, err := FromCertificate(&x509.Certificate{URIs: []*url.URL{u}})
		if err != nil {
			return
		}
		again, err := FromCertificate(&x509.Certificate{URIs: []*url.URL{id.URI()}})
		if err != nil || again != id || id.ID == "" || id.Cluster == "" {
			t.Errorf("%q is %+v, which is %+v, %v", s, id, again, err)
		}
	})
}

func TestVerify(t *testing.T) {
	now := time.Now()
	ours, theirs := newAuthority(t), newAuthority(t)
	node := Identity{cluster, Node, "node_1"}
	good := ours.sign(t, node, now.Add(time.Hour), x509.ExtKeyUsageClientAuth)
	for _, tt := range []struct {
		name    string
		chain   []*x509.Certificate
		cluster string
		kind    Kind
		ok      bool
	}{
		{"good", []*x509.Certificate{good}, cluster, Node, true},
		{"of any cluster", []*x509.Certificate{good}, "", Node, true},
		{"none", nil, cluster, Node, false},
		{"another kind", []*x509.Certificate{good}, cluster, Connector, false},
		{"another cluster", []*x509.Certificate{good}, "other", Node, false},
		{"another authority", []*x509.Certificate{theirs.sign(t, node, now.Add(time.Hour), x509.ExtKeyUsageClientAuth)}, cluster, Node, false},
		{"another authority, ours behind it", []*x509.Certificate{theirs.sign(t, node, now.Add(time.Hour), x509.ExtKeyUsageClientAuth), ours.cert}, cluster, Node, false},
		{"expired", []*x509.Certificate{ours.sign(t, node, now.Add(-time.Minute), x509.ExtKeyUsageClientAuth)}, cluster, Node, false},
		{"for another usage", []*x509.Certificate{ours.sign(t, node, now.Add(time.Hour), x509.ExtKeyUsageServerAuth)}, cluster, Node, false},
		{"without a name", []*x509.Certificate{ours.cert}, cluster, Node, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			roots := x509.NewCertPool()
			roots.AddCert(ours.cert)
			id, err := Verify(tt.chain, roots, x509.ExtKeyUsageClientAuth, tt.cluster, tt.kind)
			if (err == nil) != tt.ok || tt.ok && id != node {
				t.Errorf("got %v, %v", id, err)
			}
		})
	}
}

// authority signs certificates of tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{key: key}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert = a.issue(t, tmpl, tmpl)
	return a
}

func (a authority) sign(t *testing.T, id Identity, until time.Time, usage x509.ExtKeyUsage) *x509.Certificate {
	t.Helper()
	return a.issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: until, URIs: []*url.URL{id.URI()}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}, a.cert)
}

func (a authority) issue(t *testing.T, tmpl, parent *x509.Certificate) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

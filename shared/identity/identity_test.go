package identity

import (
	"crypto/x509"
	"errors"
	"net/url"
	"testing"
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

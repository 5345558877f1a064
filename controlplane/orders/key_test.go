package orders

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

// Whatever an authority hands out is looked at before nodes get it.
func TestWhatIsIssuedIsChecked(t *testing.T) {
	now := time.Now()
	make := func() (crypto.Signer, []byte) {
		key, keyPEM, err := newKey(model.ECDSA)
		if err != nil {
			t.Fatal(err)
		}
		return key, keyPEM
	}
	caKey, _ := make()
	otherCA, _ := make()
	key, keyPEM := make()
	_, otherPEM := make()
	sign := func(c, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer) []byte {
		der, err := x509.CreateCertificate(rand.Reader, c, parent, public, by)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	root := sign(ca, ca, caKey.Public(), caKey)
	names := []string{"*.a.test", "a.test"}
	for name, tt := range map[string]struct {
		change func(c *x509.Certificate)
		by     crypto.Signer // the authority's own if nil
		key    []byte        // the right one if nil
		alone  bool          // without the authority's certificate
		says   string        // "": it is content
	}{
		"good":                 {},
		"without intermediate": {alone: true},
		"names in any order":   {change: func(c *x509.Certificate) { c.DNSNames = []string{"a.test", "*.a.test"} }},
		"of another key":       {key: otherPEM, says: "private key does not match"},
		"a name more":          {change: func(c *x509.Certificate) { c.DNSNames = append(slices.Clone(c.DNSNames), "b.test") }, says: "b.test"},
		"a name less":          {change: func(c *x509.Certificate) { c.DNSNames = c.DNSNames[:1] }, says: "is for"},
		"an address":           {change: func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)} }, says: "is for"},
		"ended":                {change: func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }, says: "ended at"},
		"ends before it began": {change: func(c *x509.Certificate) { c.NotBefore = now.Add(2 * time.Hour) }, says: "ended at"},
		"a clock of its own":   {change: func(c *x509.Certificate) { c.NotBefore = now.Add(early / 2) }},
		"not valid yet":        {change: func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(early+time.Minute), now.Add(day) }, says: "not valid before"},
		"an authority's":       {change: func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }, says: "an authority's"},
		"signed by another":    {by: otherCA, says: "did not sign"},
	} {
		c := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: names, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
		if tt.change != nil {
			tt.change(c)
		}
		by, with := tt.by, tt.key
		if by == nil {
			by = caKey
		}
		if with == nil {
			with = keyPEM
		}
		chain := sign(c, ca, key.Public(), by)
		if !tt.alone {
			chain = append(chain, root...)
		}
		l, err := check(chain, with, names, now)
		if tt.says == "" && (err != nil || l == nil) || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
	}
}

package orders

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

// newKey makes a private key of a type and returns it with its PKCS #8 PEM.
func newKey(kind model.KeyType) (key crypto.Signer, keyPEM []byte, err error) {
	if kind == model.RSA {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("private key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("private key: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// parseKey reads what newKey wrote.
func parseKey(keyPEM []byte) (crypto.Signer, error) {
	b, _ := pem.Decode(keyPEM)
	if b == nil {
		return nil, errors.New("private key: no PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key: %T does not sign", key)
	}
	return signer, nil
}

// request makes a certificate request without a common name, which has no meaning any more and only 64 octets.
func request(key crypto.Signer, names []string) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	return der, nil
}

// early is how far ahead of ours an authority's clock may be.
const early = time.Hour

// check reads a chain and makes sure that it is what was ordered: of the key, for the names and no others, valid
// now as far as clocks agree, and each certificate signed by the next.
func check(chainPEM, keyPEM []byte, names []string, now time.Time) (*x509.Certificate, error) {
	pair, err := tls.X509KeyPair(chainPEM, keyPEM) // compares the keys
	if err != nil {
		return nil, err
	}
	have := slices.Clone(pair.Leaf.DNSNames)
	slices.Sort(have)
	if !slices.Equal(slices.Compact(have), names) || len(pair.Leaf.IPAddresses)+len(pair.Leaf.EmailAddresses)+len(pair.Leaf.URIs) > 0 {
		return nil, fmt.Errorf("the certificate is for %.200q", have)
	}
	if !now.Before(pair.Leaf.NotAfter) || !pair.Leaf.NotBefore.Before(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("the certificate ended at %s", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if pair.Leaf.NotBefore.After(now.Add(early)) {
		return nil, fmt.Errorf("the certificate is not valid before %s", pair.Leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	if pair.Leaf.IsCA {
		return nil, errors.New("the certificate is an authority's")
	}
	child := pair.Leaf
	for i, der := range pair.Certificate[1:] {
		parent, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain: %w", i+2, err)
		}
		if err := child.CheckSignatureFrom(parent); err != nil {
			return nil, fmt.Errorf("certificate %d of the chain did not sign the one before it: %w", i+2, err)
		}
		child = parent
	}
	return pair.Leaf, nil
}

// leaf reads the first certificate of a chain.
func leaf(chainPEM []byte) (*x509.Certificate, error) {
	b, _ := pem.Decode(chainPEM)
	if b == nil {
		return nil, errors.New("no certificate in the chain")
	}
	return x509.ParseCertificate(b.Bytes)
}

package cluster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// PagesURL is where people sign in: at the balancer, which ends their TLS.
const (
	PagesURL  = "https://" + pagesHost
	pagesHost = "control.test"
	pagesKeys = "pages.pem"    // certificate and key, as HAProxy reads them
	pagesCA   = "pages-ca.pem" // who has issued it
	setupFile = "setup.url"    // where the first administrator is made
)

// PagesCA is the file with the authority of the pages' certificate, one that is none of the cluster's own.
func (c *Cluster) PagesCA() string { return filepath.Join(c.Dir, pagesCA) }

// Setup is the link with which the first administrator is made.
func (c *Cluster) Setup() (string, error) {
	b, err := os.ReadFile(filepath.Join(c.Dir, setupFile))
	return strings.TrimSpace(string(b)), err
}

// certifyPages writes a certificate for the pages, its key, and the authority.
func (c *Cluster) certifyPages() error {
	now := time.Now()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{pagesHost}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("authority of the pages: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("key of the pages: %w", err)
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return fmt.Errorf("authority of the pages: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return fmt.Errorf("certificate of the pages: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("key of the pages: %w", err)
	}
	var both bytes.Buffer
	_ = pem.Encode(&both, &pem.Block{Type: "CERTIFICATE", Bytes: der}) // a buffer takes all
	_ = pem.Encode(&both, &pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if _, err := c.Write(pagesKeys, both.String()); err != nil {
		return err
	}
	_, err = c.Write(pagesCA, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})))
	return err
}

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenedge/warren/shared/bubbletest"
)

// pemPair is a certificate of a serial number, and its key, in PEM.
func pemPair(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func TestAPICertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(name string, b []byte) {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := newAPICert(certFile, keyFile, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("files that are not there were taken")
	}
	cert, key := pemPair(t, 1)
	write(certFile, cert)
	write(keyFile, key)
	bubbletest.Run(t, func(t *testing.T) {
		c, err := newAPICert(certFile, keyFile, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		serves := func(want int64, when string) {
			t.Helper()
			time.Sleep(2 * certEvery)
			synctest.Wait()
			if got, err := c.get(nil); err != nil || got.Leaf.SerialNumber.Int64() != want {
				t.Errorf("%s: serial %s, want %d (%v)", when, got.Leaf.SerialNumber, want, err)
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		serves(1, "nothing changed")
		cert, key := pemPair(t, 2)
		write(certFile, cert)
		serves(1, "the key is still the old one")
		write(keyFile, key)
		serves(2, "both have changed")
		write(certFile, []byte("half"))
		serves(2, "no certificate at all")
		if err := os.Remove(keyFile); err != nil {
			t.Fatal(err)
		}
		serves(2, "no key")
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

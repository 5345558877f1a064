package join

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/warrenedge/warren/shared/atomicfile"
	"github.com/warrenedge/warren/shared/wgkey"
)

// request makes a certificate request for the key in a file, making the key if there is none.
func request(dir, name string) ([]byte, error) {
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if b, err = newKey(); err == nil {
			err = atomicfile.Write(path, b)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("identity key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("identity key: no PEM block in %s", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("identity key: %w", err)
	}
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
}

func newKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func makeWireGuardKey(dir string) (made bool, err error) {
	path := filepath.Join(dir, wgFile)
	if _, err := os.Stat(path); err == nil {
		return false, nil
	}
	k, err := wgkey.New()
	if err != nil {
		return false, err
	}
	return true, atomicfile.Write(path, k.Reveal())
}

func loadWireGuardKey(dir string) (wgkey.Private, error) {
	b, err := os.ReadFile(filepath.Join(dir, wgFile))
	if err != nil {
		return wgkey.Private{}, fmt.Errorf("WireGuard key: %w", err)
	}
	return wgkey.PrivateFromBytes(b)
}

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// certEvery is how often the files of the API's certificate are looked at: whoever renews them does so days ahead.
const certEvery = 30 * time.Second

// apiCert is the API's certificate, read again when its files change. It outlives a file that is missing, half written or
// wrong: the one before goes on, and the log says why.
type apiCert struct {
	certFile, keyFile string
	log               *slog.Logger
	read              [2][]byte // what the files held when they were last looked at; used by Run only
	cert              atomic.Pointer[tls.Certificate]
}

// newAPICert reads both files; its error names the setting.
func newAPICert(certFile, keyFile string, log *slog.Logger) (*apiCert, error) {
	c := &apiCert{certFile: certFile, keyFile: keyFile, log: log}
	if _, err := c.load(); err != nil {
		return nil, fmt.Errorf("api_tls_cert: %w", err)
	}
	return c, nil
}

// get is a tls.Config's GetCertificate.
func (c *apiCert) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.cert.Load(), nil }

// load takes what the files hold, and reports whether that is another than before.
func (c *apiCert) load() (changed bool, err error) {
	var now [2][]byte
	for i, name := range []string{c.certFile, c.keyFile} {
		if now[i], err = os.ReadFile(name); err != nil {
			return false, err
		}
	}
	if bytes.Equal(now[0], c.read[0]) && bytes.Equal(now[1], c.read[1]) {
		return false, nil
	}
	pair, err := tls.X509KeyPair(now[0], now[1])
	if err != nil {
		return false, err
	}
	c.read = now
	c.cert.Store(&pair)
	return true, nil
}

// String names the task.
func (c *apiCert) String() string { return "api certificate" }

// Run looks at the files until ctx ends.
func (c *apiCert) Run(ctx context.Context) error {
	tick := time.NewTicker(certEvery)
	defer tick.Stop()
	for said := ""; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		switch changed, err := c.load(); {
		case err != nil && err.Error() != said:
			said = err.Error()
			c.log.Error("the API's new certificate is no use, the one before goes on", "file", c.certFile, "err", err)
		case changed:
			said = ""
			c.log.Info("the API's certificate has changed", "expires", c.cert.Load().Leaf.NotAfter)
		}
	}
}

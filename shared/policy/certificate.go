package policy

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/warrenedge/warren/shared/hostname"
)

// authorities admits certificates.
type authorities struct {
	roots *x509.CertPool
	names []string
}

func (c *Compiled) compileCertificate(a *ClientCertificate) error {
	if a.AuthoritiesPEM == "" {
		if len(a.Names) > 0 {
			return wrong("auth.client_certificate.authorities_pem", "missing: names alone prove nothing")
		}
		return nil
	}
	pool := x509.NewCertPool()
	n := 0
	for rest := []byte(a.AuthoritiesPEM); ; n++ {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			if len(strings.TrimSpace(string(rest))) > 0 {
				return wrong("auth.client_certificate.authorities_pem", "what follows block %d is not PEM", n)
			}
			break
		}
		cert, err := x509.ParseCertificate(b.Bytes)
		if b.Type != "CERTIFICATE" || err != nil {
			return wrong("auth.client_certificate.authorities_pem", "block %d is not a certificate", n+1)
		}
		if !cert.IsCA {
			return wrong("auth.client_certificate.authorities_pem", "block %d is not of an authority", n+1)
		}
		pool.AddCert(cert)
	}
	if n == 0 {
		return wrong("auth.client_certificate.authorities_pem", "no certificate in it")
	}
	for i, name := range a.Names {
		if err := checkSubject(name); err != nil {
			return wrong(fmt.Sprintf("auth.client_certificate.names[%d]", i), "%v", err)
		}
	}
	c.authorities = &authorities{pool, a.Names}
	known := append([]string{a.AuthoritiesPEM}, a.Names...)
	return c.put("auth.client_certificate", &Credential{ID: certificateID, Version: version(WayCertificate, certificateID, known...), Way: WayCertificate})
}

func checkSubject(name string) error {
	switch {
	case strings.Contains(name, "://"):
		if strings.Contains(strings.TrimSuffix(name, "*"), "*") {
			return fmt.Errorf("%q: \"*\" is the last character of a URI, or not in it", name)
		}
	case strings.Contains(name, "@"):
		if domain, all := strings.CutPrefix(name, "*@"); all {
			name = "all@" + domain
		}
		if _, err := CanonicalMail(name); err != nil {
			return err
		}
	default:
		if s, err := hostname.CanonicalPattern(name); err != nil || s != name {
			return fmt.Errorf("%q is no DNS name in its canonical form, mail address or URI", name)
		}
	}
	return nil
}

// Certificate reports whether the certificates that a client has shown, its own first, are a way in at a time, and what they
// prove. It costs signatures: once for each connection.
func (c *Compiled) Certificate(chain []*x509.Certificate, at time.Time) (Proof, error) {
	if c.authorities == nil || len(chain) == 0 {
		return Proof{}, fmt.Errorf("no certificate is asked for, or none shown")
	}
	opts := x509.VerifyOptions{Roots: c.authorities.roots, Intermediates: x509.NewCertPool(), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, cert := range chain[1:] {
		opts.Intermediates.AddCert(cert)
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return Proof{}, err
	}
	if !c.authorities.named(chain[0]) {
		return Proof{}, fmt.Errorf("the certificate has none of the names that are asked for")
	}
	return c.credentials[certificateID].Proof(), nil
}

func (a *authorities) named(cert *x509.Certificate) bool {
	if len(a.names) == 0 {
		return true
	}
	for _, want := range a.names {
		switch {
		case strings.Contains(want, "://"):
			for _, u := range cert.URIs {
				prefix, open := strings.CutSuffix(want, "*")
				if s := u.String(); s == want || open && strings.HasPrefix(s, prefix) {
					return true
				}
			}
		case strings.Contains(want, "@"):
			for _, m := range cert.EmailAddresses {
				domain, all := strings.CutPrefix(want, "*")
				if s, err := CanonicalMail(m); err == nil && (s == want || all && strings.HasSuffix(s, domain)) {
					return true
				}
			}
		default:
			for _, d := range cert.DNSNames {
				if s, err := hostname.Canonical(d); err == nil && hostname.Match(want, s) {
					return true
				}
			}
		}
	}
	return false
}

// Authorities is whose certificates clients are asked for; nil if none are.
func (c *Compiled) Authorities() *x509.CertPool {
	if c.authorities == nil {
		return nil
	}
	return c.authorities.roots
}

// CertificateVersion is another one as soon as other certificates are a way in; "" if none are.
func (c *Compiled) CertificateVersion() string {
	if c.authorities == nil {
		return ""
	}
	return c.credentials[certificateID].Version
}

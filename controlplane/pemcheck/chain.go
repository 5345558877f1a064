package pemcheck

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
)

// order follows the issuers from the leaf on, through what was uploaded, then through what is known. It
// leaves out roots, which clients have or do not trust, and refuses what is no part of the chain.
func order(leaf *cert, uploaded []*cert, o Options) ([]*x509.Certificate, error) {
	pool := slices.Clone(uploaded)
	for _, c := range o.Intermediates {
		pool = append(pool, &cert{Certificate: c})
	}
	chain, used := []*cert{leaf}, map[string]bool{string(leaf.Raw): true}
	for last := leaf; !selfSigned(last.Certificate); {
		next, err := issuer(last, pool, used, o.Now)
		if err != nil {
			return nil, err
		}
		if next == nil || len(chain) > maxCerts {
			break
		}
		used[string(next.Raw)] = true
		chain, last = append(chain, next), next
	}
	for _, c := range uploaded {
		if !used[string(c.Raw)] && !selfSigned(c.Certificate) && !slices.ContainsFunc(chain, c.twin) {
			return nil, fault.Field("chain", "%s (%.200q) has issued none of the others: it is no part of the chain", c, c.Subject)
		}
	}
	for _, c := range chain[1:] {
		if err := judgeTime(c, o.Now); err != nil {
			return nil, err
		}
		if err := judgeStrength(c); err != nil {
			return nil, err
		}
	}
	return served(chain, o)
}

// twin says whether c is another certificate of p's name and key, cross-signed or renewed.
func (c *cert) twin(p *cert) bool {
	return bytes.Equal(c.RawSubject, p.RawSubject) && bytes.Equal(c.RawSubjectPublicKeyInfo, p.RawSubjectPublicKeyInfo)
}

// issuer returns the certificate that has signed c: of several, one that is valid now, and rather a
// cross-signed one than a root. Nil: there is none.
func issuer(c *cert, pool []*cert, used map[string]bool, now time.Time) (*cert, error) {
	var found *cert
	var refused error
	for _, p := range pool {
		if used[string(p.Raw)] || !named(c.Certificate, p.Certificate) {
			continue
		}
		if err := judgeSize(p); err != nil { // before it costs time
			return nil, err
		}
		if err := judgeSignature(c); err != nil {
			return nil, err
		}
		if err := c.CheckSignatureFrom(p.Certificate); err != nil {
			refused = fault.Field("chain", "%s names %s as its issuer, which has not signed it: %v", c, p, err)
			continue
		}
		if found == nil || rank(p, now) > rank(found, now) {
			found = p
		}
	}
	if found == nil {
		return nil, refused
	}
	return found, nil
}

// named says whether c names p as its issuer (RFC 5280 §4.1.2.4, §4.2.1.1).
func named(c, p *x509.Certificate) bool {
	return bytes.Equal(p.RawSubject, c.RawIssuer) &&
		(len(c.AuthorityKeyId) == 0 || len(p.SubjectKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, p.SubjectKeyId))
}

func rank(c *cert, now time.Time) (n int) {
	if !now.Before(c.NotBefore) && now.Before(c.NotAfter) {
		n += 2
	}
	if !selfSigned(c.Certificate) {
		n++
	}
	return n
}

// served cuts the root off and says whether clients can follow what is left.
func served(chain []*cert, o Options) ([]*x509.Certificate, error) {
	last := chain[len(chain)-1]
	middle, top := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range chain[1:] {
		middle.AddCert(c.Certificate)
	}
	top.AddCert(last.Certificate)
	leaf := chain[0]
	verify := func(roots *x509.CertPool) error {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle, CurrentTime: o.Now})
		return err
	}
	if err := verify(top); err != nil { // constraints on names, purposes and lengths
		return nil, fault.Field("chain", "clients refuse %s below %s: %v", leaf, last, err)
	}
	if len(chain) == 1 {
		switch {
		case selfSigned(leaf.Certificate):
			if err := leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature); err != nil {
				return nil, fault.Field("chain", "%s names itself as its issuer and is not signed by its key: %v", leaf, err)
			}
		case o.Roots == nil || verify(o.Roots) != nil:
			return nil, fault.Field("chain", "it is incomplete: %s was issued by %.200q, whose certificate is missing; append it", leaf, leaf.Issuer)
		}
	}
	if len(chain) > 1 && selfSigned(last.Certificate) {
		chain = chain[:len(chain)-1]
	}
	var out []*x509.Certificate
	for _, c := range chain {
		out = append(out, c.Certificate)
	}
	return out, nil
}

// selfSigned says whether a certificate names itself as its issuer.
func selfSigned(c *x509.Certificate) bool { return named(c, c) }

func judgeTime(c *cert, now time.Time) error {
	day := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch {
	case !c.NotBefore.Before(c.NotAfter):
		return fault.Field("chain", "%s is valid from %s to %s, which is never", c, day(c.NotBefore), day(c.NotAfter))
	case now.Before(c.NotBefore):
		return fault.Field("chain", "%s is not valid before %s", c, day(c.NotBefore))
	case !now.Before(c.NotAfter):
		return fault.Field("chain", "%s has expired at %s", c, day(c.NotAfter))
	}
	return nil
}

// judgeStrength is about keys and signatures that clients refuse. A root's signature of itself means nothing.
func judgeStrength(c *cert) error {
	if err := judgeSize(c); err != nil {
		return err
	}
	if selfSigned(c.Certificate) && c.IsCA {
		return nil
	}
	return judgeSignature(c)
}

func judgeSignature(c *cert) error {
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1, x509.DSAWithSHA256, x509.UnknownSignatureAlgorithm:
		return fault.Field("chain", "%s is signed with %v, which clients refuse: SHA-256 or better is wanted", c, c.SignatureAlgorithm)
	}
	return nil
}

func judgeSize(c *cert) error {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < 2048 || n > maxRSA {
			return fault.Field("chain", "%s has an RSA key of %d bits: want 2048 to %d", c, n, maxRSA)
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P224() {
			return fault.Field("chain", "%s has an ECDSA key on P-224: want P-256 or more", c)
		}
	case ed25519.PublicKey:
	default:
		return fault.Field("chain", "%s has a key of kind %v: want RSA, ECDSA or Ed25519", c, c.PublicKeyAlgorithm)
	}
	return nil
}

func forServers(c *x509.Certificate) bool {
	return len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 ||
		slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// mustStaple is RFC 7633's TLS feature extension with status_request (5) in it.
func mustStaple(c *x509.Certificate) bool {
	for _, e := range c.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}) {
			var features []int
			_, err := asn1.Unmarshal(e.Value, &features)
			return err == nil && slices.Contains(features, 5)
		}
	}
	return false
}

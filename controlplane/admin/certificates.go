package admin

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/pemcheck"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/hostname"
)

// Certificate is a TLS certificate; its private key is never shown.
type Certificate struct {
	ID                string      `json:"id"`
	Organization      string      `json:"organization"`
	Names             []string    `json:"names"`
	NotBefore         time.Time   `json:"not_before"`
	NotAfter          time.Time   `json:"not_after"`
	FingerprintSHA256 string      `json:"fingerprint_sha256" doc:"Of the leaf; empty when the chain can't be read"`
	Issuer            string      `json:"issuer,omitempty" doc:"Where it was ordered; empty of one that was uploaded"`
	Managed           string      `json:"managed,omitempty" doc:"The managed certificate that it is of, by id"`
	Uploaded          bool        `json:"uploaded"`
	Revocation        *Revocation `json:"revocation,omitempty" doc:"Present as soon as it was asked for"`
	SupersededBy      string      `json:"superseded_by,omitempty" doc:"The certificate that took its place, by id: this one goes when all nodes have had that one for a day, or stays behind it if one of the two was uploaded"`
	CreatedAt         time.Time   `json:"created_at"`
	UpdatedAt         time.Time   `json:"updated_at"`
}

func certificates(a *Admin) *Collection[model.Certificate, struct{}, Certificate] {
	return &Collection[model.Certificate, struct{}, Certificate]{
		a: a, kind: "certificate", inOrg: true, read: access.CertificatesRead, write: access.CertificatesWrite,
		byRef: func(c *call, ref string) (*model.Certificate, error) {
			id, err := model.CertificateID{}.Parse(ref)
			if err != nil {
				return nil, notHere("certificate")
			}
			v, err := c.tx.GetCertificate(c, id)
			if err == nil && v.Org != c.org {
				return nil, notHere("certificate")
			}
			return v, err
		},
		list:  func(c *call, p store.Page) ([]*model.Certificate, error) { return c.tx.ListCertificates(c, c.org, p) },
		after: func(v *model.Certificate) string { return v.ID.UUID.String() },
		drop:  dropCertificate,
		view:  viewCertificate,
	}
}

// dropCertificate removes a certificate that no service would miss, be it named in it or covered by a wildcard of it. One that is kept for services
// is ordered anew at once.
func dropCertificate(c *call, v *model.Certificate) error {
	now := time.Now()
	spare := func(name string) (bool, error) {
		all, err := c.tx.ListCertificatesNamed(c, v.Org, name)
		return slices.ContainsFunc(all, func(o *model.Certificate) bool { return o.ID != v.ID && now.Before(o.NotAfter) }), err
	}
	for _, name := range v.Names {
		if ok, err := spare(name); err != nil {
			return err
		} else if ok {
			continue
		}
		services, err := c.tx.ListServicesWithin(c, strings.TrimPrefix(name, "*."))
		if err != nil {
			return err
		}
		for _, s := range services {
			if s.Org != v.Org || !s.EndsTLS() || !hostname.Match(name, s.Hostname) {
				continue
			}
			other := s.Hostname // the other name by which a certificate may be the service's
			if w, ok := hostname.Wildcard(s.Hostname); ok && name == s.Hostname && !hostname.IsWildcard(name) {
				other = w
			}
			if ok, err := spare(other); err != nil {
				return err
			} else if !ok {
				return fault.New(fault.Conflict, "needed by service %s, which has no other", s.Name)
			}
		}
	}
	if err := c.anew(v, now); err != nil {
		return err
	}
	return c.tx.DeleteCertificate(c, v.ID)
}

// anew makes what is kept for services due, since its certificate goes.
func (c *call) anew(v *model.Certificate, now time.Time) error {
	if v.Managed.IsZero() {
		return nil
	}
	m, err := c.tx.LockManagedCertificate(c, v.Managed)
	if err != nil || !m.Wanted || m.Certificate != v.ID {
		return fault.Ignore(err, fault.NotFound)
	}
	m.NextAttempt, m.LadderStep = now.UTC(), 0
	if err := c.tx.UpdateManagedCertificate(c, m); err != nil {
		return err
	}
	return c.tx.PlanCertificates(c)
}

func viewCertificate(c *call, v *model.Certificate) (out Certificate, err error) {
	out = Certificate{
		ID: v.ID.String(), Names: v.Names, NotBefore: v.NotBefore.UTC(), NotAfter: v.NotAfter.UTC(), Uploaded: v.Uploaded, CreatedAt: v.Created.UTC(), UpdatedAt: v.Updated.UTC(),
	}
	if b, _ := pem.Decode(v.ChainPEM); b != nil {
		sum := sha256.Sum256(b.Bytes)
		out.FingerprintSHA256 = hex.EncodeToString(sum[:])
	}
	if !v.Managed.IsZero() {
		out.Managed = v.Managed.String()
	}
	if !v.SupersededBy.IsZero() {
		out.SupersededBy = v.SupersededBy.String()
	}
	if out.Revocation, err = c.revocation(v.ID); err != nil {
		return out, err
	}
	switch {
	case v.Uploaded:
	case v.Issuer.IsZero():
		out.Issuer = model.InternalIssuer
	default:
		if out.Issuer, err = c.issuerName(v.Issuer); err != nil {
			return out, err
		}
	}
	out.Organization, err = c.orgName(v.Org)
	return out, err
}

// UploadSpec is a certificate from elsewhere.
type UploadSpec struct {
	Chain string `json:"chain" minLength:"1" maxLength:"262144" doc:"PEM: the certificate and its intermediates, in any order"`
	Key   string `json:"key" minLength:"1" maxLength:"16384" writeOnly:"true" doc:"PEM: its private key, unencrypted; never shown again"`
}

// Upload adds a certificate that was made elsewhere. Nobody renews it: it is served until it is replaced or removed, also
// where it ends before those that the cluster's own authority has made for its names.
func (a *Admin) Upload(ctx context.Context, p access.Principal, org string, s UploadSpec) (out Certificate, rev model.Revision, err error) {
	known, err := x509.SystemCertPool()
	if err != nil {
		known = nil // then a chain needs a certificate besides the leaf
	}
	rev, err = a.Certificates.with(ctx, p, org, "upload", access.CertificatesUpload, func(c *call) error { // who may not write learns nothing of what he sent
		u, err := pemcheck.Check([]byte(s.Chain), []byte(s.Key), pemcheck.Options{Now: time.Now(), Roots: known})
		if err != nil {
			return err
		}
		switch known, err := c.tx.KeyCompromised(c, u.Leaf.RawSubjectPublicKeyInfo); {
		case err != nil:
			return err
		case known:
			return fault.Field("key", "a certificate of this key was revoked because others know the key")
		}
		keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: u.KeyDER})
		v := &model.Certificate{
			ID: model.CertificateID{}.New(), Org: c.org, Names: u.Names, ChainPEM: u.ChainPEM, NotBefore: u.Leaf.NotBefore.UTC(), NotAfter: u.Leaf.NotAfter.UTC(), Uploaded: true,
			KeyType: keyType(u.Leaf),
		}
		if v.SealedKey, err = a.sealer.Seal(keyPEM, v.ID.String()); err != nil {
			return err
		}
		if err := c.tx.CreateCertificate(c, v); err != nil {
			return err
		}
		if err := c.tx.SupersedeCertificates(c, v.ID); err != nil {
			return err
		}
		a.Certificates.did(c, "upload", v)
		out, err = a.Certificates.shown(c, v.ID.String())
		return err
	})
	return out, rev, err
}

// keyType says of what type a certificate's key is, as far as it matters to anybody.
func keyType(leaf *x509.Certificate) model.KeyType {
	switch leaf.PublicKeyAlgorithm {
	case x509.RSA:
		return model.RSA
	case x509.ECDSA:
		return model.ECDSA
	}
	return ""
}

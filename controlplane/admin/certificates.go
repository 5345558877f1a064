package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Certificate is a TLS certificate; its private key is never shown.
type Certificate struct {
	ID                string    `json:"id"`
	Organization      string    `json:"organization"`
	Names             []string  `json:"names"`
	NotBefore         time.Time `json:"not_before"`
	NotAfter          time.Time `json:"not_after"`
	FingerprintSHA256 string    `json:"fingerprint_sha256" doc:"Of the leaf; empty when the chain can't be read"`
	CreatedAt         time.Time `json:"created_at"`
	UpdatedAt         time.Time `json:"updated_at"`
}

func certificates(a *Admin) *Collection[model.Certificate, struct{}, Certificate] {
	return &Collection[model.Certificate, struct{}, Certificate]{
		a: a, kind: "certificate", inOrg: true, read: access.OrgRead, write: access.OrgWrite,
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
		drop: func(c *call, v *model.Certificate) error {
			for _, name := range v.Names {
				s, err := c.tx.GetServiceByHostname(c, name)
				if err == nil && s.Org == v.Org && s.EndsTLS() {
					return fault.New(fault.Conflict, "needed by service %s", s.Name)
				}
			}
			return c.tx.DeleteCertificate(c, v.ID)
		},
		view: func(c *call, v *model.Certificate) (out Certificate, err error) {
			out = Certificate{ID: v.ID.String(), Names: v.Names, NotBefore: v.NotBefore.UTC(), NotAfter: v.NotAfter.UTC(), CreatedAt: v.Created.UTC(), UpdatedAt: v.Updated.UTC()}
			if b, _ := pem.Decode(v.ChainPEM); b != nil {
				sum := sha256.Sum256(b.Bytes)
				out.FingerprintSHA256 = hex.EncodeToString(sum[:])
			}
			out.Organization, err = c.orgName(v.Org)
			return out, err
		},
	}
}

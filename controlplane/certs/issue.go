package certs

import (
	"context"
	"fmt"
	"time"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Issuer makes certificates with the cluster's own authority.
type Issuer struct {
	web    *authority.Authority
	sealer *authority.Sealer
}

// NewIssuer makes an Issuer.
func NewIssuer(web *authority.Authority, sealer *authority.Sealer) *Issuer {
	return &Issuer{web, sealer}
}

// Issue makes a certificate for one canonical hostname or pattern and writes it in the transaction. The
// private key is sealed for its row.
func (i *Issuer) Issue(ctx context.Context, tx *store.Tx, org model.OrgID, hostname string, now time.Time) error {
	w, err := i.web.IssueWeb([]string{hostname}, now)
	if err != nil {
		return err
	}
	c := &model.Certificate{
		ID: model.CertificateID{}.New(), Org: org, Names: []string{hostname}, ChainPEM: w.ChainPEM, NotBefore: w.NotBefore, NotAfter: w.NotAfter,
		KeyType: model.ECDSA,
	}
	if c.SealedKey, err = i.sealer.Seal(w.KeyPEM, c.ID.String()); err != nil {
		return err
	}
	return tx.CreateCertificate(ctx, c)
}

// Ensure issues for a service unless it has a certificate that is not yet to be replaced, or certificates are
// ordered from authorities: then the first one comes from there.
func (i *Issuer) Ensure(ctx context.Context, tx *store.Tx, s *model.Service, now time.Time) error {
	if !s.EndsTLS() {
		return nil
	}
	have, err := tx.ListCertificatesNamed(ctx, s.Org, s.Hostname)
	if err != nil {
		return err
	}
	if len(have) > 0 && (!have[0].Own() || now.Before(RenewAt(have[0]))) {
		return nil
	}
	if len(have) == 0 {
		if ordered, err := tx.HasIssuers(ctx); err != nil || ordered {
			return err
		}
	}
	if err := i.Issue(ctx, tx, s.Org, s.Hostname, now); err != nil {
		return fmt.Errorf("certificate of %s: %w", s.Hostname, err)
	}
	return nil
}

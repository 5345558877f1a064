package certs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/hostname"
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
// private key is sealed for its row. It stands behind another certificate, if there is one whose place it is not to take.
func (i *Issuer) Issue(ctx context.Context, tx *store.Tx, org model.OrgID, hostname string, behind model.CertificateID, now time.Time) error {
	w, err := i.web.IssueWeb([]string{hostname}, now)
	if err != nil {
		return err
	}
	c := &model.Certificate{
		ID: model.CertificateID{}.New(), Org: org, Names: []string{hostname}, ChainPEM: w.ChainPEM, NotBefore: w.NotBefore, NotAfter: w.NotAfter,
		KeyType: model.ECDSA, SupersededBy: behind,
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
	behind, err := uploaded(ctx, tx, s, have, now)
	if err != nil {
		return err
	}
	if err := i.Issue(ctx, tx, s.Org, s.Hostname, behind, now); err != nil {
		return fmt.Errorf("certificate of %s: %w", s.Hostname, err)
	}
	return nil
}

// uploaded returns the certificate that somebody has uploaded for a service, of those of its name or by a wildcard; zero: none that is good.
func uploaded(ctx context.Context, tx *store.Tx, s *model.Service, have []*model.Certificate, now time.Time) (model.CertificateID, error) {
	if w, ok := hostname.Wildcard(s.Hostname); ok && !hostname.IsWildcard(s.Hostname) {
		covering, err := tx.ListCertificatesNamed(ctx, s.Org, w)
		if err != nil {
			return model.CertificateID{}, err
		}
		have = append(slices.Clone(have), covering...)
	}
	for _, c := range have {
		if c.Uploaded && c.SupersededBy.IsZero() && !now.Before(c.NotBefore) && now.Before(c.NotAfter) {
			return c.ID, nil
		}
	}
	return model.CertificateID{}, nil
}

package admin

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// RevocationSpec is why a certificate is to be revoked.
type RevocationSpec struct {
	Reason string `json:"reason" enum:"unspecified,keyCompromise,superseded,cessationOfOperation" doc:"RFC 5280 5.3.1. With keyCompromise the authority is asked at once, and the key is not taken again; else when another certificate has taken this one's place on all nodes"`
}

// Revocation is how the revocation of a certificate goes.
type Revocation struct {
	Certificate string     `json:"certificate"`
	Reason      string     `json:"reason"`
	AskedBy     string     `json:"asked_by,omitempty" doc:"Who had it revoked, as the audit log calls him; absent of one that was revoked before this was written down"`
	AskedAt     time.Time  `json:"asked_at"`
	RevokedAt   *time.Time `json:"revoked_at,omitempty"`
	NextAttempt *time.Time `json:"next_attempt,omitempty"`
	Problem     string     `json:"problem,omitempty" doc:"Why it is not revoked yet; of the authority in its own words"`
}

var reasons = map[string]model.RevocationReason{
	"unspecified": model.Unspecified, "keyCompromise": model.KeyCompromise, "superseded": model.Superseded, "cessationOfOperation": model.CessationOfOperation,
}

// RevokeCertificate has a certificate revoked by the authority that it was ordered from. Where services need its names another one is ordered now.
func (a *Admin) RevokeCertificate(ctx context.Context, p access.Principal, org, ref string, s RevocationSpec) (out Certificate, rev model.Revision, err error) {
	rev, err = a.Certificates.do(ctx, p, org, "revoke", func(c *call) error {
		v, err := a.Certificates.byRef(c, ref)
		if err != nil {
			return err
		}
		reason, ok := reasons[s.Reason]
		now := time.Now().UTC()
		block, _ := pem.Decode(v.ChainPEM)
		switch {
		case !ok:
			return fault.Field("reason", "%q, want unspecified, keyCompromise, superseded or cessationOfOperation", s.Reason)
		case v.Uploaded:
			return fault.New(fault.Conflict, "it was uploaded: whoever has made it revokes it")
		case v.Issuer.IsZero() || v.Managed.IsZero():
			return fault.New(fault.Conflict, "nothing is known here of the order that it came from")
		case !now.Before(v.NotAfter):
			return fault.New(fault.Conflict, "it ended at %s", v.NotAfter.UTC().Format(time.RFC3339))
		case block == nil:
			return fault.New(fault.Conflict, "its chain can't be read")
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fault.New(fault.Conflict, "its chain can't be read")
		}
		r := &model.Revocation{Certificate: v.ID, Org: v.Org, Managed: v.Managed, Issuer: v.Issuer, Leaf: leaf.Raw, Reason: reason, NotAfter: v.NotAfter, NextAttempt: now, AskedBy: asker(c.p)}
		if err := c.tx.CreateRevocation(c, r); err != nil {
			return err
		}
		if reason == model.KeyCompromise {
			if err := c.tx.CompromiseKey(c, leaf.RawSubjectPublicKeyInfo); err != nil {
				return err
			}
		}
		if err := c.replace(v, now); err != nil {
			return err
		}
		a.Certificates.did(c, "revoke", v)
		out, err = a.Certificates.shown(c, v.ID.String())
		return err
	})
	return out, rev, err
}

// replace makes the successor of a certificate due, if it has none and services need one.
func (c *call) replace(v *model.Certificate, now time.Time) error {
	m, err := c.tx.LockManagedCertificate(c, v.Managed)
	if fault.Of(err) == fault.NotFound {
		return nil
	}
	if err != nil || !m.Wanted || m.Certificate != v.ID {
		return err
	}
	m.NextAttempt, m.LadderStep = now, 0
	if err := c.tx.UpdateManagedCertificate(c, m); err != nil {
		return err
	}
	return c.tx.PlanCertificates(c)
}

func (c *call) revocation(id model.CertificateID) (*Revocation, error) {
	r, err := c.tx.GetRevocation(c, id)
	if fault.Of(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return viewRevocation(r), nil
}

// revocationsOf are those of the certificates that a managed one has had, the newest first.
func (c *call) revocationsOf(id model.ManagedCertificateID) (out []Revocation, err error) {
	rows, err := c.tx.ListRevocationsOf(c, id, shownOrders)
	for _, r := range rows {
		out = append(out, *viewRevocation(r))
	}
	return out, err
}

// asker is who acts, in words.
func asker(p access.Principal) string {
	e := Actor(p)
	return cmp.Or(e.ActorName, e.Actor)
}

func viewRevocation(r *model.Revocation) *Revocation {
	out := &Revocation{Certificate: r.Certificate.String(), AskedBy: r.AskedBy, AskedAt: r.Created.UTC(), RevokedAt: when(r.Revoked), Problem: r.Problem}
	for name, reason := range reasons {
		if reason == r.Reason {
			out.Reason = name
		}
	}
	if r.Revoked.IsZero() {
		out.NextAttempt = when(r.NextAttempt)
	}
	return out
}

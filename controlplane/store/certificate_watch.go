package store

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// Ending is a certificate that ends soon, with how it is kept.
type Ending struct {
	Certificate model.Certificate // without chain and key
	RenewAt     time.Time         // the three are zero unless it is managed
	NextAttempt time.Time
	Failing     time.Time
	LastProblem string
}

// EndingCertificates returns certificates that end between two moments, have no successor and may be missed, those
// that end first.
func (t *Tx) EndingCertificates(ctx context.Context, now, before time.Time, most int) ([]*Ending, error) {
	rows, err := t.q.EndingCertificates(ctx, db.EndingCertificatesParams{Now: now, Before: before, Most: int32(most)})
	return convert(rows, func(r db.EndingCertificatesRow) *Ending {
		v := &Ending{
			Certificate: model.Certificate{
				ID: model.CertificateID{UUID: r.ID}, Org: model.OrgID{UUID: r.OrgID}, Names: r.Names, NotBefore: r.NotBefore, NotAfter: r.NotAfter, Uploaded: r.Uploaded,
				Issuer: model.IssuerID{UUID: idOrZero(r.IssuerID)}, Managed: model.ManagedCertificateID{UUID: idOrZero(r.ManagedID)},
			},
			RenewAt: timeOrZero(r.RenewAt), NextAttempt: timeOrZero(r.NextAttempt), Failing: timeOrZero(r.FailingSince),
		}
		if r.LastProblem != nil {
			v.LastProblem = *r.LastProblem
		}
		return v
	}), classify(err, "list certificates")
}

// CertificateState is how many certificates are in a state, and when the first of them ends.
type CertificateState struct {
	State    string // of managed ones as the API has it, else uploaded, internal or expired
	Count    int
	FirstEnd time.Time // zero: none of them is there yet
}

// CertificateStates counts certificates by state.
func (t *Tx) CertificateStates(ctx context.Context, now time.Time) ([]CertificateState, error) {
	rows, err := t.q.CertificateStates(ctx, now)
	out := make([]CertificateState, len(rows))
	for i, r := range rows {
		out[i] = CertificateState{State: r.State, Count: int(r.Count)}
		if r.FirstEnd.Unix() > 0 {
			out[i].FirstEnd = r.FirstEnd
		}
	}
	return out, classify(err, "count certificates")
}

package certs

import (
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Room is how many orders an issuer's budget lets begin now.
type Room struct {
	New      int // of certificates that are not there yet
	Renewals int // all in all
}

// Start is an order to begin.
type Start struct {
	Managed *model.ManagedCertificate
	Issuer  *model.Issuer
	Renewal bool
}

// Pick chooses which of the certificates that are due are ordered now, in the order in which they come: as many
// as the budgets of their issuers have room for. The others stay due. issuers are in the order in which they are
// asked; one that is paused is passed over.
func Pick(due []store.Due, issuers []*model.Issuer, room map[model.IssuerID]Room, now time.Time) []Start {
	var out []Start
	for _, d := range due {
		i := Choice(d.ManagedCertificate, issuers, now)
		if i == nil {
			continue
		}
		r, renewal := room[i.ID], !d.Certificate.IsZero() && !d.Expires.IsZero()
		if r.Renewals <= 0 || !renewal && r.New <= 0 {
			continue
		}
		r.New, r.Renewals = r.New-1, r.Renewals-1
		room[i.ID] = r
		out = append(out, Start{d.ManagedCertificate, i, renewal})
	}
	return out
}

// Choice returns the issuer that a certificate is ordered from now: the one that is named on it, else the first
// that is not paused. Nil: none.
func Choice(m *model.ManagedCertificate, issuers []*model.Issuer, now time.Time) *model.Issuer {
	for _, i := range issuers {
		switch {
		case i.Internal() || !m.Issuer.IsZero() && i.ID != m.Issuer:
		case !now.Before(i.PausedUntil):
			return i
		}
	}
	return nil
}

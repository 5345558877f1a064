package certs

import (
	"maps"
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
// that neither is paused nor passed over for this certificate. Nil: none.
func Choice(m *model.ManagedCertificate, issuers []*model.Issuer, now time.Time) *model.Issuer {
	for _, i := range issuers {
		if may(m, i) && !now.Before(Back(m, i)) {
			return i
		}
	}
	return nil
}

// may reports whether a certificate is ever ordered from an issuer.
func may(m *model.ManagedCertificate, i *model.Issuer) bool {
	return !i.Internal() && (m.Issuer.IsZero() || i.ID == m.Issuer)
}

// Back is from when on a certificate may be ordered from an issuer again; a time that has passed: it may be now.
func Back(m *model.ManagedCertificate, i *model.Issuer) time.Time {
	if until := m.Held[i.ID].Until; until.After(i.PausedUntil) {
		return until
	}
	return i.PausedUntil
}

// Soonest is when a certificate can be ordered from any issuer; now if it can be now. False: there is none to order it from.
func Soonest(m *model.ManagedCertificate, issuers []*model.Issuer, now time.Time) (at time.Time, ok bool) {
	for _, i := range issuers {
		if back := Back(m, i); may(m, i) && (!ok || back.Before(at)) {
			at, ok = back, true
		}
	}
	if at.Before(now) {
		at = now
	}
	return at, ok
}

// Hold returns what a certificate passes over once an issuer is held, too; what is over is forgotten.
func Hold(held map[model.IssuerID]model.Hold, id model.IssuerID, h model.Hold, now time.Time) map[model.IssuerID]model.Hold {
	out := maps.Clone(held)
	maps.DeleteFunc(out, func(_ model.IssuerID, h model.Hold) bool { return !now.Before(h.Until) })
	if out == nil {
		out = map[model.IssuerID]model.Hold{}
	}
	out[id] = h
	return out
}

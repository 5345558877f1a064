package certs

import (
	"maps"
	"slices"
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
// asked; one that is paused or suspended is passed over.
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
// that neither is paused or suspended nor passed over for this certificate. Nil: none.
func Choice(m *model.ManagedCertificate, issuers []*model.Issuer, now time.Time) *model.Issuer {
	for _, i := range issuers {
		if may(m, i) && !now.Before(Back(m, i)) {
			return i
		}
	}
	return nil
}

// may reports whether a certificate is ordered from an issuer, as things are.
func may(m *model.ManagedCertificate, i *model.Issuer) bool {
	return !i.Internal() && !i.Suspended && (m.Issuer.IsZero() || i.ID == m.Issuer)
}

// Waits says what has to happen before a certificate can be ordered at all, whenever its next attempt is; "": nothing.
func Waits(m *model.ManagedCertificate, issuers []*model.Issuer) string {
	if !m.Wanted || slices.ContainsFunc(issuers, func(i *model.Issuer) bool { return may(m, i) }) {
		return ""
	}
	outside := 0
	for _, i := range issuers {
		if i.ID == m.Issuer {
			return "issuer " + i.Name + ", the only one that it is to be ordered from, is suspended: it has to be resumed, or another one configured"
		}
		if !i.Internal() {
			outside++
		}
	}
	if outside == 0 {
		return "there is no issuer to order from: one has to be created"
	}
	return "every issuer is suspended: one has to be resumed"
}

// Back is from when on a certificate may be ordered from an issuer again; a time that has passed: it may be now.
func Back(m *model.ManagedCertificate, i *model.Issuer) time.Time {
	if until := m.Held[i.ID].Until; until.After(i.OrdersFrom()) {
		return until
	}
	return i.OrdersFrom()
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

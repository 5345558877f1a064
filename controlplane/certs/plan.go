// Package certs keeps every published hostname in a certificate that lasts.
package certs

import (
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

// RenewAt is when a certificate is to be replaced: when two thirds of its life are over.
func RenewAt(c *model.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) * 2 / 3)
}

// Due returns the services whose hostname has no certificate, or one that is to be replaced now.
func Due(m *model.Model, now time.Time) []*model.Service {
	var due []*model.Service
	for s := range m.Services() {
		if s.Kind != model.HTTP {
			continue
		}
		if c := m.CertificateFor(s); c == nil || !now.Before(RenewAt(c)) {
			due = append(due, s)
		}
	}
	return due
}

// Superseded returns the certificates of an organization and hostname that another one has replaced for
// long enough: every node that was away for a day has the new one.
func Superseded(certs []*model.Certificate, now time.Time) []*model.Certificate {
	newest := slices.MaxFunc(certs, func(a, b *model.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	return slices.DeleteFunc(slices.Clone(certs), func(c *model.Certificate) bool {
		return c.ID == newest.ID || now.Sub(newest.NotBefore) < 24*time.Hour
	})
}

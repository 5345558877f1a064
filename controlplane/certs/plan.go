// Package certs keeps every published hostname in a certificate that lasts.
package certs

import (
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
		if !s.EndsTLS() {
			continue
		}
		if c := m.CertificateFor(s); c == nil || !now.Before(RenewAt(c)) {
			due = append(due, s)
		}
	}
	return due
}

// Overlap is how long a replaced certificate stays: who was away for a day still finds what its routes name.
const Overlap = 24 * time.Hour

// Superseded returns the certificates that have been replaced for long enough: another one of the same
// organization and name lasts longer. Such with several names are not ours to judge.
func Superseded(m *model.Model, now time.Time) []*model.Certificate {
	var old []*model.Certificate
	for c := range m.Certificates() {
		if len(c.Names) != 1 {
			continue
		}
		for o := range m.CertificatesNamed(c.Names[0]) {
			if o.Org == c.Org && o.NotAfter.After(c.NotAfter) && now.Sub(o.NotBefore) >= Overlap {
				old = append(old, c)
				break
			}
		}
	}
	return old
}

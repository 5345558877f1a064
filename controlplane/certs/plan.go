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

// Due returns the services whose hostname has no certificate, or one of the cluster's own authority that is to be
// replaced now. With ordered, authorities are asked for certificates: then the cluster's own only goes on with what
// it has made, as long as nothing takes its place.
func Due(m *model.Model, ordered bool, now time.Time) []*model.Service {
	var due []*model.Service
	for s := range m.Services() {
		if !s.EndsTLS() {
			continue
		}
		if c := m.CertificateFor(s); c == nil && !ordered || c != nil && c.Own() && !now.Before(RenewAt(c)) {
			due = append(due, s)
		}
	}
	return due
}

// Overlap is how long a replaced certificate stays: who was away for a day still finds what its routes name.
const Overlap = 24 * time.Hour

// Superseded returns the certificates of the cluster's own authority that have been replaced for long enough by
// another one of it that lasts longer. Such with several names are not ours to judge.
func Superseded(m *model.Model, now time.Time) []*model.Certificate {
	var old []*model.Certificate
	for c := range m.Certificates() {
		if len(c.Names) != 1 || !c.Own() {
			continue
		}
		for o := range m.CertificatesNamed(c.Names[0]) {
			if o.Org == c.Org && o.Own() && o.NotAfter.After(c.NotAfter) && now.Sub(o.NotBefore) >= Overlap {
				old = append(old, c)
				break
			}
		}
	}
	return old
}

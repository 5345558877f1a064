package model

import "cmp"

// CertificateFor chooses the certificate with which nodes answer for a service, nil if TLS does not end
// at the node or there is none. Of its organization's certificates, one whose place no other has taken comes
// first; then one that carries the hostname itself before one whose wildcard covers it; then the latest to expire
// wins, then the newest id. What is valid now is no criterion: the same rows must give the same choice at any time.
func (m *Model) CertificateFor(s *Service) *Certificate {
	return m.choose(s, func(*Certificate) bool { return true })
}

// CertificatesFor chooses all certificates with which nodes answer for a service, at most one for each type of key: that of
// CertificateFor, and after it the one that is chosen in the same way of those of another type of key. Who has ordered one for
// the other, or uploaded it, is asked for both; the cluster's own authority, which few trust, adds to nobody's.
func (m *Model) CertificatesFor(s *Service) []*Certificate {
	first := m.CertificateFor(s)
	if first == nil {
		return nil
	}
	out := []*Certificate{first}
	if first.Own() {
		return out
	}
	for _, t := range KeyTypes {
		if first.KeyType == "" || t == first.KeyType {
			continue
		}
		beside := m.choose(s, func(c *Certificate) bool {
			return c.KeyType == t && c.Uploaded == first.Uploaded && !c.Own() && c.SupersededBy.IsZero()
		})
		if beside != nil {
			out = append(out, beside)
		}
	}
	return out
}

// choose chooses of the certificates that fit.
func (m *Model) choose(s *Service, fits func(*Certificate) bool) *Certificate {
	if !s.EndsTLS() {
		return nil
	}
	exact := m.latest(s.Org, s.Hostname, fits)
	if exact != nil && exact.SupersededBy.IsZero() {
		return exact
	}
	w, ok := covering(s.Hostname)
	if !ok {
		return exact
	}
	if below := m.latest(s.Org, w, fits); exact == nil || below != nil && below.SupersededBy.IsZero() {
		return below
	}
	return exact
}

func (m *Model) latest(org OrgID, name string, fits func(*Certificate) bool) *Certificate {
	var best *Certificate
	for c := range m.CertificatesNamed(name) {
		if c.Org == org && fits(c) && (best == nil || c.before(best)) {
			best = c
		}
	}
	return best
}

// before reports whether a certificate is chosen before another one of the same name.
func (c *Certificate) before(o *Certificate) bool {
	if a, b := c.SupersededBy.IsZero(), o.SupersededBy.IsZero(); a != b {
		return a
	}
	return cmp.Or(c.NotAfter.Compare(o.NotAfter), c.ID.Compare(o.ID)) > 0
}

// Own reports whether the cluster's own authority made the certificate.
func (c *Certificate) Own() bool { return !c.Uploaded && c.Managed.IsZero() && c.Issuer.IsZero() }

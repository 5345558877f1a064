package model

import (
	"testing"
	"time"
)

// A certificate whose place another one has taken is chosen only where there is no other, however long it lasts.
func TestSupersededCertificateIsTheLast(t *testing.T) {
	org := OrgID{}.New()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	cert := func(name string, days int, by CertificateID) *Certificate {
		return &Certificate{ID: CertificateID{}.New(), Org: org, Names: []string{name}, NotBefore: at, NotAfter: at.AddDate(0, 0, days), SupersededBy: by}
	}
	s := &Service{ID: ServiceID{}.New(), Org: org, Kind: HTTP, Hostname: "www.a.org"}
	next := cert("*.a.org", 45, CertificateID{})
	exact, wild := cert("www.a.org", 90, next.ID), cert("*.a.org", 90, next.ID)
	fresh := cert("www.a.org", 6, CertificateID{})
	for _, c := range []struct {
		have []*Certificate
		want *Certificate
	}{
		{[]*Certificate{exact, wild, next}, next},
		{[]*Certificate{exact, wild}, exact},
		{[]*Certificate{wild}, wild},
		{[]*Certificate{exact, next, fresh}, fresh},
		{[]*Certificate{exact}, exact},
	} {
		b := Batch{To: 1, Reload: true, Services: map[ServiceID]*Service{s.ID: s}, Certificates: map[CertificateID]*Certificate{}}
		for _, h := range c.have {
			b.Certificates[h.ID] = h
		}
		if got := Empty().Apply(b).CertificateFor(s); got != c.want {
			t.Errorf("of %d: %v, want %v", len(c.have), got, c.want)
		}
	}
}

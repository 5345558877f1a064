package visit

import (
	"github.com/warrenedge/warren/shared/brand"
	"github.com/warrenedge/warren/shared/hostname"
)

// Brand is what the organization of the service at a host has its pages look like; the zero value if there is no such
// service, or nothing is said.
func (s *Server) Brand(host string) brand.Brand {
	host, err := hostname.Canonical(host)
	if err != nil {
		return brand.Brand{}
	}
	m := s.World.Get()
	svc := serviceAt(m, host)
	if svc == nil {
		return brand.Brand{}
	}
	if o := m.Organization(svc.Org); o != nil {
		return o.Brand
	}
	return brand.Brand{}
}

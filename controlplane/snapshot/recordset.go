package snapshot

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/resource"
)

// recordTTL is how long resolvers may keep the addresses of a service: as long as a dead node may be
// dialled.
const recordTTL = 30

var errNoDomain = errors.New("the hostname is in no domain of its organization")

// recordSet compiles what the zone of a service's hostname answers.
func recordSet(_ *Compiler, m *model.Model, id uuid.UUID) *draft {
	s := m.Service(model.ServiceID{UUID: id})
	if s == nil || s.Raw() {
		return nil
	}
	d := &draft{name: resource.Name("recordset", s.Org.String(), s.ID.String()), scopes: []string{poolScope(s.Pool)}}
	zone := m.DomainCovering(s.Hostname)
	switch {
	case zone == nil || zone.Org != s.Org:
		d.err = errNoDomain
		return d
	case zone.Pool != s.Pool:
		d.err = fmt.Errorf("domain %s is served by another pool", zone.Name)
		return d
	}
	d.msg = &nodev1.RecordSet{
		ZoneId:     zone.ID.String(),
		Owner:      s.Hostname,
		TtlSeconds: recordTTL,
		Answer:     &nodev1.RecordSet_PoolAddresses{PoolAddresses: &nodev1.PoolAddresses{PoolId: s.Pool.String()}},
	}
	return d
}

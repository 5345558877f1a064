package apply

import (
	"errors"
	"fmt"
	"slices"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/dns"
	"github.com/warrenedge/warren/shared/hostname"
)

type zone struct {
	id, apex, pool string
	issuers        []string
	caa            []dns.CAA
}

type recordSet struct {
	zone, owner, pool string
	ttl               uint32
}

func decodeZone(m *nodev1.Zone) (zone, error) {
	s, err := hostname.Canonical(m.GetApex())
	if err == nil && s != m.GetApex() {
		err = fmt.Errorf("%q is not canonical", m.GetApex())
	}
	errs := []error{required("id", m.GetId()), required("pool_id", m.GetPoolId()), field("apex", err)}
	for i, name := range m.GetCaaIssuers() {
		if c, err := hostname.Canonical(name); err != nil || c != name {
			errs = append(errs, fmt.Errorf("caa_issuers[%d]: %q is not canonical", i, name))
		}
	}
	var caa []dns.CAA
	for i, p := range m.GetCaa() {
		c := dns.CAA{Tag: p.GetTag(), Value: p.GetValue()}
		if err := c.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("caa[%d]: %w", i, err))
		}
		caa = append(caa, c)
	}
	return zone{m.GetId(), s, m.GetPoolId(), slices.Clone(m.GetCaaIssuers()), caa}, errors.Join(errs...)
}

func decodeRecordSet(m *nodev1.RecordSet) (recordSet, error) {
	s, err := hostname.CanonicalPattern(m.GetOwner())
	if err == nil && s != m.GetOwner() {
		err = fmt.Errorf("%q is not canonical", m.GetOwner())
	}
	r := recordSet{zone: m.GetZoneId(), owner: s, ttl: m.GetTtlSeconds()}
	errs := []error{required("zone_id", r.zone), field("owner", err)}
	switch a := m.GetAnswer().(type) {
	case *nodev1.RecordSet_PoolAddresses:
		r.pool = a.PoolAddresses.GetPoolId()
		errs = append(errs, required("pool_addresses.pool_id", r.pool))
	default:
		errs = append(errs, errors.New("answer: none that is known here"))
	}
	return r, errors.Join(errs...)
}

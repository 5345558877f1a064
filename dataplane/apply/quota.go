package apply

import (
	"fmt"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/shared/resource"
)

// maxPerSecond is more than a node carries.
const maxPerSecond = 1_000_000

// decodeQuota reads what an organization may ask of this node.
func decodeQuota(m *nodev1.Quota) (inbound.Quota, error) {
	if err := required("organization_id", m.GetOrganizationId()); err != nil {
		return inbound.Quota{}, err
	}
	if m.GetRequestsPerSecond() > maxPerSecond {
		return inbound.Quota{}, fmt.Errorf("requests_per_second: %d", m.GetRequestsPerSecond())
	}
	return inbound.Quota{PerSecond: int(m.GetRequestsPerSecond())}, nil
}

// tenants are the organizations that have something here, with or without a quota.
func tenants(l *ledger, routes map[string]route) map[string]inbound.Quota {
	out := map[string]inbound.Quota{}
	add := func(org string) {
		if org != "" {
			out[org], _ = l.good[resource.Quota][resource.Name("quota", org)].value.(inbound.Quota)
		}
	}
	for _, r := range routes {
		add(r.org)
	}
	for _, f := range values[forward](l, resource.Forward) {
		add(f.org)
	}
	return out
}

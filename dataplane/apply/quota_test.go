package apply

import (
	"slices"
	"testing"
	"time"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/sni"
	"github.com/warrenedge/warren/shared/resource"
)

// T38: all that an organization serves on this node, by HTTP, by name and at ports, takes of one quota, which changes without
// anything else; that of another organization is apart.
func TestT38_AnOrganizationHasOneQuota(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	web := routeMsg("service_8", "web.example.org", "certificate/o/cert_8")
	web.OrganizationId = "org_1"
	raw := tcpRouteMsg()
	raw.OrganizationId = "org_1"
	port := forwardMsg()
	port.OrganizationId = "org_1"
	other := routeMsg("service_9", "other.example.org", "certificate/o/cert_9")
	other.OrganizationId = "org_2"
	quota := func(most uint32) *nodev1.Quota {
		return &nodev1.Quota{OrganizationId: "org_1", RequestsPerSecond: most}
	}
	must(t, n, world(t))
	must(t, n, tx(6, res(t, "certificate/o/cert_8", certMsg(t, "web.example.org")), res(t, "certificate/o/cert_9", certMsg(t, "other.example.org")),
		res(t, "certificate/o/cert_4", certMsg(t, "db.example.org")),
		res(t, "route/o/service_8", web), res(t, "route/o/service_9", other), res(t, "route/o/"+raw.ServiceId, raw), res(t, "forward/o/"+port.ServiceId, port),
		res(t, resource.Name("quota", "org_1"), quota(2))))

	one := routeOf(t, m, "web.example.org").Tenant
	if one == nil || one == routeOf(t, m, "other.example.org").Tenant {
		t.Fatal("nobody's, or two organizations are one")
	}
	for _, r := range m.sni.Routes {
		if r.Hostname == web.Hostname || r.Hostname == raw.Hostname {
			if r.Tenant != one {
				t.Errorf("connections of %s are counted for %v", r.Hostname, r.Tenant)
			}
		}
	}
	if !slices.ContainsFunc(m.sni.Routes, func(r sni.Route) bool { return r.Hostname == raw.Hostname }) || len(m.l4.Forwards) != 1 || m.l4.Forwards[0].Tenant != one {
		t.Error("ports are counted for somebody else")
	}
	now := time.Now()
	takes := func(want int) {
		t.Helper()
		got := 0
		for got < 10 && one.Take(now) == nil {
			got++
		}
		if got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
	takes(2)
	m.took()
	must(t, n, tx(7, res(t, resource.Name("quota", "org_1"), quota(4))))
	if calls := m.took(); slices.Contains(calls, "proxy") || slices.Contains(calls, "sni") {
		t.Errorf("a change of a quota calls %v", calls)
	}
	now = now.Add(500 * time.Millisecond)
	takes(2)
	gone := tx(8)
	gone.Removed[resource.Quota] = []string{resource.Name("quota", "org_1")}
	must(t, n, gone)
	takes(10)
	if err := routeOf(t, m, "other.example.org").Tenant.Take(now); err == inbound.ErrQuota {
		t.Error("who has no quota is refused by another's")
	}
}

package apply

import (
	"maps"
	"slices"
	"strings"
	"testing"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/resource"
)

func checkedForwardMsg() *nodev1.Forward {
	return &nodev1.Forward{
		ServiceId: "service_9", ServiceName: "db", Protocol: nodev1.TargetProtocol_TARGET_PROTOCOL_TCP, FirstPort: 6000, LastPort: 6010, ProxyProtocol: 2,
		AllowedCidrs: []string{"10.0.0.0/8", "2001:db8::/32"},
		Targets:      []*nodev1.RouteTarget{{TargetId: "target_9", SiteId: "site_1", Weight: 5, HealthChecked: true}},
	}
}

func targetHealth(t *testing.T, id string, s nodev1.TargetState) ads.Resource {
	return res(t, "targethealth/"+id, &nodev1.TargetHealth{TargetId: id, State: s})
}

const (
	well = nodev1.TargetState_TARGET_STATE_HEALTHY
	ill  = nodev1.TargetState_TARGET_STATE_UNHEALTHY
	none = nodev1.TargetState_TARGET_STATE_UNSPECIFIED
)

// Who balances is told the whole set at each change, and only of targets that the configuration checks.
func TestTargetHealth(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	checked := routeMsg("service_1", "app.example.org", "certificate/o/cert_1")
	checked.Rules[0].Targets[0].HealthChecked = true // target_1
	x := world(t)
	x.Upserts[resource.Route][0] = res(t, "route/o/service_1", checked)
	x.Upserts[resource.Forward] = []ads.Resource{res(t, "forward/o/service_9", checkedForwardMsg())} // target_9
	must(t, n, x)
	told := func(when string, want ...string) {
		t.Helper()
		var got []string
		for _, set := range m.sick {
			got = append(got, strings.Join(slices.Sorted(maps.Keys(set)), " "))
		}
		m.sick = nil
		if !slices.Equal(got, want) {
			t.Errorf("%s: told %q, want %q", when, got, want)
		}
	}
	hear := func(removed []string, list ...ads.Resource) {
		n.Presence(t.Context(), resource.TargetHealth, list, removed, false)
	}
	told("at the start")
	hear(nil, targetHealth(t, "target_1", well), targetHealth(t, "target_9", none))
	told("healthy and unknown")
	hear(nil, targetHealth(t, "target_1", ill), targetHealth(t, "target_9", ill))
	told("unhealthy", "target_1 target_9")
	hear(nil, targetHealth(t, "target_1", ill), targetHealth(t, "target_9", none), ads.Resource{Name: "x", Body: []byte{0xff}})
	told("the same, no news, nonsense")
	hear(nil, targetHealth(t, "target_1", well))
	told("one recovers", "target_9")
	hear([]string{"targethealth/target_9"})
	told("one is checked no more", "")

	// A word on a target that has no check counts once there is one, and no longer than that.
	hear(nil, targetHealth(t, "target_new", ill), targetHealth(t, "target_9", ill))
	told("one that is not configured", "target_9")
	two := checkedForwardMsg()
	two.Targets = append(two.Targets, &nodev1.RouteTarget{TargetId: "target_new", SiteId: "site_1", Weight: 1, HealthChecked: true})
	must(t, n, tx(6, res(t, "forward/o/service_9", two)))
	told("it is configured", "target_9 target_new")
	for _, target := range two.Targets {
		target.HealthChecked = false
	}
	must(t, n, tx(7, res(t, "forward/o/service_9", two)))
	told("the checks are gone", "")
	if len(m.took()) == 0 || n.down["target_9"] {
		t.Error("targets were taken for nodes")
	}
}

// What is remembered of targets is kept for those that a service has, also one whose newest version is not in
// use yet, and for no others.
func TestKnownTargetsAreKept(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	x := world(t)
	x.Upserts[resource.Forward] = []ads.Resource{res(t, "forward/o/service_9", checkedForwardMsg())} // target_9
	must(t, n, x)
	kept := func(when string, want ...string) {
		t.Helper()
		var got []string
		if len(m.kept) == 1 {
			got = slices.Sorted(maps.Keys(m.kept[0]))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, m.kept, want)
		}
		m.kept = nil
	}
	kept("at the start", "target_1", "target_9")
	waits := routeMsg("service_1", "app.example.org", "certificate/o/late")
	waits.Rules[0].Targets[0].TargetId = "target_2"
	waits.Rules = append(waits.Rules, &nodev1.RouteRule{PathPrefix: "/x", Targets: []*nodev1.RouteTarget{{TargetId: "target_3", SiteId: "site_1"}}})
	gone := tx(6, res(t, "route/o/service_1", waits))
	gone.Removed[resource.Route], gone.Removed[resource.Forward] = []string{"route/o/service_2"}, []string{"forward/o/service_9"}
	must(t, n, gone)
	kept("a new version waits for its certificate", "target_1", "target_2", "target_3")
	must(t, n, tx(7, res(t, "zone/o/domain_1", zoneMsg())))
	if len(m.kept) != 0 {
		t.Errorf("told without a change: %v", m.kept)
	}
}

// A forward that makes no sense is rejected by name; the rest is applied, and its last good version stays.
func TestForwardIsRejectedByName(t *testing.T) {
	dir := t.TempDir()
	n, _ := newNode(t, dir)
	must(t, n, tx(1, res(t, "forward/o/service_9", checkedForwardMsg())))
	bad := checkedForwardMsg()
	bad.AllowedCidrs = []string{"everybody"}
	rej := must(t, n, tx(2, res(t, "forward/o/service_9", bad), res(t, "zone/o/domain_1", zoneMsg())))
	if len(rej) != 1 || rej[0].GetName() != "forward/o/service_9" || !strings.Contains(rej[0].GetReason(), "allowed_cidrs[0]") {
		t.Errorf("rejections %v", rej)
	}
	again, _ := newNode(t, dir)
	if _, err := again.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := values[forward](again.state, resource.Forward)
	if len(got) != 1 || got[0].FirstPort != 6000 || got[0].LastPort != 6010 || got[0].ProxyProtocol != 2 || got[0].Network != fabric.TCP || len(got[0].Allow) != 2 ||
		!slices.Equal(got[0].Targets, []balance.Target{{ID: "target_9", Site: "site_1", Weight: 5}}) {
		t.Errorf("after a restart: %+v", got)
	}
}

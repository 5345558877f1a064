package apply

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/health"
	"github.com/warrenedge/warren/shared/resource"
)

// A node dials the targets of the local sites that list it, and of no others; the fabric knows all of them.
func TestLocalSites(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	elsewhere := localSiteMsg()
	elsewhere.Id, elsewhere.NodeIds = "site_4", []string{"node_b"}
	fake := siteMsg("site_1", 3, me) // a site with connectors has no targets to dial, whatever it says
	fake.Targets = elsewhere.GetTargets()
	must(t, n, world(t))
	must(t, n, tx(6, res(t, "site/o/site_1", fake), res(t, "site/o/site_3", localSiteMsg()), res(t, "site/o/site_4", elsewhere)))
	want := []connector.Config{{Site: "site_3", Targets: map[string]connector.Target{"target_3": {Address: "10.1.0.1:80", Ports: 2}}}}
	if d := cmp.Diff(want, m.local, addrs); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	local := map[string][]string{}
	for _, s := range m.fabric.Sites {
		if s.Local {
			local[s.ID] = s.Nodes
		}
	}
	if d := cmp.Diff(map[string][]string{"site_3": {me, "node_b"}, "site_4": {"node_b"}}, local); d != "" {
		t.Errorf("-want +got\n%s", d)
	}

	// It no longer stands there; and what a site was is not kept when it gets connectors.
	moved := localSiteMsg()
	moved.NodeIds = []string{"node_b"}
	must(t, n, tx(7, res(t, "site/o/site_3", moved)))
	if len(m.local) != 0 {
		t.Errorf("%+v", m.local)
	}
	must(t, n, tx(8, res(t, "site/o/site_3", siteMsg("site_3", 9, me))))
	if i := slices.IndexFunc(m.fabric.Sites, func(s fabric.Site) bool { return s.ID == "site_3" }); len(m.local) != 0 || m.fabric.Sites[i].Local {
		t.Errorf("%+v %+v", m.local, m.fabric.Sites[i])
	}
}

// A node checks the targets of the local sites that it stands in, and of the devices that it holds, and of no others.
func TestLocalTargetsAreChecked(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	must(t, n, world(t))
	here, there := localSiteMsg(), localSiteMsg()
	here.Targets = append(here.Targets, proto.Clone(here.GetTargets()[0]).(*nodev1.ConnectorTarget))
	here.Targets[1].Id = "target_4"
	here.Targets[1].HealthCheck = &nodev1.HealthCheck{
		Interval: durationpb.New(2 * time.Second), Timeout: durationpb.New(time.Second), HealthyThreshold: 1, UnhealthyThreshold: 2,
		Check: &nodev1.HealthCheck_Tcp{Tcp: &nodev1.TCPCheck{}},
	}
	there.Id, there.NodeIds = "site_4", []string{"node_b"}
	there.Targets[0].Id, there.Targets[0].HealthCheck = "target_5", here.Targets[1].HealthCheck
	must(t, n, tx(6, res(t, "site/o/site_3", here), res(t, "site/o/site_4", there)))
	want := []health.Target{{ID: "target_4", Address: "10.1.0.1:80", Check: health.Check{Interval: 2 * time.Second, Timeout: time.Second, Healthy: 1, Unhealthy: 2}}}
	if d := cmp.Diff(want, m.checks); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	device, other := stockSiteMsg(me, "node_b"), stockSiteMsg("node_b")
	device.Targets[0].HealthCheck = here.Targets[1].HealthCheck
	other.Id, other.WireguardPeer, other.Targets[0].Id, other.Targets[0].HealthCheck = "site_8", nil, "target_8", here.Targets[1].HealthCheck
	must(t, n, tx(7, res(t, "site/o/site_8", other), res(t, "site/o/site_9", device)))
	want = append(want, health.Target{ID: "target_9", Address: "[" + router + "]:80", Check: want[0].Check})
	slices.SortFunc(m.checks, func(a, b health.Target) int { return strings.Compare(a.ID, b.ID) })
	if d := cmp.Diff(want, m.checks); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	here.NodeIds, device.NodeIds = []string{"node_b"}, []string{"node_b"}
	must(t, n, tx(8, res(t, "site/o/site_3", here), res(t, "site/o/site_9", device)))
	if len(m.checks) != 0 {
		t.Errorf("where it stands no longer: %+v", m.checks)
	}
}

// A target that no node may dial is named with its site, as long as it is there.
func TestLocalTargetThatIsRefusedIsNamed(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	must(t, n, world(t))
	m.out = errors.Join(&connector.TargetError{ID: "target_3", Err: errBroken})
	want := "site/o/site_3: target target_3: broken"
	if got := said(must(t, n, tx(6, res(t, "site/o/site_3", localSiteMsg())))); len(got) != 1 || got[0] != want {
		t.Errorf("%q", got)
	}
	if got := said(must(t, n, tx(7))); len(got) != 1 || got[0] != want {
		t.Errorf("at the next checkpoint: %q", got)
	}
	m.out = nil
	gone := tx(8)
	gone.Removed[resource.Site] = []string{"site/o/site_3"}
	if got := said(must(t, n, gone)); len(got) != 0 {
		t.Errorf("after it is gone: %q", got)
	}
}

// A node tells of the sites that it stands in, without a connector.
func TestLocalSitesAreTold(t *testing.T) {
	n, _ := newNode(t, t.TempDir())
	c := &chatter{changed: make(chan struct{}, 1)}
	n.sub.Gossip, n.sub.Up = c, func(string) bool { return false }
	elsewhere := localSiteMsg()
	elsewhere.Id, elsewhere.NodeIds = "site_4", []string{"node_b"}
	must(t, n, world(t))
	must(t, n, tx(6, res(t, "site/o/site_3", localSiteMsg()), res(t, "site/o/site_4", elsewhere)))
	n.tellSites()
	if !slices.Equal(c.sites, []string{"site_3"}) {
		t.Errorf("told %v", c.sites)
	}
}

// Which sites can be reached is looked at when it may have changed, and now and then.
func TestSitesAreLookedAt(t *testing.T) {
	n, _ := newNode(t, t.TempDir())
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var changes uint64
	looked := func(what string, want bool) {
		t.Helper()
		if got := n.sitesMayDiffer(now); got != want {
			t.Errorf("%s: %t", what, got)
		}
	}
	looked("before anything is known", false)
	must(t, n, world(t))
	looked("nobody counts", true)
	looked("nobody counts, again", true)
	n.sub.Changes = func() uint64 { return changes }
	now = now.Add(tellAnyway)
	looked("at first", true)
	looked("nothing has changed", false)
	changes++
	looked("a connector has come or gone", true)
	looked("that was seen", false)
	must(t, n, tx(6, res(t, "site/o/site_3", localSiteMsg())))
	looked("another configuration", true)
	looked("that was seen, too", false)
	now = now.Add(tellAnyway)
	looked("after a while", true)
	now = now.Add(-time.Hour)
	looked("a clock has gone back", true)
}

// A site of a kind that is not known here keeps its last good version.
func TestUnknownKindOfSite(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	must(t, n, world(t))
	must(t, n, tx(6, res(t, "site/o/site_3", localSiteMsg())))
	odd := localSiteMsg()
	odd.Kind = nodev1.SiteKind(9)
	if rej := must(t, n, tx(7, res(t, "site/o/site_3", odd))); len(rej) != 1 || len(m.local) != 1 {
		t.Errorf("%v %+v", rej, m.local)
	}
}

package pushads

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
)

// sample is a world with two nodes in different pools and a connector.
func sample() (*world, push.Reader, push.Reader) {
	w := newWorld()
	a, b := reader("node_a"), reader("node_b")
	w.allow(a, "cluster", "node/node_a", "pool/p")
	w.allow(b, "cluster", "node/node_b", "pool/q")
	w.step([]*snapshot.Resource{
		put(resource.Trust, "trust/cluster", "ca", "cluster"),
		put(resource.Node, "node/node_a", "a", "cluster"),
		put(resource.NodeConfig, "nodeconfig/node_a", "config a", "node/node_a"),
		put(resource.Certificate, "certificate/o/1", "cert", "pool/p", "pool/q"),
		put(resource.Route, "route/o/1", "one", "pool/p"),
		put(resource.Route, "route/o/2", "two", "pool/q"),
		put(resource.ConnectorConfig, "connectorconfig/o/s", "connector", "site/s"),
	})
	return w, a, b
}

// T21: a reader holds what is in its scopes, and nothing else, as it arrived.
func TestT21_ReadersGetTheirScopesOnly(t *testing.T) {
	w, a, b := sample()
	c := push.Reader{Kind: identity.Connector, ID: "connector_c"}
	w.allow(c, "cluster", "site/s")
	r := newReplica(t, w)
	r.Publish(w.all(), nil)
	for _, rd := range []push.Reader{a, b} {
		n := newNode(rd).run(t, r)
		n.reach(t, 2)
		n.equal(t, w)
	}
	n := newNode(c).run(t, r)
	n.reach(t, 2)
	// A connector has not subscribed to Node.
	if got, want := n.view(), (map[string]string{"Trust trust/cluster": "ca", "ConnectorConfig connectorconfig/o/s": "connector"}); !maps.Equal(got, want) {
		t.Errorf("connector holds %v, want %v", got, want)
	}
	if got := r.metric(t, "cp_push_resumes_total", "full"); got != 3 {
		t.Errorf("%v full resumes, want 3", got)
	}
}

func TestChangesArrive(t *testing.T) {
	w, a, b := sample()
	r := newReplica(t, w)
	r.Publish(w.all(), nil)
	na, nb := newNode(a).run(t, r), newNode(b).run(t, r)
	na.reach(t, 2)
	nb.reach(t, 2)

	ch := w.step([]*snapshot.Resource{put(resource.Route, "route/o/1", "one'", "pool/p"), put(resource.Zone, "zone/o/1", "z", "pool/p")},
		snapshot.Ref{TypeURL: resource.Certificate, Name: "certificate/o/1"})
	r.Publish(ch, nil)
	na.reach(t, ch.Revision)
	nb.reach(t, ch.Revision)
	na.equal(t, w)
	nb.equal(t, w)

	// A resource that moves to another pool leaves one and enters the other; it keeps its version.
	ch = w.step([]*snapshot.Resource{put(resource.Zone, "zone/o/1", "z", "pool/q")})
	r.Publish(ch, nil)
	na.reach(t, ch.Revision)
	nb.reach(t, ch.Revision)
	na.equal(t, w)
	nb.equal(t, w)

	// What does not touch a reader is not required of it.
	ch = w.step([]*snapshot.Resource{put(resource.Route, "route/o/1", "one''", "pool/p")})
	r.Publish(ch, nil)
	na.reach(t, ch.Revision)
	if got, err := r.Required(b, ch.Revision); err != nil || got != ch.Revision-1 {
		t.Errorf("required of b: %d, %v, want %d", got, err, ch.Revision-1)
	}
	if got, err := r.Required(a, ch.Revision+5); err != nil || got != ch.Revision {
		t.Errorf("required of a: %d, %v, want %d", got, err, ch.Revision)
	}
	eventually(t, func() bool { rev, since := r.Applied(a); return !since.IsZero() && rev == ch.Revision }, func() string { return "applied by a" })
	if got := r.metric(t, "cp_push_convergence_seconds", ""); got < 3 {
		t.Errorf("%v convergences observed, want 3", got)
	}
	if got := fmt.Sprint(r.Readers()); got != "[{node node_a} {node node_b}]" {
		t.Errorf("readers %s", got)
	}
}

func TestUntouchedReadersCatchUp(t *testing.T) {
	w, a, b := sample()
	r := newReplica(t, w, func(o *push.Options) { o.CatchUp = 10 * time.Millisecond })
	r.Publish(w.all(), nil)
	n := newNode(b).run(t, r)
	n.reach(t, 2)
	sent := r.metric(t, "cp_push_resources_total", "")
	ch := w.step([]*snapshot.Resource{put(resource.Route, "route/o/1", "x", "pool/p")})
	r.Publish(ch, nil)
	n.reach(t, ch.Revision)
	if got := r.metric(t, "cp_push_resources_total", ""); got != sent {
		t.Errorf("%v resources sent to a reader that nothing touched", got-sent)
	}
	_ = a
}

func TestLargeViewsArePaged(t *testing.T) {
	w, a, _ := sample()
	big := strings.Repeat("x", 40_000)
	var upserts []*snapshot.Resource
	for i := range 100 {
		upserts = append(upserts, put(resource.Route, fmt.Sprintf("route/o/%03d", i), fmt.Sprint(i, big), []string{"pool/p", "cluster", "node/node_a"}[i%3]))
	}
	upserts = append(upserts, put(resource.Route, "route/o/huge", strings.Repeat("y", 3<<20), "pool/p"))
	w.step(upserts)
	r := newReplica(t, w)
	r.Publish(w.all(), nil)
	n := newNode(a).run(t, r)
	n.reach(t, 3)
	n.equal(t, w)
	if got := r.metric(t, "cp_push_responses_total", "Route"); got < 9 {
		t.Errorf("%v responses of Route, want at least 9", got)
	}
	// The same as a tail.
	for i := range 100 {
		upserts[i] = put(resource.Route, fmt.Sprintf("route/o/%03d", i), fmt.Sprint("new", i, big), upserts[i].Scopes...)
	}
	ch := w.step(upserts)
	r.Publish(ch, nil)
	n.reach(t, ch.Revision)
	n.equal(t, w)
}

func TestRejectionIsPerResource(t *testing.T) {
	w, a, _ := sample()
	r := newReplica(t, w)
	r.Publish(w.all(), nil)
	n := newNode(a)
	n.reject = func(r ads.Resource) string {
		if string(r.Body) == "bad" {
			return "it is bad \xff"
		}
		return ""
	}
	n.run(t, r)
	n.reach(t, 2)

	bad := put(resource.Route, "route/o/1", "bad", "pool/p")
	ch := w.step([]*snapshot.Resource{bad, put(resource.Zone, "zone/o/1", "good", "pool/p")})
	r.Publish(ch, nil)
	n.reach(t, ch.Revision)
	if got := n.view(); got["Route route/o/1"] != "one" || got["Zone zone/o/1"] != "good" {
		t.Errorf("node holds %v", got)
	}
	find := func(want push.Status) push.ResourceView {
		t.Helper()
		var rv push.ResourceView
		eventually(t, func() bool {
			v, err := r.Debug(a, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, res := range v.Resources {
				if res.Name == "route/o/1" {
					rv = res
				}
			}
			return rv.Status == want
		}, func() string { return fmt.Sprintf("%+v", rv) })
		return rv
	}
	if rv := find(push.StatusRejected); !strings.HasPrefix(rv.Reason, "it is bad") || rv.Acknowledged.Version != bad.Version || rv.Applied.Version != "" {
		t.Errorf("view %+v", rv)
	}

	// Another replica, told what this one knows, says the same.
	other := newReplica(t, w)
	other.Publish(w.all(), nil)
	rev, _ := r.Applied(a)
	here, err := r.Debug(a, nil)
	if err != nil {
		t.Fatal(err)
	}
	listed, _ := r.Rejected(a, 100)
	there, err := other.Debug(a, &push.Elsewhere{Applied: rev, Rejected: listed})
	if err != nil {
		t.Fatal(err)
	}
	for i, res := range there.Resources {
		if want := here.Resources[i]; res.Name != want.Name || res.Status != want.Status || res.Reason != want.Reason || res.Applied.Version != want.Applied.Version {
			t.Errorf("elsewhere %+v, want %+v", res, want)
		}
	}
	if none, omitted := r.Rejected(a, 0); len(none) != 0 || omitted != 1 {
		t.Errorf("%v, %d omitted", none, omitted)
	}
	if len(there.Resources) != len(here.Resources) {
		t.Errorf("%d resources elsewhere, want %d", len(there.Resources), len(here.Resources))
	}

	// Another change does not bring the bad one again, nor does a restart with the token.
	ch = w.step([]*snapshot.Resource{put(resource.Zone, "zone/o/1", "better", "pool/p")})
	r.Publish(ch, nil)
	n.reach(t, ch.Revision)
	n.stop()
	n.run(t, r)
	ch = w.step([]*snapshot.Resource{put(resource.Zone, "zone/o/1", "best", "pool/p")})
	r.Publish(ch, nil)
	n.reach(t, ch.Revision)
	n.get(func() {
		if n.delivered[bad.Version] != 1 {
			t.Errorf("bad version came %d times", n.delivered[bad.Version])
		}
	})
	find(push.StatusRejected)

	// What it misses may come with another resource: then it stops rejecting the version that it has.
	n.get(func() { clear(n.refused) })
	ch = w.step([]*snapshot.Resource{put(resource.Zone, "zone/o/1", "what it missed", "pool/p")})
	r.Publish(ch, nil)
	n.reach(t, ch.Revision)
	if rv := find(push.StatusSynced); rv.Reason != "" || rv.Applied.Version != bad.Version {
		t.Errorf("view %+v", rv)
	}

	ch = w.step([]*snapshot.Resource{put(resource.Route, "route/o/1", "repaired", "pool/p")})
	r.Publish(ch, nil)
	n.reach(t, ch.Revision)
	n.equal(t, w)
	find(push.StatusSynced)
}

func TestRevokedReaderLosesItsStreams(t *testing.T) {
	w, a, b := sample()
	r := newReplica(t, w)
	r.Publish(w.all(), nil)
	n, other := newNode(a).run(t, r), newNode(b).run(t, r)
	n.reach(t, 2)
	other.reach(t, 2)
	trusted, err := r.Watch(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	raw := dial(t, r, a)
	raw.subscribe(resource.NodeTypes()...)
	raw.until(resource.Checkpoint)

	w.revoke(a)
	r.Publish(w.step([]*snapshot.Resource{put(resource.Route, "route/o/1", "secret", "pool/p")}), nil)
	<-trusted.Done()
	if code := raw.end(); code != codes.PermissionDenied {
		t.Errorf("stream ended with %v, want PermissionDenied", code)
	}
	if got := n.view()["Route route/o/1"]; got == "secret" {
		t.Error("a revoked node got a resource")
	}
	if _, err := r.Watch(context.Background(), a); status.Code(err) != codes.PermissionDenied {
		t.Errorf("watch of a revoked reader: %v", err)
	}
	if _, err := r.Debug(a, nil); status.Code(err) != codes.PermissionDenied {
		t.Errorf("debug of a revoked reader: %v", err)
	}
	again := dial(t, r, a)
	again.subscribe(resource.Checkpoint)
	if code := again.end(); code != codes.PermissionDenied {
		t.Errorf("a revoked node came back: %v", code)
	}
	ch := w.step([]*snapshot.Resource{put(resource.Route, "route/o/2", "two'", "pool/q")})
	r.Publish(ch, nil)
	other.reach(t, ch.Revision)
	other.equal(t, w)
}

func TestPresenceStandsBesideTransactions(t *testing.T) {
	w, a, _ := sample()
	r := newReplica(t, w)
	r.Publish(w.all(), nil)
	n := newNode(a).run(t, r)
	n.reach(t, 2)
	n.get(func() {
		if n.fulls != 0 {
			t.Error("presence came before anything was known")
		}
	})
	set := func(states map[string]nodev1.NodeState) { r.SetNodeHealth(states) }
	have := func(count int, name, want string) {
		t.Helper()
		eventually(t, func() (ok bool) {
			n.get(func() { ok = len(n.health) == count && (name == "" || strings.Contains(n.health[name], want)) })
			return ok
		}, func() string { return fmt.Sprint(n.health) })
	}
	set(map[string]nodev1.NodeState{"node_a": nodev1.NodeState_NODE_STATE_UP, "node_b": nodev1.NodeState_NODE_STATE_UP})
	have(2, "nodehealth/node_b", "\x10\x01")
	set(map[string]nodev1.NodeState{"node_a": nodev1.NodeState_NODE_STATE_UP, "node_b": nodev1.NodeState_NODE_STATE_DOWN})
	have(2, "nodehealth/node_b", "\x10\x02")
	set(map[string]nodev1.NodeState{"node_a": nodev1.NodeState_NODE_STATE_UP})
	have(1, "", "")
	n.get(func() {
		if n.fulls != 1 || n.cp.GetRevision() != 2 {
			t.Errorf("%d full views, revision %d", n.fulls, n.cp.GetRevision())
		}
	})
	n.stop()
	n.run(t, r)
	eventually(t, func() (ok bool) { n.get(func() { ok = n.fulls == 2 && len(n.health) == 1 }); return ok }, func() string { return "full view after a restart" })
}

// Health of targets goes to the pool that uses them, and to nobody else, whatever becomes of pool and node.
func TestTargetHealthStaysInItsPool(t *testing.T) {
	w, a, _ := sample()
	var pools [2]model.PoolID
	var scope [2]string
	for i := range pools {
		pools[i] = model.PoolID{}.New()
		scope[i] = "pool/" + pools[i].String()
	}
	b, c := reader("node_b"), push.Reader{Kind: identity.Connector, ID: "connector_c"}
	w.allow(a, "cluster", scope[0])
	w.allow(b, "cluster", scope[1])
	w.allow(c, "cluster", "site/s")
	r := newReplica(t, w)
	r.Publish(w.all(), nil)
	na, nb, nc := newNode(a).run(t, r), newNode(b).run(t, r), newNode(c).run(t, r)
	one, two := model.TargetID{}.New(), model.TargetID{}.New()
	has := func(n *node, want map[model.TargetID]string) {
		t.Helper()
		eventually(t, func() (ok bool) {
			n.get(func() {
				ok = len(n.health) == len(want)
				for id, state := range want {
					ok = ok && strings.HasSuffix(n.health["targethealth/"+id.String()], state)
				}
			})
			return ok
		}, func() string { return fmt.Sprintf("%q of %s, want %q", n.health, n.ID, want) })
	}
	const healthy, unhealthy = "\x10\x01", "\x10\x02"
	r.SetTargetHealth([]push.TargetHealth{{ID: one, Pool: pools[0]}, {ID: two, Pool: pools[1], Healthy: true}})
	has(na, map[model.TargetID]string{one: unhealthy})
	has(nb, map[model.TargetID]string{two: healthy})
	r.SetTargetHealth([]push.TargetHealth{{ID: one, Pool: pools[0], Healthy: true}}) // of two nothing is said
	has(na, map[model.TargetID]string{one: healthy})
	has(nb, map[model.TargetID]string{two: healthy})
	r.SetTargetHealth([]push.TargetHealth{{ID: one, Pool: pools[1]}}) // its service moved
	has(na, nil)
	has(nb, map[model.TargetID]string{one: unhealthy, two: healthy})
	r.SetTargetHealth([]push.TargetHealth{{ID: two, Gone: true}, {ID: model.TargetID{}.New(), Gone: true}})
	has(nb, map[model.TargetID]string{one: unhealthy})

	// A node that moves hears of the other pool's targets, and of those of its old one no more.
	r.SetTargetHealth([]push.TargetHealth{{ID: two, Pool: pools[0]}})
	has(na, map[model.TargetID]string{two: unhealthy})
	w.allow(a, "cluster", scope[1])
	r.Publish(w.step(nil), nil)
	has(na, map[model.TargetID]string{one: unhealthy, two: unhealthy}) // what it heard before is not taken back
	r.SetTargetHealth([]push.TargetHealth{{ID: two, Pool: pools[0], Healthy: true}, {ID: one, Pool: pools[1], Healthy: true}})
	has(na, map[model.TargetID]string{one: healthy, two: unhealthy})
	has(nc, nil)

	// Node health goes on beside it.
	r.SetNodeHealth(map[string]nodev1.NodeState{"node_a": nodev1.NodeState_NODE_STATE_UP})
	eventually(t, func() (ok bool) { nb.get(func() { ok = len(nb.health) == 2 }); return ok }, func() string { return fmt.Sprint(nb.health) })
	nb.get(func() {
		if nb.fulls != 2 {
			t.Errorf("%d first responses, want one of each type", nb.fulls)
		}
	})
}

// A node of the release before subscribes to the types that it knows, and is served as ever.
func TestAnOldNodeIsNotToldOfNewTypes(t *testing.T) {
	w, a, _ := sample()
	r := newReplica(t, w)
	r.Publish(w.all(), nil)
	n := newNode(a)
	fresh := []string{resource.Forward, resource.TargetHealth}
	n.types = slices.DeleteFunc(resource.NodeTypes(), func(t string) bool { return slices.Contains(fresh, t) })
	n.run(t, r)
	n.reach(t, 2)
	pool := w.scopes[a][len(w.scopes[a])-1]
	ch := w.step([]*snapshot.Resource{put(resource.Forward, "forward/o/1", "ports", pool), put(resource.Route, "route/o/9", "nine", pool)})
	r.Publish(ch, nil)
	r.SetTargetHealth([]push.TargetHealth{{ID: model.TargetID{}.New(), Pool: model.PoolID{}.New()}})
	n.reach(t, ch.Revision)
	ch = w.step([]*snapshot.Resource{put(resource.Forward, "forward/o/1", "other ports", pool)}) // nothing for it but the revision
	r.Publish(ch, nil)
	n.reach(t, ch.Revision)
	n.get(func() {
		if n.content[resource.Route]["route/o/9"] != "nine" || len(n.content[resource.Forward]) != 0 || len(n.health) != 0 {
			t.Errorf("content %v, health %v", n.content, n.health)
		}
	})
	n.stop()
	// Upgraded, it gets the type that it never had.
	n.types = nil
	n.run(t, r)
	eventually(t, func() (ok bool) {
		n.get(func() { ok = n.content[resource.Forward]["forward/o/1"] == "other ports" })
		return ok
	}, func() string { return fmt.Sprint(n.content) })
	n.equal(t, w)
}

func TestScopeChangeBringsANewView(t *testing.T) {
	w, a, _ := sample()
	r := newReplica(t, w)
	r.Publish(w.all(), nil)
	n := newNode(a).run(t, r)
	n.reach(t, 2)
	w.allow(a, "cluster", "node/node_a", "pool/q")
	ch := w.step([]*snapshot.Resource{put(resource.NodeConfig, "nodeconfig/node_a", "now in q", "node/node_a")})
	r.Publish(ch, nil)
	n.reach(t, ch.Revision)
	n.equal(t, w)
	n.get(func() {
		if len(n.resets) == 0 {
			t.Error("no type came in full")
		}
	})
	ch = w.step([]*snapshot.Resource{put(resource.Route, "route/o/2", "in the new pool", "pool/q")})
	r.Publish(ch, nil)
	n.reach(t, ch.Revision)
	n.equal(t, w)
}

func TestDrainEndsStreams(t *testing.T) {
	w, a, _ := sample()
	r, other := newReplica(t, w), newReplica(t, w)
	r.Publish(w.all(), nil)
	other.Publish(w.all(), nil)
	n := newNode(a).run(t, r, other)
	n.reach(t, 2)
	r.stop()
	ch := w.step([]*snapshot.Resource{put(resource.Route, "route/o/1", "after", "pool/p")})
	other.Publish(ch, nil)
	n.reach(t, ch.Revision)
	n.equal(t, w)
	if got := other.metric(t, "cp_push_resumes_total", "full") + other.metric(t, "cp_push_resumes_total", "types"); got != 0 {
		t.Errorf("%v full views after a move", got)
	}
}

func TestPublishedCanBeWaitedFor(t *testing.T) {
	w, _, _ := sample()
	r := newReplica(t, w)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.WaitPublished(ctx, 1); err == nil {
		t.Error("nothing is published, and the wait ended")
	}
	done := make(chan error, 1)
	go func() { done <- r.WaitPublished(context.Background(), 3) }()
	r.Publish(w.all(), nil)
	r.Publish(w.step(nil), nil)
	if err := <-done; err != nil || r.Published() != 3 {
		t.Errorf("wait: %v at %d", err, r.Published())
	}
	r.Publish(snapshot.Changes{Revision: 2}, nil) // refused
	if r.Published() != model.Revision(3) {
		t.Errorf("went back to %d", r.Published())
	}
}

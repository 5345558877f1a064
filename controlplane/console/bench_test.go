package console

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/loglinear"
)

// What pages cost the server with ten thousand services, each with a target that is checked and with traffic: 95 of 100 renderings,
// of the handler as a browser calls it; and the dearest of all other pages.
func BenchmarkRender(b *testing.B) {
	r := newRig(b)
	r.furnish()
	token := r.user("root@example.org", "cluster-admin", "", "")
	r.grow(10_000)
	org := "/console/orgs/default"
	main := []string{org + "/", org + "/services", org + "/services?q=s-77", org + "/services/wiki", org + "/sites", org + "/sites/home", org + "/topology", org + "/domains/example.org", "/console/cluster/nodes", "/console/cluster/diagnostics"}
	for _, path := range main {
		p95, median := r.rendered(b, token, path, 100)
		say(b, "console_render_p95", path, p95, median)
	}
	worst, at, half := time.Duration(0), "", time.Duration(0)
	for _, p := range everyPage {
		if path := r.path(p.path); !slices.Contains(main, path) {
			if p95, median := r.rendered(b, token, path, 20); p95 > worst {
				worst, at, half = p95, p.path, median
			}
		}
	}
	say(b, "console_render_p95_worst_of_all_others", at, worst, half)
}

// rendered is what a page takes, n times: the 95th of a hundred, and the median.
func (r *rig) rendered(b *testing.B, token, path string, n int) (p95, median time.Duration) {
	b.Helper()
	var times []time.Duration
	for range n {
		req := httptest.NewRequest(http.MethodGet, home+path, nil)
		req.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 5000).String()
		req.AddCookie(&http.Cookie{Name: session, Value: token})
		rec := httptest.NewRecorder()
		begun := time.Now()
		r.con.ServeHTTP(rec, req)
		times = append(times, time.Since(begun))
		if rec.Code != http.StatusOK {
			b.Fatalf("%s: %d", path, rec.Code)
		}
	}
	slices.Sort(times)
	return times[n*95/100-1], times[n/2]
}

func say(b *testing.B, name, page string, p95, median time.Duration) {
	b.Helper()
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	line, err := json.Marshal(map[string]any{"name": name, "page": page, "services": 10_000, "value": ms(p95), "median": ms(median), "unit": "ms", "want": "<= 50"})
	if err != nil {
		b.Fatal(err)
	}
	fmt.Println(string(line))
}

// grow puts n services with a target each into the model that the console shows; the connector of the site checks them all, the
// nodes have counted requests of each, and each tenth is ill.
func (r *rig) grow(n int) {
	m := r.world.Get()
	batch := model.Batch{From: m.Revision(), To: m.Revision() + 1, CommittedAt: time.Now(), Services: map[model.ServiceID]*model.Service{}, Targets: map[model.TargetID]*model.Target{}}
	var org model.OrgID
	for o := range m.Organizations() {
		org = o.ID
	}
	var site *model.Site
	for s := range m.Sites() {
		if s.Name == "home" {
			site = s
		}
	}
	pi := r.connectorID("pi")
	said := presence.Entry{Key: presence.Key{Kind: identity.Connector, ID: pi}, Applied: m.Revision(), Tunnels: []presence.Tunnel{tunnelTo(r.nodeID("edge-1"), true)}}
	node, err := model.NodeID{}.Parse(r.nodeID("edge-1"))
	if err != nil {
		r.t.Fatal(err)
	}
	var traffic []*model.NodeTraffic
	at := time.Now().UTC().Add(-time.Minute).Truncate(model.TrafficFine)
	for i := range n {
		name := fmt.Sprintf("s-%05d", i)
		s := &model.Service{ID: model.ServiceID{}.New(), Org: org, Name: name, Kind: model.HTTP, Hostname: name + ".example.org", Pool: site.Pool}
		t := &model.Target{ID: model.TargetID{}.New(), Org: org, Name: name, Service: s.ID, Site: site.ID, Address: "10.0.0.1", Port: 80, PathPrefix: "/", Weight: 100, HealthCheck: &model.HealthCheck{Kind: model.CheckTCP}}
		said.Targets = append(said.Targets, presence.Target{ID: t.ID.String(), Health: presence.TargetHealthy})
		if i%10 == 0 {
			said.Targets[i].Health, said.Targets[i].Reason = presence.TargetUnhealthy, "it refuses connections"
		}
		traffic = append(traffic, &model.NodeTraffic{At: at, Org: org, Service: s.ID, Site: site.ID, Node: node, Traffic: model.Traffic{
			Requests: 10, Statuses: [6]int64{2: 10}, Took: loglinear.Counts{Buckets: []int32{50}, Counts: []int64{10}},
		}})
		batch.Services[s.ID], batch.Targets[t.ID] = s, t
	}
	r.world.Set(m.Apply(batch))
	slices.SortFunc(said.Targets, func(a, b presence.Target) int { return cmp.Compare(a.ID, b.ID) })
	r.report(said)
	if _, err := r.db.Tx(r.t.Context(), "test", func(tx *store.Tx) error { return tx.AddTraffic(r.t.Context(), traffic) }); err != nil {
		r.t.Fatal(err)
	}
}

package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

// What pages cost the server with ten thousand services: 95 of 100 renderings, of the handler as a browser calls it.
func BenchmarkRender(b *testing.B) {
	r := newRig(b)
	r.furnish()
	token := r.user("root@example.org", "cluster-admin", "", "")
	r.grow(10_000)
	for _, path := range []string{"/console/orgs/default/", "/console/orgs/default/services", "/console/orgs/default/services?q=s-77", "/console/orgs/default/services/wiki", "/console/orgs/default/sites/home", "/console/orgs/default/topology"} {
		var times []time.Duration
		for range 100 {
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
		line, err := json.Marshal(map[string]any{"name": "console_render_p95", "page": path, "services": 10_000, "value": float64(times[94].Microseconds()) / 1000, "median": float64(times[49].Microseconds()) / 1000, "unit": "ms", "want": "<= 50"})
		if err != nil {
			b.Fatal(err)
		}
		fmt.Println(string(line))
	}
}

// grow puts n services with a target each into the model that the console shows.
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
	for i := range n {
		name := fmt.Sprintf("s-%05d", i)
		s := &model.Service{ID: model.ServiceID{}.New(), Org: org, Name: name, Kind: model.HTTP, Hostname: name + ".example.org", Pool: site.Pool}
		t := &model.Target{ID: model.TargetID{}.New(), Org: org, Name: name, Service: s.ID, Site: site.ID, Address: "10.0.0.1", Port: 80, PathPrefix: "/", Weight: 100}
		batch.Services[s.ID], batch.Targets[t.ID] = s, t
	}
	r.con.World = model.NewCurrent()
	r.con.World.Set(m.Apply(batch))
}

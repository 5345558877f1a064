package console

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/admin"
)

func TestSeries(t *testing.T) {
	from := time.Date(2027, 1, 1, 12, 0, 7, 0, time.UTC)
	at := from.Truncate(15 * time.Second).Add(30 * time.Second)
	s := series(from, from.Add(time.Minute), 15*time.Second, []admin.Traffic{
		{At: &at, Requests: 30, Failed: 3, P50: 2, P99: 9, Statuses: admin.Statuses{S2xx: 27, S5xx: 3}, In: 150, Out: 1500}, {Requests: 7},
	})
	if len(s.At) != 5 || len(s.Out) != 5 || s.At[0] != from.Truncate(15*time.Second).Unix() || s.Requests != 30 {
		t.Fatalf("%+v", s)
	}
	if s.Rate[2] != 2 || s.Failed[2] != 10 || s.P50[2] == nil || *s.P99[2] != 9 || s.S5xx[2] != .2 || s.In[2] != 10 || s.Out[2] != 100 {
		t.Errorf("%+v", s)
	}
	if s.Rate[1] != 0 || s.P50[1] != nil {
		t.Errorf("where nothing was: %+v", s)
	}
}

// Charts draw what nodes have counted: of all, of a service, of a site; for those who may see traffic.
func TestTraffic(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("viewer@example.org", "", "default", "viewer"))
	for query, want := range map[string]int64{"": 300, "?service=wiki": 300, "?site=home": 300, "?span=24h": 0, "?service=mail": 0, "?site=office": 0, "?span=x": 300} {
		got := b.get("/console/orgs/default/traffic" + query)
		var s Series
		if err := json.Unmarshal([]byte(got.body), &s); err != nil || got.status != 200 || s.Requests != want || len(s.At) < 100 || len(s.At) != len(s.P99) {
			t.Errorf("%s: %d %v, %d requests, want %d", query, got.status, err, s.Requests, want)
		}
	}
	if got := b.get("/console/orgs/default/traffic?service=nothing"); got.status != 422 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.get("/console/orgs/default/"); !strings.Contains(got.body, `<b>1.0</b><span>requests a second`) || !strings.Contains(got.body, `tile bad`) || !strings.Contains(got.body, `data-traffic="/console/orgs/default/traffic?span=1h"`) {
		t.Error(got.body)
	}
	if got := b.get("/console/orgs/default/topology"); !strings.Contains(got.body, "1.0 requests a second") {
		t.Error(got.body)
	}
	for token, status := range map[string]int{"": 401, r.user("nobody@example.org", "", "", ""): 404} {
		if got := r.browser(token).get("/console/orgs/default/traffic"); got.status != status {
			t.Errorf("%d, want %d", got.status, status)
		}
	}
}

// What comes first of much comes in order, whatever comes when.
func TestFirsts(t *testing.T) {
	f := firsts[string]{most: 3, order: strings.Compare}
	for _, v := range strings.Fields("m c z a x b q a") {
		f.add(v)
	}
	if got := strings.Join(f.items, " "); got != "a a b" {
		t.Error(got)
	}
}

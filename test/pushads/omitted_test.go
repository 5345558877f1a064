package pushads

import (
	"fmt"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/shared/resource"
)

// Of more rejections than fit into an answer the rest is counted, and nothing that may be among it counts as applied,
// neither at the reader's replica nor at another one, which is told of even fewer.
func TestRejectionsThatDoNotFit(t *testing.T) {
	const all = 2000
	w, a, _ := sample()
	r, other := newReplica(t, w), newReplica(t, w)
	var routes []*snapshot.Resource
	for i := range all {
		routes = append(routes, put(resource.Route, fmt.Sprintf("route/o/x%04d", i), "bad", "pool/p"))
	}
	w.step(append(routes, put(resource.Zone, "zone/o/1", "good", "pool/p")))
	r.Publish(w.all(), nil)
	other.Publish(w.all(), nil)
	n := newNode(a)
	n.reject = func(r ads.Resource) string {
		if string(r.Body) == "bad" {
			return strings.Repeat("x", 1000)
		}
		return ""
	}
	n.run(t, r)
	n.reach(t, 3)

	count := func(s *push.Server, far *push.Elsewhere, listed, omitted int) {
		t.Helper()
		v, err := s.Debug(a, far)
		if err != nil {
			t.Fatal(err)
		}
		have := map[push.Status]int{}
		for _, res := range v.Resources {
			have[res.Status]++
			switch name := resource.ShortType(res.TypeURL); {
			case res.Status != push.StatusSynced && res.Applied.Version != "":
				t.Errorf("%s %s is %s and applied", name, res.Name, res.Status)
			case res.Status == push.StatusSynced && strings.HasPrefix(res.Name, "route/o/x"):
				t.Errorf("%s %s is synced", name, res.Name)
			case res.Status == push.StatusUnknown && (name == "Certificate" || res.Name == "route/o/1"):
				t.Errorf("%s %s is before the end of the list, and not known", name, res.Name)
			case res.Status == push.StatusUnknown && !strings.Contains(res.Reason, fmt.Sprintf("%d more", omitted)):
				t.Errorf("%s %s: %q", name, res.Name, res.Reason)
			}
		}
		if v.Omitted != omitted || have[push.StatusRejected] != listed || have[push.StatusUnknown] < omitted {
			t.Errorf("%d omitted, %v; want %d, %d listed", v.Omitted, have, omitted, listed)
		}
	}
	var listed, omitted int
	eventually(t, func() bool {
		list, more := r.Rejected(a, all)
		listed, omitted = len(list), more
		return listed > 0
	}, func() string { return "nothing is rejected" })
	if omitted == 0 || listed+omitted != all {
		t.Fatalf("%d listed, %d omitted, want %d", listed, omitted, all)
	}
	count(r.Server, nil, listed, omitted)
	some, more := r.Rejected(a, 100)
	if len(some) != 100 || more != all-100 {
		t.Errorf("%d and %d more", len(some), more)
	}
	rev, _ := r.Applied(a)
	count(other.Server, &push.Elsewhere{Applied: rev, Rejected: some, Omitted: more}, 100, all-100)

	// What it rejects no longer is known again.
	n.get(func() { clear(n.refused) })
	ch := w.step([]*snapshot.Resource{put(resource.Zone, "zone/o/1", "what it missed", "pool/p")})
	r.Publish(ch, nil)
	n.reach(t, ch.Revision)
	eventually(t, func() bool { _, omitted = r.Rejected(a, 0); return omitted == 0 }, func() string { return fmt.Sprint(omitted) })
}

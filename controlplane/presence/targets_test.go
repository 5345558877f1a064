package presence

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
	"github.com/warrenedge/warren/controlplane/presence/presencetest"
	"github.com/warrenedge/warren/shared/identity"
)

// Two connectors at home, one abroad; three targets at home, of which one has no check.
const targetRows = `
	organization acme
	pool edge
	pool far
	site home organization=acme pool=edge
	site abroad organization=acme pool=edge
	connector a organization=acme site=home enrolled
	connector b organization=acme site=home enrolled
	connector x organization=acme site=abroad enrolled
	service web organization=acme pool=edge hostname=www.example.org
	target one organization=acme service=web site=home address=10.0.0.1 check=tcp
	target two organization=acme service=web site=home address=10.0.0.2 check=http
	target bare organization=acme service=web site=home address=10.0.0.3
`

func targetID(name string) model.TargetID {
	return model.TargetID{UUID: modeltest.UUID("target", name)}
}

// watched is a store with the model that it decides by.
type watched struct {
	t *testing.T
	s *Store
	m *model.Model
}

func (w *watched) step(rows string) {
	w.t.Helper()
	b, err := modeltest.Parse(w.m.Revision(), rows)
	if err != nil {
		w.t.Fatal(err)
	}
	w.m = w.m.Apply(b)
	w.s.Follow(b, w.m)
}

func connectorKey(name string) Key {
	return Key{identity.Connector, model.ConnectorID{UUID: modeltest.UUID("connector", name)}.String()}
}

// says reports "one=healthy two=unhealthy" in the name of a connector.
func (w *watched) says(connector, words string) {
	w.s.Report(w.t.Context(), connectorEntry(connector, words))
}

var connectorSince = time.Unix(1, 0)

func connectorEntry(connector, words string) Entry {
	e := Entry{Key: connectorKey(connector), Since: connectorSince, Applied: 1}
	for _, word := range strings.Fields(words) {
		name, state, _ := strings.Cut(word, "=")
		t := Target{ID: targetID(name).String(), Health: map[string]TargetState{"healthy": TargetHealthy, "unhealthy": TargetUnhealthy}[state]}
		if t.Health == TargetUnhealthy {
			t.Reason = "seen by " + connector
		}
		e.Targets = append(e.Targets, t)
	}
	e.Targets = sortTargets(e.Targets)
	return e
}

// news is what Targets says, in the order of names.
func (w *watched) news() string {
	var out []string
	for _, n := range w.s.Targets(w.m) {
		name := "?"
		for _, known := range []string{"one", "two", "bare"} {
			if n.ID == targetID(known) {
				name = known
			}
		}
		word := name + "=" + n.State.String()
		if n.Gone {
			word = name + " is gone"
		} else if n.Pool == (model.PoolID{UUID: modeltest.UUID("pool", "far")}) {
			word += " in far"
		}
		out = append(out, word)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func TestTargets(t *testing.T) {
	w := &watched{t, newStore("r1", Memory{}), model.Empty()}
	w.step(targetRows)
	for i, c := range []struct {
		do   func()
		want string
	}{
		{func() {}, ""},
		{func() { w.says("a", "one=unknown") }, ""},
		{func() { w.says("a", "one=unhealthy two=healthy bare=unhealthy") }, "one=unhealthy, two=healthy"},
		{func() { w.says("a", "one=unhealthy two=healthy bare=unhealthy") }, ""},            // no news
		{func() { w.says("x", "one=healthy two=unhealthy") }, "one=unhealthy, two=healthy"}, // has no say: another site's
		{func() { w.says("b", "one=healthy two=unhealthy") }, "one=healthy, two=healthy"},   // one is enough
		{func() { w.says("a", "one=unhealthy two=unhealthy") }, "two=unhealthy"},
		{func() { w.says("b", "one=unknown two=unhealthy") }, "one=unhealthy"}, // its word is taken back
		{func() { w.s.Gone(t.Context(), connectorKey("a"), connectorSince) }, "one=unhealthy, two=unhealthy"},
		{func() { w.s.Gone(t.Context(), connectorKey("b"), connectorSince) }, "one=unhealthy, two=unhealthy"}, // silence says nothing
		{func() { w.says("a", "one=healthy two=healthy") }, "one=healthy, two=healthy"},
		{func() { w.s.Gone(t.Context(), connectorKey("a"), connectorSince) }, "one=healthy, two=healthy"},
		{func() { w.step("service web organization=acme pool=far hostname=www.example.org") }, "one=healthy in far, two=healthy in far"},
		{func() { w.step("target two organization=acme service=web site=home address=10.0.0.2") }, "two is gone"},
		{func() { w.says("a", "one=healthy two=unhealthy") }, "one=healthy in far"}, // a check that was
		{func() { w.step("delete target one") }, "one is gone"},
		{func() { w.says("a", "nonsense=unhealthy") }, ""},
		{func() {
			w.says("a", "one=unhealthy")
			w.step("target one organization=acme service=web site=home address=10.0.0.1 check=tcp")
		}, "one=unhealthy in far"},
		{func() { w.step("connector a organization=acme site=home enrolled revoked") }, ""},
		{func() { w.says("a", "one=healthy") }, "one=unhealthy in far"}, // nobody trusts it
	} {
		c.do()
		if got := w.news(); got != c.want {
			t.Errorf("step %d: %q, want %q", i, got, c.want)
		}
	}
	if v := w.s.Verdict(w.m, w.m.Target(targetID("one"))); v.State != TargetUnhealthy || v.Reason != "seen by a" {
		t.Errorf("%+v", v)
	}
	if v := w.s.Verdict(w.m, w.m.Target(targetID("bare"))); v != (Verdict{}) {
		t.Errorf("without a check: %+v", v)
	}
	// A reload has nothing of what is gone.
	b := model.Batch{To: w.m.Revision() + 1, Reload: true}
	w.m = w.m.Apply(b)
	w.s.Follow(b, w.m)
	if got := w.news(); got != "one is gone" {
		t.Errorf("after a reload: %q", got)
	}
}

// In a local site its nodes check, and nobody else has a say.
func TestTargetsOfLocalSites(t *testing.T) {
	w := &watched{t, newStore("r1", Memory{}), model.Empty()}
	w.step(`
		organization acme
		pool edge
		node n1 pool=edge enrolled
		node n2 pool=edge enrolled
		node n3 pool=edge enrolled
		site shed organization=acme pool=edge kind=local nodes=n1,n2
		service web organization=acme pool=edge hostname=www.example.org
		target one organization=acme service=web site=shed address=10.0.0.1 check=tcp
	`)
	says := func(node, words string) {
		e := connectorEntry(node, words)
		e.Key = Key{identity.Node, model.NodeID{UUID: modeltest.UUID("node", node)}.String()}
		w.s.Report(t.Context(), e)
	}
	for i, c := range []struct {
		do   func()
		want string
	}{
		{func() { says("n1", "one=unhealthy") }, "one=unhealthy"},
		{func() { says("n2", "one=healthy") }, "one=healthy"}, // one is enough
		{func() { says("n2", "one=unhealthy") }, "one=unhealthy"},
		{func() { says("n3", "one=healthy") }, "one=unhealthy"}, // stands elsewhere
		{func() { w.says("a", "one=healthy") }, "one=unhealthy"},
		{func() { w.step("site shed organization=acme pool=edge kind=local nodes=n1,n3") }, "one=healthy"},
		{func() {
			w.step("node n3 pool=edge enrolled revoked")
			says("n1", "one=healthy")
			says("n1", "one=unhealthy")
		}, "one=unhealthy"},
	} {
		c.do()
		if got := w.news(); got != c.want {
			t.Errorf("step %d: %q, want %q", i, got, c.want)
		}
	}
}

// Of a device the nodes of its pool have a say, of which those that it calls say something.
func TestTargetsOfWireGuardSites(t *testing.T) {
	w := &watched{t, newStore("r1", Memory{}), model.Empty()}
	w.step(`
		organization acme
		pool edge
		pool far
		node n1 pool=edge enrolled
		node n2 pool=edge enrolled
		node n3 pool=far enrolled
		site router organization=acme pool=edge kind=wireguard enrolled
		service web organization=acme pool=edge hostname=www.example.org
		target one organization=acme service=web site=router address=10.0.0.1 check=tcp
	`)
	for i, c := range []struct{ node, words, want string }{
		{"n3", "one=unhealthy", ""}, // holds no tunnel
		{"n1", "one=healthy", "one=healthy"},
		{"n2", "one=unhealthy", "one=healthy"}, // it had one
		{"n1", "one=unhealthy", "one=unhealthy"},
	} {
		e := connectorEntry(c.node, c.words)
		e.Key = Key{identity.Node, model.NodeID{UUID: modeltest.UUID("node", c.node)}.String()}
		w.s.Report(t.Context(), e)
		if got := w.news(); got != c.want {
			t.Errorf("step %d: %q, want %q", i, got, c.want)
		}
	}
}

// What one replica hears of a connector decides at all of them.
func TestValkeySharesTargets(t *testing.T) {
	server := presencetest.Start(t)
	var two [2]*watched
	for i := range two {
		name := fmt.Sprintf("r%d", i)
		bus, err := NewValkey(server.URL(), name, quiet())
		if err != nil {
			t.Fatal(err)
		}
		two[i] = &watched{t, newStore(name, bus), model.Empty()}
		two[i].step(targetRows)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = two[i].s.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
		within(t, name+" is live", two[i].s.Live)
	}
	is := func(w *watched, state TargetState) func() bool {
		return func() bool {
			w.news()
			return w.s.Verdict(w.m, w.m.Target(targetID("one"))).State == state
		}
	}
	two[0].says("a", "one=unhealthy two=healthy")
	within(t, "the other replica knows", is(two[1], TargetUnhealthy))
	two[1].says("b", "one=healthy")
	within(t, "the first one knows", is(two[0], TargetHealthy))
	two[1].s.Gone(t.Context(), connectorKey("b"), connectorSince)
	within(t, "the word of who left is taken back", is(two[0], TargetUnhealthy))
}

func TestReportOfTargets(t *testing.T) {
	req := &nodev1.ReportRequest{Targets: []*nodev1.TargetReport{
		{TargetId: "target_b", State: nodev1.TargetState_TARGET_STATE_HEALTHY},
		{TargetId: "target_a", State: nodev1.TargetState_TARGET_STATE_HEALTHY},
		{TargetId: "target_a", State: nodev1.TargetState_TARGET_STATE_UNHEALTHY, Reason: strings.Repeat("x", 255) + "é"},
		{TargetId: "target_c", State: 99},
	}}
	want := []Target{{"target_a", TargetUnhealthy, strings.Repeat("x", 255) + "\uFFFD"}, {"target_b", TargetHealthy, ""}, {"target_c", TargetUnknown, ""}}
	for _, k := range []Key{{identity.Connector, "connector_a"}, {identity.Node, "node_a"}} {
		if got := entry(k, time.Now(), time.Now(), req).Targets; !slices.Equal(got, want) {
			t.Errorf("%v: %+v", k, got)
		}
	}
}

// Deciding costs what changed, not what there is.
func TestTargetsCostWhatChanges(t *testing.T) {
	allocations := func(n int) float64 {
		w := &watched{t, newStore("r1", Memory{}), model.Empty()}
		rows := strings.Builder{}
		rows.WriteString(targetRows)
		for i := range n {
			fmt.Fprintf(&rows, "target t%d organization=acme service=web site=abroad address=10.0.0.1 check=tcp\n", i)
		}
		w.step(rows.String())
		w.s.Targets(w.m)
		words := [2]string{"one=healthy", "one=unhealthy"}
		i := 0
		return testing.AllocsPerRun(100, func() {
			i++
			w.says("a", words[i%2])
			if got := len(w.s.Targets(w.m)); got != 1 {
				t.Fatalf("%d news", got)
			}
		})
	}
	if few, many := allocations(10), allocations(5_000); many > few*1.2+5 {
		t.Errorf("%.0f allocations among 10 targets, %.0f among 5,000", few, many)
	}
}

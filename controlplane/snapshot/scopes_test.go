package snapshot

import (
	"slices"
	"testing"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
	"github.com/warrenedge/warren/shared/identity"
)

func TestScopes(t *testing.T) {
	_, m := step(t, nil, `
		pool edge
		node in pool=edge enrolled
		node draining pool=edge enrolled draining
		node made pool=edge
		node revoked pool=edge enrolled revoked
		site home organization=acme pool=edge
		connector in organization=acme site=home enrolled
		connector made organization=acme site=home
		connector revoked organization=acme site=home enrolled revoked
	`)
	node := func(name string) string { return model.NodeID{UUID: modeltest.UUID("node", name)}.String() }
	connector := func(name string) string {
		return model.ConnectorID{UUID: modeltest.UUID("connector", name)}.String()
	}
	pool := "pool/" + model.PoolID{UUID: modeltest.UUID("pool", "edge")}.String()
	site := "site/" + model.SiteID{UUID: modeltest.UUID("site", "home")}.String()
	var refusal string
	for _, c := range []struct {
		kind identity.Kind
		id   string
		want []string // nil: denied
	}{
		{identity.Node, node("in"), []string{"cluster", "node/" + node("in"), pool}},
		{identity.Node, node("draining"), []string{"cluster", "node/" + node("draining"), pool}},
		{identity.Connector, connector("in"), []string{"cluster", site}},
		{identity.Node, node("made"), nil},
		{identity.Node, node("revoked"), nil},
		{identity.Node, node("unknown"), nil},
		{identity.Node, connector("in"), nil},
		{identity.Node, "", nil},
		{identity.Node, "node_", nil},
		{identity.Connector, connector("made"), nil},
		{identity.Connector, connector("revoked"), nil},
		{identity.Connector, connector("unknown"), nil},
		{identity.Connector, node("in"), nil},
		{identity.Control, "control", nil},
		{"", "", nil},
	} {
		got, err := Scopes(m, c.kind, c.id)
		if c.want != nil {
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s %s: %q, %v, want %q", c.kind, c.id, got, err, c.want)
			}
			continue
		}
		if fault.Of(err) != fault.Denied || got != nil {
			t.Errorf("%s %s: %q, %v, want it denied", c.kind, c.id, got, err)
			continue
		}
		if refusal == "" {
			refusal = err.Error()
		}
		if err.Error() != refusal {
			t.Errorf("%s %s is told %q, others %q", c.kind, c.id, err, refusal)
		}
	}
}

// TestNoResourceTwice: no reader has two scopes of one resource.
func TestNoResourceTwice(t *testing.T) {
	w := modeltest.NewWorld(11)
	m := model.Empty()
	c := New(modeltest.Open)
	for range 60 {
		m = m.Apply(w.Step(6))
		resources := c.Build(nil, m, w.All()).Upserts
		for n := range m.Nodes() {
			scopes, err := Scopes(m, identity.Node, n.ID.String())
			if err != nil {
				continue
			}
			for _, r := range resources {
				if shared := intersection(scopes, r.Scopes); shared > 1 {
					t.Fatalf("%s reads %s through %d scopes", n.Name, r.Name, shared)
				}
			}
		}
	}
}

func intersection(a, b []string) int {
	n := 0
	for _, s := range a {
		if slices.Contains(b, s) {
			n++
		}
	}
	return n
}

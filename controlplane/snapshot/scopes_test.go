package snapshot

import (
	"bytes"
	"slices"
	"testing"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/policy"
)

// T20: which identity reads anything at all. Whoever is refused is told the same.
func TestT20_WhoReadsWhat(t *testing.T) {
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

// T21: nothing of an organization whose services are at another pool is sent to the nodes and connectors of this one: no name,
// address, certificate, key, rule or credential. What the cluster shares, its nodes among it, is for all.
func TestT21_WhatIsOfOtherPoolsIsNotSent(t *testing.T) {
	b, m := step(t, nil, everyType+`
		organization beta brand=Beta-Brand rate=77
		pool far
		node f1 pool=far addresses=192.0.2.9 endpoint=192.0.2.9:51820 enrolled
		site beta-home organization=beta pool=far
		connector beta-box organization=beta site=beta-home enrolled
		domain beta.example organization=beta pool=far
		service beta-web organization=beta pool=far hostname=www.beta.example policy=beta-guard
		service beta-db organization=beta pool=far kind=tcp ports=7777
		target beta-t1 organization=beta service=beta-web site=beta-home address=10.66.66.66 port=8080
		target beta-t2 organization=beta service=beta-db site=beta-home address=10.66.66.67 port=7777
		certificate beta-www organization=beta names=www.beta.example chain=beta-chain sealed=sealed:beta-sealed
		policy beta-guard organization=beta networks=203.0.113.0/24 links=beta-link
		challenge beta-c organization=beta order=beta-o type=dns-01 for=beta.example value=beta-challenge
	`)
	id := func(kind, name string) string {
		u := modeltest.UUID(kind, name)
		switch kind {
		case "organization":
			return model.OrgID{UUID: u}.String()
		case "site":
			return model.SiteID{UUID: u}.String()
		case "connector":
			return model.ConnectorID{UUID: u}.String()
		case "policy":
			return model.PolicyID{UUID: u}.String()
		}
		return model.ServiceID{UUID: u}.String()
	}
	secret := policy.HashSecret("beta-link")
	theirs := []string{"beta", "Beta", "10.66.66", "203.0.113", string(secret[:]), id("organization", "beta"), id("site", "beta-home"),
		id("connector", "beta-box"), id("policy", "beta-guard"), id("service", "beta-web"), id("service", "beta-db")}
	resources := New(modeltest.Open).Build(nil, m, b).Upserts
	sent := func(kind identity.Kind, id string) (n int, found []string) {
		scopes, err := Scopes(m, kind, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range resources {
			if intersection(scopes, r.Scopes) == 0 {
				continue
			}
			n++
			for _, s := range theirs {
				if bytes.Contains(append([]byte(r.Name), r.Any.Value...), []byte(s)) {
					found = append(found, s+" in "+r.Name)
				}
			}
		}
		return n, found
	}
	node := func(name string) string { return model.NodeID{UUID: modeltest.UUID("node", name)}.String() }
	for _, reader := range []struct {
		kind identity.Kind
		id   string
	}{{identity.Node, node("n1")}, {identity.Node, node("n2")}, {identity.Connector, id("connector", "c1")}} {
		if n, found := sent(reader.kind, reader.id); n < 3 || len(found) > 0 {
			t.Errorf("%s %s is sent %d resources, with %q", reader.kind, reader.id, n, found)
		}
	}
	if _, found := sent(identity.Node, node("f1")); len(found) < len(theirs) {
		t.Errorf("their own node is sent %q alone: this test looks for too little", found)
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

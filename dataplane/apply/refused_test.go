package apply

import (
	"errors"
	"slices"
	"testing"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/dns"
	"github.com/warrenedge/warren/dataplane/tunnel"
)

func said(rs []*nodev1.Rejection) []string {
	var out []string
	for _, r := range rs {
		out = append(out, r.GetName()+": "+r.GetReason())
	}
	return out
}

// Resources that are fine by themselves are rejected by name when a subsystem has to leave something out,
// at each checkpoint for as long as that lasts.
func TestWhatSubsystemsLeaveOutIsRejectedByName(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	m.fail = errors.Join(&tunnel.PeerError{ID: "node_b", Err: errBroken}, &tunnel.PeerError{ID: "connector_site_1", Err: errBroken})
	m.unfit = errors.Join(
		errors.Join(&dns.ObjectError{Zone: "domain_1", Err: errBroken}, &dns.ObjectError{Zone: "domain_1", Owner: "app.example.org", Err: errBroken}),
		errors.Join(&dns.ObjectError{Node: "node_me", Err: errBroken}),
	)
	want := []string{
		"node/node_b: peer node_b: broken",
		"node/node_me: node node_me: broken",
		"recordset/o/service_1: record set app.example.org: broken",
		"site/o/site_1: peer connector_site_1: broken",
		"zone/o/domain_1: zone domain_1: broken",
	}
	sorted := func(rs []*nodev1.Rejection) []string { return slices.Sorted(slices.Values(said(rs))) }
	rej := must(t, n, world(t))
	if got := sorted(rej); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, r := range rej {
		if good := n.state.good[r.GetTypeUrl()][r.GetName()]; r.GetVersion() != good.raw.Version {
			t.Errorf("%s: version %q, %q was sent", r.GetName(), r.GetVersion(), good.raw.Version)
		}
	}
	if got := sorted(must(t, n, tx(6))); !slices.Equal(got, want) {
		t.Errorf("at the next checkpoint: %q", got)
	}
	m.fail, m.unfit = nil, nil
	if got := said(must(t, n, tx(7, res(t, "node/node_b", nodeMsg("node_b", "b", 5))))); len(got) != 0 {
		t.Errorf("after repair: %q", got)
	}
}

// Of two that exclude each other the second is named, as it is the one that is left out.
func TestTheSecondOfTwoIsNamed(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	m.unfit = &dns.ObjectError{Zone: "domain_1", Owner: "app.example.org", Err: errBroken}
	x := world(t)
	again := res(t, "recordset/o/service_2", recordMsg("app.example.org"))
	x.Upserts[again.TypeURL] = append(x.Upserts[again.TypeURL], again)
	if got := said(must(t, n, x)); len(got) != 1 || got[0] != "recordset/o/service_2: record set app.example.org: broken" {
		t.Errorf("%q", got)
	}
}

func TestConnectorNamesWhatItCannotServe(t *testing.T) {
	c, m := newConnector(t, t.TempDir())
	m.unfit = errors.Join(&connector.TargetError{ID: "target_1", Err: errBroken})
	m.fail = errors.Join(&tunnel.PeerError{ID: "node_b", Err: errBroken})
	want := "connectorconfig/o/site_1: peer node_b: broken; target target_1: broken"
	for i, x := range []ads.Transaction{tx(3, res(t, "connectorconfig/o/site_1", connectorMsg())), tx(4)} {
		if got := said(must(t, c, x)); len(got) != 1 || got[0] != want {
			t.Errorf("checkpoint %d: %q", i, got)
		}
	}
	m.unfit, m.fail = nil, nil
	fixed := connectorMsg()
	fixed.Targets[0].Port++
	if got := said(must(t, c, tx(5, res(t, "connectorconfig/o/site_1", fixed)))); len(got) != 0 {
		t.Errorf("after repair: %q", got)
	}
}

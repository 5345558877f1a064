package apply

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/health"
	"github.com/warrenedge/warren/shared/endpoint"
)

func newConnector(t *testing.T, dir string) (*Connector, *machine) {
	t.Helper()
	m := &machine{}
	disk, err := OpenDisk(dir, "connector_1", quiet())
	if err != nil {
		t.Fatal(err)
	}
	return NewConnector("connector_1", netip.MustParseAddr("fd57:6172:7265:2::1"), Site{
		Tunnel: tunnelOf{m}, Streams: siteStreamsOf{m}, Connector: connectorOf{m}, Checks: checksOf{m}, Trust: m.keep,
	}, disk, quiet(), prometheus.NewRegistry()), m
}

func TestConnector(t *testing.T) {
	dir := t.TempDir()
	c, m := newConnector(t, dir)
	must(t, c, tx(3, res(t, "connectorconfig/o/site_1", connectorMsg())))
	if got := m.took(); !slices.Equal(got, []string{"connector", "checks", "tunnel"}) { // allowed before it can be asked
		t.Errorf("calls %v", got)
	}
	if m.conn.Site != "site_1" || m.conn.Targets["target_1"].Address != "10.0.0.1:80" || m.conn.Nodes[netip.MustParseAddr("fd57:6172:7265:1::2")] != "node_b" {
		t.Errorf("%+v", m.conn)
	}
	if len(m.tunnel.Peers) != 1 || m.tunnel.Peers[0].Remind != keepalive || m.tunnel.Peers[0].TLS != endpoint.MustParse("198.51.100.2:443") || m.tunnel.Addr != netip.MustParseAddr("fd57:6172:7265:2::1") {
		t.Errorf("%+v", m.tunnel)
	}
	bad := connectorMsg()
	bad.Targets[0].Port = 0
	if rej := must(t, c, tx(4, res(t, "connectorconfig/o/site_1", bad))); len(rej) != 1 || len(m.took()) != 0 || len(m.conn.Targets) != 1 {
		t.Errorf("%v %+v", rej, m.conn)
	}
	must(t, c, tx(5))
	if len(m.took()) != 0 {
		t.Error("touched without a change")
	}

	again, m2 := newConnector(t, dir)
	state, err := again.Restore(t.Context())
	if err != nil || state.Checkpoint.GetRevision() != 5 || !again.Ready() || m2.conn.Targets["target_1"].Address == "" {
		t.Errorf("%+v %v %+v", state, err, m2.conn)
	}
	if rej := must(t, again, tx(6)); len(rej) != 1 {
		t.Errorf("rejection forgotten: %v", rej)
	}

	// Nothing is allowed any more when its configuration is gone.
	x := tx(7)
	x.Reset = []string{"type.googleapis.com/warren.node.v1.ConnectorConfig"}
	must(t, again, x)
	if len(m2.conn.Targets) != 0 || len(m2.conn.Nodes) != 0 || len(m2.tunnel.Peers) != 0 {
		t.Errorf("%+v %+v", m2.conn, m2.tunnel)
	}
}

func TestConnectorPorts(t *testing.T) {
	c, m := newConnector(t, t.TempDir())
	cfg := connectorMsg()
	cfg.Targets = append(cfg.Targets, &nodev1.ConnectorTarget{Id: "target_2", Address: "fd00::1", Port: 5000, Protocol: nodev1.TargetProtocol_TARGET_PROTOCOL_UDP, Ports: 10})
	must(t, c, tx(3, res(t, "connectorconfig/o/site_1", cfg)))
	if got := m.conn.Targets["target_1"]; got != (connector.Target{Address: "10.0.0.1:80"}) {
		t.Errorf("%+v", got)
	}
	if got := m.conn.Targets["target_2"]; got != (connector.Target{Address: "[fd00::1]:5000", Network: fabric.UDP, Ports: 10}) {
		t.Errorf("%+v", got)
	}
}

// Targets with a check are checked as it says, those of UDP services excepted; nothing is when they are gone.
func TestConnectorChecks(t *testing.T) {
	c, m := newConnector(t, t.TempDir())
	cfg := connectorMsg()
	cfg.Targets[0].HealthCheck = httpCheckMsg()
	cfg.Targets = append(cfg.Targets,
		&nodev1.ConnectorTarget{Id: "target_2", Address: "fd00::1", Port: 5432, Ports: 2, HealthCheck: tcpCheckMsg()},
		&nodev1.ConnectorTarget{Id: "target_3", Address: "fd00::1", Port: 53, Protocol: nodev1.TargetProtocol_TARGET_PROTOCOL_UDP, HealthCheck: tcpCheckMsg()},
		&nodev1.ConnectorTarget{Id: "target_4", Address: "10.0.0.1", Port: 80})
	must(t, c, tx(3, res(t, "connectorconfig/o/site_1", cfg)))
	want := []health.Target{
		{ID: "target_1", Address: "10.0.0.1:80", Check: health.Check{Interval: 10 * time.Second, Timeout: 2 * time.Second, Healthy: 2, Unhealthy: 3, HTTP: &health.HTTP{
			Method: "HEAD", Path: "/up?deep=1", Host: "app.example.org", Headers: map[string][]string{"X-Key": {"k"}},
			Statuses: []health.StatusRange{{First: 200, Last: 299}, {First: 404, Last: 404}}, BodyContains: "well", TLS: true,
		}}},
		{ID: "target_2", Address: "[fd00::1]:5432", Check: health.Check{Interval: 5 * time.Second, Timeout: time.Second, Healthy: 1, Unhealthy: 1}},
	}
	if d := cmp.Diff(want, m.checks); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	gone := tx(4)
	gone.Removed["type.googleapis.com/warren.node.v1.ConnectorConfig"] = []string{"connectorconfig/o/site_1"}
	must(t, c, gone)
	if len(m.checks) != 0 {
		t.Errorf("still checked: %+v", m.checks)
	}
}

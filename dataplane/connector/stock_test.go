package connector

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/health"
)

var router = netip.MustParseAddr("fd57:6172:7265:3::9")

// tunnels is one stock peer, whose ports are those of this machine.
type tunnels struct {
	called bool
	up     bool
	dialed []string
	to     string // where a dial leads instead
}

func (p *tunnels) Called(site string) bool { return p.called && site == "s" }

func (p *tunnels) Up(site string) bool { return p.up && site == "s" }

func (p *tunnels) DialStock(ctx context.Context, network, site string, to netip.AddrPort) (net.Conn, error) {
	p.dialed = append(p.dialed, network+" "+site+" "+to.String())
	if p.to == "" {
		return nil, errors.New("nobody there")
	}
	return new(net.Dialer).DialContext(ctx, network, p.to)
}

func stockSite(t *testing.T, p Peers, targets map[string]Target) (*Local, *fabric.Fabric, error) {
	t.Helper()
	l := NewLocal(nil, p, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	err := l.Apply([]Config{{Site: "s", Peer: router, Targets: targets}})
	f := fabric.New(fabric.Carriers{WireGuard: nowhere{}, Local: l}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	f.Apply(fabric.Config{Self: "n", Sites: []fabric.Site{{ID: "s", Local: true, Nodes: []string{"n"}}}})
	return l, f, err
}

// A stock peer's targets are dialled inside its tunnel, while it is up.
func TestStockPeerIsDialled(t *testing.T) {
	p := &tunnels{to: echo(t)}
	l, f, err := stockSite(t, p, map[string]Target{"t": {Address: "[" + router.String() + "]:80"}})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l.Run)
	if _, err := f.DialTarget(t.Context(), request("t")); !fabric.NoWay(err) {
		t.Errorf("while it is down: %v", err)
	}
	p.up = true
	conn, err := f.DialTarget(t.Context(), request("t"))
	if err != nil {
		t.Fatal(err)
	}
	talk(t, conn)
	if len(p.dialed) != 1 || p.dialed[0] != "tcp s ["+router.String()+"]:80" {
		t.Errorf("dialled %q", p.dialed)
	}
}

// Nothing but its own address is a target of a stock peer: not this machine's, and no name.
func TestStockPeerIsOneAddress(t *testing.T) {
	trap := echo(t)
	p := &tunnels{up: true}
	l, f, err := stockSite(t, p, map[string]Target{"loopback": {Address: trap}, "other": {Address: "[fd57:6172:7265:3::8]:80"}, "name": {Address: "localhost:80"}, "far": {Address: "router.test:80"}})
	if err == nil || !strings.Contains(err.Error(), "not the peer's") {
		t.Errorf("applied: %v", err)
	}
	serve(t, l.Run)
	for _, target := range []string{"loopback", "other", "name", "far"} {
		if conn, err := f.DialTarget(t.Context(), request(target)); err == nil {
			_ = conn.Close()
			t.Errorf("%s was dialled", target)
		}
	}
	if len(p.dialed) != 0 {
		t.Errorf("dialled %q", p.dialed)
	}
}

// A node has a say on a device that has called it, and says that it is not there when it is not any more.
func TestStockPeerIsChecked(t *testing.T) {
	p := &tunnels{to: echo(t)}
	l, _, err := stockSite(t, p, map[string]Target{"t": {Address: "[" + router.String() + "]:80"}})
	if err != nil {
		t.Fatal(err)
	}
	check := func() error {
		conn, err := l.DialTarget(t.Context(), "t")
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	if err := check(); !errors.Is(err, health.ErrNoSay) {
		t.Errorf("of a device that calls others: %v", err)
	}
	p.called, p.up = true, true
	if err := check(); err != nil {
		t.Error(err)
	}
	p.up = false
	if err := check(); err == nil || errors.Is(err, health.ErrNoSay) || len(p.dialed) != 1 {
		t.Errorf("while it is down: %v, dialled %q", err, p.dialed)
	}
	p.up, p.to = true, ""
	if err := check(); err == nil || errors.Is(err, health.ErrNoSay) {
		t.Errorf("when nobody listens there: %v", err)
	}
}

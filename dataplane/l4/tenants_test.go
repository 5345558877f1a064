package l4

import (
	"net"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/shared/porttest"
)

// T38: clients of an organization's ports beyond what it may have get nothing, by TCP and by UDP; those of another one are
// served.
func TestT38_ClientsBeyondAnOrganizationsPart(t *testing.T) {
	first := porttest.Free(t, 4)
	s := newServer(site(t, map[string]connector.Target{
		"tcp": {Address: echo(t, "tcp:"), Network: fabric.TCP}, "udp": {Address: udpEcho(t, "udp:"), Network: fabric.UDP},
	}))
	run(t, s.Run)
	tenants := inbound.NewTenants(s.limit)
	tenants.Apply(map[string]inbound.Quota{"noisy": {PerSecond: 1000}, "quiet": {}})
	forward := func(service, org string, port uint16, network fabric.Network) Forward {
		f := Forward{Service: service, Tenant: tenants.Of(org), Network: network, FirstPort: port, LastPort: port, Targets: targets(network.String())}
		return f
	}
	apply(t, s, forward("a", "noisy", first, fabric.TCP), forward("b", "noisy", first+1, fabric.UDP),
		forward("c", "quiet", first+2, fabric.TCP), forward("d", "quiet", first+3, fabric.UDP))
	kept, flow := dial(t, "tcp", first), dial(t, "udp", first+1)
	expect(t, kept, "tcp:")
	say(t, flow, "x", "udp:x")

	for later := time.Now().Add(time.Hour); tenants.Of("noisy").Take(later) == nil; { // it has had the quota of the next hour
	}
	wantReset(t, first)
	waitFor(t, "a connection is refused", func() bool { return value(t, s.m.closed.WithLabelValues(string(reasonQuota))) == 1 })
	c, err := net.Dial("udp", at(first+1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a datagram is dropped", func() bool { return value(t, s.m.dropped.WithLabelValues(string(reasonQuota))) == 1 })

	// Who was there goes on, and the others come.
	say(t, kept, "more", "more")
	say(t, flow, "more", "udp:more")
	expect(t, dial(t, "tcp", first+2), "tcp:")
	say(t, dial(t, "udp", first+3), "y", "udp:y")
}

package sni

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/inbound"
)

// T38: connections beyond what an organization may have are reset before their TLS begins, wherever it ends; those of another
// organization are served.
func TestT38_ConnectionsBeyondAnOrganizationsPart(t *testing.T) {
	const places = 18
	limit := inbound.NewLimiter(places, places)
	tenants := inbound.NewTenants(limit)
	tenants.Apply(map[string]inbound.Quota{"many": {}, "often": {PerSecond: 1000}, "quiet": {}})
	route := func(host, org string) Route {
		r := passRoute(host)
		r.Tenant = tenants.Of(org)
		return r
	}
	e := newEdge(t, Config{Routes: []Route{
		route("many.example.org", "many"), route("quiet.example.org", "quiet"), {Hostname: "often.example.org", Tenant: tenants.Of("often")},
	}}, echo(t), nil, func(o *Options) { o.Limit = limit })
	count := func(why reason) float64 { return value(t, e.metrics.closed.WithLabelValues(string(why))) }
	reset := func(host string, why reason) {
		t.Helper()
		before := count(why)
		c := dial(t, e.addr)
		_, err := c.Write(clientHello(t, host, nil))
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("%s: %v, want a reset", host, err)
		}
		waitFor(t, func() bool { return count(why) == before+1 })
	}

	var open []net.Conn
	for range places * 8 / 9 {
		c := dial(t, e.addr)
		exchange(t, c, clientHello(t, "many.example.org", nil))
		open = append(open, c)
	}
	reset("many.example.org", reasonShare)
	exchange(t, dial(t, e.addr), clientHello(t, "quiet.example.org", nil))
	for _, c := range open[:2] {
		_ = c.Close()
	}
	waitFor(t, func() bool { return value(t, e.metrics.open) == float64(len(open)-2+1) })
	exchange(t, dial(t, e.addr), clientHello(t, "many.example.org", nil)) // what was given back can be had again

	for later := time.Now().Add(time.Hour); tenants.Of("often").Take(later) == nil; { // it has had the quota of the next hour
	}
	reset("often.example.org", reasonQuota)
	exchange(t, dial(t, e.addr), clientHello(t, "quiet.example.org", nil))
}

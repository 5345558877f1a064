package gossip

import (
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/endpoint"
)

// byName is a cluster in which the last node is reached by a name, which has its address. What is pushed beside the name is an
// address that nobody has.
func byName(t *testing.T, s *sim, n int) *cluster {
	const name = "edge.example"
	c := &cluster{t: t, sim: s}
	var peers []Peer
	for i := range n {
		c.all = append(c.all, &member{id: string(rune('a' + i)), host: s.host(i)})
		peers = append(peers, Peer{c.all[i].id, endpoint.At(c.all[i].host.addr)})
	}
	last := c.all[n-1].host
	s.names = map[string]netip.Addr{name: last.addr.Addr()}
	peers[n-1].Endpoint = endpoint.Endpoint{Host: name, Addr: netip.MustParseAddrPort("10.9.9.9:7946")}
	for i, m := range c.all {
		m.cfg = Config{Self: m.id, Endpoint: peers[i].Endpoint, Keys: []Key{key('a')}}
		m.cfg.Peers = append(append(m.cfg.Peers, peers[:i]...), peers[i+1:]...)
		m.start(t)
	}
	return c
}

// A node that is known by a name is called at what the name has, whatever was pushed with it. When it moves it is missed
// until the name has followed, and is the same member then; so it is if it moves before the name, or behind it.
func TestNodeByName(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		s := newSim(1)
		c := byName(t, s, 4)
		defer c.stop()
		last := c.all[3]
		alive := func(what string) {
			t.Helper()
			until(t, 3*time.Minute, what, func() bool { return c.every(Alive, 3, but()) && last.View().Node("a").State == Alive })
		}
		alive("alive by its name")
		restarts := func() (n float64) {
			for _, m := range c.all {
				n += testutil.ToFloat64(m.m.restarts)
			}
			return n
		}
		starts := restarts()

		moved := netip.MustParseAddr("10.0.1.1")
		s.move(last.host, moved)
		until(t, time.Minute, "missed while its name is behind", func() bool { return c.every(Dead, 3, but()) })
		s.set(func() { s.names["edge.example"] = moved })
		alive("alive at its name's new address")

		again := netip.MustParseAddr("10.0.1.2")
		s.set(func() { s.names["edge.example"] = again })
		time.Sleep(2 * time.Minute)
		s.move(last.host, again)
		alive("alive where its name was before it")

		s.set(func() { s.names = nil }) // no name server: what was known stays
		time.Sleep(10 * time.Minute)
		alive("alive without name servers")
		if n := restarts(); n != starts {
			t.Errorf("gossip was started %v times more", n-starts)
		}
	})
}

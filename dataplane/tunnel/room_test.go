package tunnel

import (
	"net/netip"
	"testing"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// Readers have all of the room that a device and a bind have, when they begin and when they begin anew; peers begin with
// room for one packet, and get what they need.
func TestRoom(t *testing.T) {
	node, connector := pair(t)
	for _, e := range []*end{node, connector} {
		if n := e.wg.BatchSize(); n != 1 {
			t.Errorf("%s: peers begin with room for %d", e.id, n)
		}
	}
	var during int
	if err := node.bind.room.readers(func() error { during = node.wg.BatchSize(); return nil }); err != nil || during != conn.IdealBatchSize {
		t.Errorf("readers have room for %d, %v", during, err)
	}
	echo(t, connector, fabric.ConnectorPort)
	c, err := node.Dial(t.Context(), "connector", netip.AddrPortFrom(connector.addr, fabric.ConnectorPort))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	exchange(t, c, 4<<20)
	if err := connector.rebind(); err != nil {
		t.Fatal(err)
	}
	exchange(t, c, 4<<20)
}

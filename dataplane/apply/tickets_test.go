package apply

import (
	"strings"
	"testing"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
)

// Keys of tickets reach both who end TLS, in order, from disk as well; a bad one is named and costs nothing else.
func TestTicketKeys(t *testing.T) {
	dir := t.TempDir()
	n, m := newNode(t, dir)
	config := func(keys ...[]byte) *nodev1.NodeConfig {
		c := nodeConfigMsg()
		c.TicketKeys = keys
		return c
	}
	check := func(when string, m *machine, want ...byte) {
		t.Helper()
		for _, keys := range m.tickets {
			if len(keys) != len(want) {
				t.Errorf("%s: %d keys, want %d", when, len(keys), len(want))
				continue
			}
			for i, k := range keys {
				if k[0] != want[i] || k[31] != want[i] {
					t.Errorf("%s: key %d is another", when, i)
				}
			}
		}
	}
	must(t, n, tx(5, res(t, "nodeconfig/"+me, config(keyOf(1), keyOf(2)))))
	check("applied", m, 1, 2)
	rejected, err := n.Transaction(t.Context(), tx(6, res(t, "nodeconfig/"+me, config(keyOf(3), []byte("short")))))
	if err != nil || len(rejected) != 1 || !strings.HasPrefix(rejected[0].GetReason(), "ticket_keys[1]: 5 bytes") {
		t.Errorf("%v, %v", rejected, err)
	}
	check("a bad key", m, 1, 2)
	again, m2 := newNode(t, dir)
	if _, err := again.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("restarted", m2, 1, 2)
}

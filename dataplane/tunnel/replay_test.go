package tunnel

import (
	"encoding/binary"
	"reflect"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tai64n"

	"github.com/warrenedge/warren/dataplane/liveness"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// heardLater makes a node have heard a connector whose clock was ahead.
func heardLater(t *testing.T, node, connector *end, by time.Duration) {
	t.Helper()
	peer := node.wg.LookupPeer(device.NoisePublicKey(connector.opts.Key.Public()))
	if peer == nil {
		t.Fatal("no such peer")
	}
	handshake := reflect.ValueOf(peer).Elem().FieldByName("handshake")
	field, lock := handshake.FieldByName("lastTimestamp"), handshake.FieldByName("mutex")
	if field.Type() != reflect.TypeFor[tai64n.Timestamp]() || lock.Type() != reflect.TypeFor[sync.RWMutex]() {
		t.Fatalf("WireGuard keeps the last clock elsewhere: %v", handshake)
	}
	later := tai64n.Now()
	binary.BigEndian.PutUint64(later[:], binary.BigEndian.Uint64(later[:])+uint64(by/time.Second))
	mu := (*sync.RWMutex)(unsafe.Pointer(lock.UnsafeAddr()))
	mu.Lock()
	defer mu.Unlock()
	*(*tai64n.Timestamp)(unsafe.Pointer(field.UnsafeAddr())) = later
}

// A connector starts again with an earlier clock. Its handshakes are refused until it says so by another way.
func TestConnectorWhoseClockWentBack(t *testing.T) {
	node := start(t, "node", us, options(t, NodeRole))
	o := options(t, ConnectorRole)
	connector := start(t, "connector", theirConn, o)
	node.apply(t, connector.seenBy(node))
	heardLater(t, node, connector, time.Hour)
	if renewed, err := node.Renew("connector"); renewed || err != nil {
		t.Fatalf("without a refusal: %v, %v", renewed, err)
	}
	connector.apply(t, node.seenBy(connector))

	eventually(t, "it is stuck", func() bool { return connector.Stuck("node") })
	if node.Tunnel.Up("connector") {
		t.Fatal("a handshake of an earlier clock was taken")
	}
	for _, other := range []string{"nobody", "node"} {
		if renewed, err := node.Renew(other); renewed || err != nil {
			t.Errorf("%s: %v, %v", other, renewed, err)
		}
	}
	eventually(t, "the node forgets the later clock", func() bool {
		renewed, err := node.Renew("connector")
		if err != nil {
			t.Fatal(err)
		}
		return renewed
	})
	eventually(t, "a session", func() bool { return node.Tunnel.Up("connector") && connector.Tunnel.Up("node") })
	eventually(t, "it is stuck no more", func() bool { return !connector.Stuck("node") })
}

// Who may call twice in thirty seconds would end each session that begins.
func TestNewBeginningsAreFew(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		var r refusals
		peer, other := new(device.Peer), new(device.Peer)
		refuse := func(p *device.Peer) { r.note(refusedSays, []any{p, tai64n.Now()}, time.Now()) }
		take := func(want bool, when string) {
			t.Helper()
			if got := r.take("connector", peer, time.Now()); got != want {
				t.Errorf("%s: %v", when, got)
			}
		}
		take(false, "at the start")
		r.note("%v - Received handshake initiation", []any{peer}, time.Now())
		r.note(refusedSays, nil, time.Now())
		r.note(refusedSays, []any{"peer"}, time.Now())
		refuse(other)
		take(false, "another one was refused")
		refuse(peer)
		time.Sleep(refusedFor + 1)
		take(false, "refused long ago")
		refuse(peer)
		take(true, "refused")
		take(false, "once is enough")
		refuse(peer)
		take(false, "again at once")
		time.Sleep(renewLeast)
		refuse(peer)
		take(true, "again, later")
		time.Sleep(time.Hour)
		refuse(peer)
		if take(true, "much later"); len(r.at) != 0 || len(r.renewed) != 1 {
			t.Errorf("remembered: %v, %v", r.at, r.renewed)
		}
	})
}

func TestStuck(t *testing.T) {
	h := &healer{paths: map[string]*liveness.Recovery{"node": {}}, wake: make(chan struct{}, 1)}
	now := time.Now()
	is := func(when string, at time.Duration, want bool) {
		t.Helper()
		if got := h.stuck("node", now.Add(at)); got != want {
			t.Errorf("%s: %v", when, got)
		}
	}
	is("nothing is known", time.Hour, false)
	h.paths["node"].Observe(liveness.Down, now)
	is("just down", stuckAfter-1, false)
	is("down for a while", stuckAfter, true)
	h.paths["node"].Observe(liveness.Up, now)
	is("up", time.Hour, false)
	if h.stuck("nobody", now) {
		t.Error("who is no peer")
	}
}

package fabric

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warrenedge/warren/shared/bubbletest"
)

// slow is a carrier that takes its time for each stream.
type slow struct {
	after time.Duration
	dials *atomic.Int32
	holding
}

func (s slow) Dial(ctx context.Context, peer string, addr netip.AddrPort) (net.Conn, error) {
	s.dials.Add(1)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(s.after):
		return s.holding.Dial(ctx, peer, addr)
	}
}

// Where everything is slow few dials ask all ways at once; where one way is, all go another as soon as somebody has found it.
func TestHedgesAreBounded(t *testing.T) {
	const dials = 200
	for _, tt := range []struct {
		name       string
		stream, wg time.Duration // until they answer
		attempts   int           // at most, of all dials
		within     time.Duration // all are done
	}{
		{"a busy machine", 990 * time.Millisecond, 990 * time.Millisecond, dials + dials/hedgesShare, 990 * time.Millisecond},
		{"a peer that has died by one carrier", time.Hour, 5 * time.Millisecond, 2 * dials, stagger + hedgeAgain + 10*time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				var attempts atomic.Int32
				f := New(Carriers{Stream: slow{after: tt.stream, dials: &attempts}, WireGuard: slow{after: tt.wg, dials: &attempts}}, newFabric(never{}).log, newRegistry())
				f.Apply(Config{Self: "n1", Nodes: []Node{{ID: "n1"}}, Sites: []Site{{ID: "s", Connectors: []Connector{{ID: "c1"}}, Nodes: []string{"n1"}}}})
				began := time.Now()
				var all sync.WaitGroup
				for range dials {
					all.Go(func() {
						conn, err := f.DialTarget(t.Context(), request)
						if err != nil {
							t.Error(err)
							return
						}
						_ = conn.Close()
					})
				}
				all.Wait()
				if took := time.Since(began); int(attempts.Load()) > tt.attempts || took > tt.within {
					t.Errorf("%d attempts of %d dials in %v, want at most %d in %v", attempts.Load(), dials, took, tt.attempts, tt.within)
				}
				if f.hedges.all != (inProgress{}) || len(f.hedges.by) != 0 {
					t.Errorf("still counted: %+v, %v", f.hedges.all, f.hedges.by)
				}
			})
		})
	}
}

// A site has a fifth of its dials, all have a fifth of theirs; what is known to be worth it needs no room.
func TestHedgesHaveRoom(t *testing.T) {
	var h hedges
	begin := func(site string, dials int) (got int) {
		for range dials {
			h.dial(site)
		}
		for h.begin(site, false) {
			got++
		}
		return got
	}
	if a, b, c, d := begin("a", 100), begin("b", 1), begin("c", 100), begin("d", 10); a != 20 || b != hedgesSite || c != 12 || d != 2 {
		t.Errorf("%d, %d, %d and %d hedges", a, b, c, d)
	}
	if !h.begin("d", true) || h.begin("d", false) {
		t.Error("one that is worth it, and one more")
	}
	h.end("a")
	h.end("a")
	if !h.begin("d", false) || h.begin("d", false) {
		t.Error("room that another site has left")
	}
}

// A dial alone asks all ways, as slow as they are.
func TestOneDialHedges(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		r := newRunner(map[string]behaviour{"a": {after: time.Hour}, "b": {after: time.Hour}, "c": {after: time.Hour}, "d": {after: time.Millisecond}})
		conn, _, err := newFabric(never{}).race(t.Context(), "s", peers("a", "b", "c", "d"), r.try)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got := time.Since(r.began); got != 3*stagger+time.Millisecond {
			t.Errorf("connected after %v", got)
		}
	})
}

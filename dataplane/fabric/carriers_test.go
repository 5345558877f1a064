package fabric

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/liveness"
	"github.com/warrenedge/warren/shared/bubbletest"
)

func TestChoice(t *testing.T) {
	measured := func(ms int, loss float64) path {
		return path{exists: true, up: true, quality: liveness.Quality{RTT: time.Duration(ms) * time.Millisecond, Loss: loss}}
	}
	down := path{exists: true}
	type step struct {
		after time.Duration
		paths paths
		want  string
	}
	good := paths{stream: measured(40, 0), wireguard: measured(40, 0)}
	bad := paths{stream: measured(110, 0), wireguard: measured(40, 0)}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"streams", []step{{0, good, CarrierStream}}},
		{"no stream carrier", []step{{0, paths{pinned: CarrierStream, wireguard: measured(40, 0)}, CarrierWireGuard}}},
		{"TUN at both ends", []step{{0, paths{bothTUN: true, stream: measured(40, 0), wireguard: measured(40, 0)}, CarrierWireGuard}}},
		{"TUN is told later", []step{{0, good, CarrierStream}, {time.Second, paths{bothTUN: true, stream: measured(40, 0), wireguard: measured(40, 0)}, CarrierWireGuard}}},
		{"pinned, whatever is measured", []step{
			{0, paths{pinned: CarrierWireGuard, stream: measured(1, 0), wireguard: measured(900, .5)}, CarrierWireGuard},
			{time.Hour, paths{pinned: CarrierWireGuard, stream: measured(1, 0), wireguard: measured(900, .5)}, CarrierWireGuard},
			{0, good, CarrierStream}}},
		{"down is no reason: the other stands in", []step{{0, paths{stream: down, wireguard: measured(40, 0)}, CarrierStream}, {time.Hour, paths{stream: down, wireguard: measured(40, 0)}, CarrierStream}}},
		{"much worse for a while", []step{{0, bad, CarrierStream}, {0, bad, CarrierStream}, {yieldAfter - 1, bad, CarrierStream}, {1, bad, CarrierWireGuard}, {time.Hour, bad, CarrierWireGuard}}},
		{"much worse with a break", []step{{0, bad, CarrierStream}, {0, bad, CarrierStream}, {yieldAfter - 1, good, CarrierStream}, {1, bad, CarrierStream}, {yieldAfter - 1, bad, CarrierStream}, {1, bad, CarrierWireGuard}}},
		{"twice as slow, but fast", []step{{0, good, CarrierStream}, {0, paths{stream: measured(20, 0), wireguard: measured(1, 0)}, CarrierStream}, {time.Hour, paths{stream: measured(20, 0), wireguard: measured(1, 0)}, CarrierStream}}},
		{"loss counts", []step{{0, good, CarrierStream}, {0, paths{stream: measured(40, .10), wireguard: measured(40, 0)}, CarrierStream}, {yieldAfter, paths{stream: measured(40, .10), wireguard: measured(40, 0)}, CarrierWireGuard}}},
		{"back after hardly worse for a longer while", []step{{0, bad, CarrierStream}, {0, bad, CarrierStream}, {yieldAfter, bad, CarrierWireGuard},
			{time.Second, good, CarrierWireGuard}, {returnAfter - 1, good, CarrierWireGuard}, {1, good, CarrierStream}}},
		{"not back while still worse", []step{{0, bad, CarrierStream}, {0, bad, CarrierStream}, {yieldAfter, bad, CarrierWireGuard},
			{time.Second, paths{stream: measured(60, 0), wireguard: measured(40, 0)}, CarrierWireGuard}, {time.Hour, paths{stream: measured(60, 0), wireguard: measured(40, 0)}, CarrierWireGuard}}},
		{"not measured", []step{{0, paths{stream: path{exists: true, up: true}, wireguard: measured(1, 0)}, CarrierStream}, {time.Hour, paths{stream: path{exists: true, up: true}, wireguard: measured(1, 0)}, CarrierStream}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c choice
			now := time.Unix(1e9, 0)
			for i, s := range tt.steps {
				now = now.Add(s.after)
				if c = c.next(s.paths, now); c.carrier != s.want {
					t.Fatalf("step %d: %s, want %s", i, c.carrier, s.want)
				}
			}
		})
	}
}

// standby is a carrier that is up or not, and connects or not.
type standby struct {
	up, silent bool
	dials      int
	dead       int // prepared connections that are dead
}

func (s *standby) Up(string) bool { return s.up }

func (s *standby) Dial(ctx context.Context, _ string, _ netip.AddrPort) (net.Conn, error) {
	s.dials++
	near, far := net.Pipe()
	if s.dead > 0 {
		s.dead--
		_ = far.Close()
		return prepared{near}, nil
	}
	go func() {
		defer far.Close()
		if _, err := ReadHeader(far); err != nil || s.silent {
			<-ctx.Done()
			return
		}
		_ = WriteStatus(far, StatusConnected)
	}()
	return prepared{near}, nil
}

type prepared struct{ net.Conn }

func (prepared) Prepared() bool { return true }

func site(carrier string) Config {
	return Config{Self: "n1", Sites: []Site{{ID: "s", Carrier: carrier, Connectors: []Connector{{ID: "c1"}}}}}
}

// Each carrier stands in for the other: at once when that is known to be down, else after the stagger.
func TestCarriersStandIn(t *testing.T) {
	for _, pinned := range []string{"", CarrierStream, CarrierWireGuard} {
		for _, tt := range []struct {
			name          string
			first, second standby
			within        time.Duration
			carrier       string // of the two
		}{
			{"both are well", standby{up: true}, standby{up: true}, 0, "first"},
			{"one is down", standby{}, standby{up: true}, 0, "second"},
			{"one is silent", standby{up: true, silent: true}, standby{up: true}, stagger, "first"},
			{"dead connections", standby{up: true, dead: triesMost - 1}, standby{up: true}, 0, "first"},
			{"nothing but dead connections", standby{up: true, dead: 99}, standby{up: true}, 0, "first"},
		} {
			t.Run(pinned+" "+tt.name, func(t *testing.T) {
				bubbletest.Run(t, func(t *testing.T) {
					first, second := tt.first, tt.second
					c, names := Carriers{Stream: &first, WireGuard: &second}, map[string]string{"first": CarrierStream, "second": CarrierWireGuard}
					if pinned == CarrierWireGuard {
						c, names = Carriers{Stream: &second, WireGuard: &first}, map[string]string{"first": CarrierWireGuard, "second": CarrierStream}
					}
					f := New(c, newFabric(never{}).log, newRegistry())
					f.Apply(site(pinned))
					start := time.Now()
					conn, err := f.DialTarget(t.Context(), request)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					if took := time.Since(start); took != tt.within {
						t.Errorf("took %v, want %v", took, tt.within)
					}
					if got := f.CarrierOf("c1"); got != names[tt.carrier] {
						t.Errorf("carrier %q, want %q", got, names[tt.carrier])
					}
					if tt.first.dead > triesMost && first.dials != triesMost {
						t.Errorf("%d dead connections were tried, want %d", first.dials, triesMost)
					}
				})
			})
		}
	}
}

func TestCarrierOf(t *testing.T) {
	f := New(Carriers{Stream: &standby{}, WireGuard: &standby{}}, newFabric(never{}).log, newRegistry())
	f.Apply(site(""))
	if got := f.CarrierOf("c1") + f.CarrierOf("c2"); got != "" {
		t.Errorf("carrier %q of connectors that are away or unknown", got)
	}
	f.Apply(Config{})
	if len(f.choices.of) != 0 {
		t.Errorf("choices are kept for %d connectors that are gone", len(f.choices.of))
	}
	if _, err := f.DialTarget(t.Context(), request); !errors.As(err, new(*DialError)) {
		t.Errorf("error %v", err)
	}
}

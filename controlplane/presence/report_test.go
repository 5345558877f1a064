package presence

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/shared/identity"
)

func TestMeasuresOfTunnels(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		said *nodev1.TunnelState
		want Tunnel
	}{
		"nothing":             {&nodev1.TunnelState{}, Tunnel{}},
		"all":                 {&nodev1.TunnelState{RoundTrip: durationpb.New(12 * time.Millisecond), Loss: 0.25, Carrier: "stream", Transport: "tls"}, Tunnel{RoundTrip: 12 * time.Millisecond, Loss: 0.25, Carrier: "stream", Transport: "tls"}},
		"a loss that is none": {&nodev1.TunnelState{Loss: math.NaN()}, Tunnel{}},
		"too much":            {&nodev1.TunnelState{Loss: math.Inf(1)}, Tunnel{Loss: 1}},
		"too little":          {&nodev1.TunnelState{Loss: -1, RoundTrip: durationpb.New(-1)}, Tunnel{}},
		"unknown words":       {&nodev1.TunnelState{Carrier: "pigeon", Transport: "smoke"}, Tunnel{}},
	} {
		e := entry(Key{identity.Node, "node_1"}, now, now, &nodev1.ReportRequest{Tunnels: []*nodev1.TunnelState{c.said}})
		if e.Tunnels[0] != c.want {
			t.Errorf("%s: %+v, want %+v", name, e.Tunnels[0], c.want)
		}
		if _, err := json.Marshal(e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsTold(t *testing.T) {
	was := Entry{Tunnels: []Tunnel{{Peer: "a", Up: true, RoundTrip: 1, Carrier: "stream", Transport: "udp"}}}
	for name, c := range map[string]struct {
		change func(*Tunnel)
		want   bool
	}{
		"round trip": {func(t *Tunnel) { t.RoundTrip = 2 }, false},
		"loss":       {func(t *Tunnel) { t.Loss = 1 }, false},
		"carrier":    {func(t *Tunnel) { t.Carrier = "wireguard" }, true},
		"transport":  {func(t *Tunnel) { t.Transport = "tls" }, true},
		"up":         {func(t *Tunnel) { t.Up = false }, true},
	} {
		is := Entry{Tunnels: []Tunnel{was.Tunnels[0]}}
		c.change(&is.Tunnels[0])
		if got := material(was, is); got != c.want {
			t.Errorf("%s: told at once: %v", name, got)
		}
	}
}

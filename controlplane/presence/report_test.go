package presence

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

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

func TestLoadOfANode(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		kind identity.Kind
		said *nodev1.Load
		want *Load
	}{
		"nothing":     {identity.Node, nil, nil},
		"idle":        {identity.Node, &nodev1.Load{}, &Load{}},
		"busy":        {identity.Node, &nodev1.Load{Processors: .25, Connections: 7}, &Load{.25, 7}},
		"no number":   {identity.Node, &nodev1.Load{Processors: math.NaN()}, &Load{}},
		"too much":    {identity.Node, &nodev1.Load{Processors: math.Inf(1), Connections: math.MaxUint32}, &Load{1, math.MaxInt32}},
		"a connector": {identity.Connector, &nodev1.Load{Processors: .25}, nil},
	} {
		e := entry(Key{c.kind, "x"}, now, now, &nodev1.ReportRequest{Load: c.said})
		if (e.Load == nil) != (c.want == nil) || e.Load != nil && *e.Load != *c.want {
			t.Errorf("%s: %+v, want %+v", name, e.Load, c.want)
		}
		if _, err := json.Marshal(e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if was := (Entry{Load: &Load{Processors: .9}}); material(was, Entry{Load: e.Load}) {
			t.Errorf("%s: told at once", name)
		}
	}
}

func TestPlacesOfANode(t *testing.T) {
	now, built := time.Now(), time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	file := func(at *timestamppb.Timestamp) *nodev1.PlacesFile {
		return &nodev1.PlacesFile{Path: "/c.mmdb", Kind: "Country", BuiltAt: at, Countries: true, Problem: "torn\xff"}
	}
	for name, c := range map[string]struct {
		kind identity.Kind
		said *nodev1.PlacesFile
		want time.Time
		none bool
	}{
		"a file":                 {identity.Node, file(timestamppb.New(built)), built, false},
		"none in use":            {identity.Node, file(nil), time.Time{}, false},
		"a time that is none":    {identity.Node, file(&timestamppb.Timestamp{Seconds: math.MaxInt64}), time.Time{}, false},
		"a connector has no say": {identity.Connector, file(nil), time.Time{}, true},
	} {
		e := entry(Key{c.kind, "x"}, now, now, &nodev1.ReportRequest{Places: []*nodev1.PlacesFile{c.said}})
		if _, err := json.Marshal(e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.none {
			if len(e.Places) > 0 {
				t.Errorf("%s: %+v", name, e.Places)
			}
			continue
		}
		if want := (PlacesFile{Path: "/c.mmdb", Kind: "Country", Built: c.want, Countries: true, Problem: "torn\uFFFD"}); e.Places[0] != want {
			t.Errorf("%s: %+v, want %+v", name, e.Places[0], want)
		}
	}
	many := make([]*nodev1.PlacesFile, 100)
	for i := range many {
		many[i] = &nodev1.PlacesFile{}
	}
	if e := entry(Key{identity.Node, "x"}, now, now, &nodev1.ReportRequest{Places: many}); len(e.Places) != maxPlaces {
		t.Errorf("%d of many", len(e.Places))
	}
}

func TestPortsOfAConnector(t *testing.T) {
	now := time.Now()
	said := []uint32{8080, 0, 22, 70000, 22, math.MaxUint32}
	if e := entry(Key{identity.Connector, "x"}, now, now, &nodev1.ReportRequest{Listening: said}); !slices.Equal(e.Listening, []uint16{22, 8080}) {
		t.Errorf("%v", e.Listening)
	}
	if e := entry(Key{identity.Node, "x"}, now, now, &nodev1.ReportRequest{Listening: said}); e.Listening != nil {
		t.Errorf("of a node: %v", e.Listening)
	}
	many := make([]uint32, 1000)
	for i := range many {
		many[i] = uint32(i + 1)
	}
	if e := entry(Key{identity.Connector, "x"}, now, now, &nodev1.ReportRequest{Listening: many}); len(e.Listening) != maxListening {
		t.Errorf("%d of many", len(e.Listening))
	}
}

// A connector is a tenant's, and the terminal in which its words are read may be that of who runs the cluster.
func TestWordsAreNoCommandsOfTerminals(t *testing.T) {
	const said, want = "down:\n\tmade\x1b]0;x\a up\u009b2J \u2603\xff", "down:  made\uFFFD]0;x\uFFFD up\uFFFD2J \u2603\uFFFD"
	now := time.Now()
	e := entry(Key{identity.Node, "x"}, now, now, &nodev1.ReportRequest{
		SoftwareVersion: said, Targets: []*nodev1.TargetReport{{TargetId: "target_a", Reason: said}}, Attempts: []*nodev1.AttemptReport{{TargetId: "target_a", Reason: said}},
		Places: []*nodev1.PlacesFile{{Path: said, Kind: said, Problem: said}},
	})
	for _, got := range []string{e.Version, e.Targets[0].Reason, e.Attempts[0].Reason, e.Places[0].Path, e.Places[0].Kind, e.Places[0].Problem} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if e := entry(Key{identity.Connector, "x"}, now, now, &nodev1.ReportRequest{SoftwareVersion: strings.Repeat("v", 100_000)}); len(e.Version) > maxReason {
		t.Errorf("a version of %d bytes", len(e.Version))
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

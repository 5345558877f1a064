package report

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/health"
	"github.com/warrenedge/warren/dataplane/tunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// control takes reports.
type control struct {
	nodev1.UnimplementedReportServiceServer
	reports chan *nodev1.ReportRequest
	cut     chan struct{} // each value ends a stream
}

func (c *control) Report(s grpc.BidiStreamingServer[nodev1.ReportRequest, nodev1.ReportResponse]) error {
	in := make(chan error, 1)
	go func() {
		for {
			r, err := s.Recv()
			if err != nil {
				in <- err
				return
			}
			select {
			case c.reports <- r:
			case <-s.Context().Done():
			}
		}
	}()
	select {
	case err := <-in:
		return err
	case <-c.cut:
		return nil
	}
}

type oneConn struct{ c *grpc.ClientConn }

func (o oneConn) Conn(context.Context) (*grpc.ClientConn, error) { return o.c, nil }

// source is what a machine has to tell, as a test sets it.
type source struct {
	mu      sync.Mutex
	applied uint64
	tunnels []tunnel.PeerState
	targets []health.State
}

func (s *source) set(f func()) { s.mu.Lock(); defer s.mu.Unlock(); f() }

func start(t *testing.T) (*control, *source) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &control{reports: make(chan *nodev1.ReportRequest), cut: make(chan struct{})}
	srv := grpc.NewServer()
	nodev1.RegisterReportServiceServer(srv, c)
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	src := &source{}
	r := New(oneConn{conn}, Source{
		Applied: func() uint64 { src.mu.Lock(); defer src.mu.Unlock(); return src.applied },
		Tunnels: func() []tunnel.PeerState { src.mu.Lock(); defer src.mu.Unlock(); return src.tunnels },
		Targets: func() []health.State { src.mu.Lock(); defer src.mu.Unlock(); return src.targets },
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; _ = conn.Close(); srv.Stop(); <-served })
	return c, src
}

func (c *control) next(t *testing.T) *nodev1.ReportRequest {
	t.Helper()
	select {
	case r := <-c.reports:
		return r
	case <-time.After(30 * time.Second):
		t.Fatal("no report")
		return nil
	}
}

func TestReports(t *testing.T) {
	c, src := start(t)
	first := c.next(t) // at once
	if first.GetAppliedRevision() != 0 || first.GetStartedAt() == nil || first.GetInstance() == "" || len(first.GetInstance()) > 64 {
		t.Errorf("%v", first)
	}
	if other, _ := start(t); other.next(t).GetInstance() == first.GetInstance() {
		t.Error("two processes are the same instance")
	}
	src.set(func() {
		src.applied = 7
		src.tunnels = []tunnel.PeerState{{ID: "node_a", Up: true, LastHandshake: time.Now().Add(-time.Second), RxBytes: 5, RoundTrip: 30 * time.Millisecond, Loss: .25, Transport: tunnel.TransportTLS}, {ID: "node_b"}, {ID: "site_c", Kind: tunnel.Stock}}
	})
	r := c.next(t)
	for r.GetAppliedRevision() != 7 { // one may have been under way
		r = c.next(t)
	}
	ts := r.GetTunnels()
	if len(ts) != 2 || !ts[0].GetUp() || ts[0].GetReceivedBytes() != 5 || ts[0].GetLastHandshakeAge().AsDuration() < time.Second || ts[1].GetLastHandshakeAge() != nil {
		t.Errorf("%v", ts)
	}
	if ts[0].GetRoundTrip().AsDuration() != 30*time.Millisecond || ts[0].GetLoss() != .25 || ts[0].GetTransport() != "tls" || ts[1].GetRoundTrip() != nil {
		t.Errorf("%v", ts)
	}
	src.set(func() {
		src.targets = []health.State{{Target: "target_a", Reason: strings.Repeat("x", 255) + "é"}, {Target: "target_b", Healthy: true}}
	})
	for r = c.next(t); len(r.GetTargets()) == 0; {
		r = c.next(t)
	}
	ta := r.GetTargets()
	if len(ta) != 2 || ta[0].GetTargetId() != "target_a" || ta[0].GetState() != nodev1.TargetState_TARGET_STATE_UNHEALTHY || ta[0].GetReason() != strings.Repeat("x", 255)+"\uFFFD" ||
		ta[1].GetState() != nodev1.TargetState_TARGET_STATE_HEALTHY {
		t.Errorf("%v", ta)
	}
	if r = c.next(t); r.GetInstance() != first.GetInstance() { // without a change, after a while
		t.Error("one process is two instances")
	}

	c.cut <- struct{}{}
	if r := c.next(t); r.GetAppliedRevision() != 7 { // on a new stream, at once
		t.Errorf("%v", r)
	}
}

// Many tunnels are looked at seldom, and more seldom still while none has changed; few as often as ever.
func TestTunnelsAreLookedAt(t *testing.T) {
	for _, tt := range []struct {
		since   time.Duration
		tunnels int
		changed bool
		want    bool
	}{
		{look, 0, false, true},
		{look, 100, false, true},
		{look, 100, true, true},
		{look / 4, 100, true, false},
		{time.Second, 400, true, true},
		{time.Second, 400, false, false},
		{calmer * time.Second, 400, false, true},
		{lookMost, 2000, true, true},
		{lookMost, 2000, false, false},
		{calmer * lookMost, 1 << 20, false, true},
		{-time.Second, 2000, false, true}, // a clock went back
	} {
		if got := due(tt.since, tt.tunnels, tt.changed); got != tt.want {
			t.Errorf("%+v: %t", tt, got)
		}
	}
}

func TestManyTunnelsAreLookedAtSeldom(t *testing.T) {
	for n, want := range map[int]time.Duration{0: look, 1: look, 100: look, 400: time.Second, 2000: lookMost, 1 << 20: lookMost} {
		if got := spacing(n); got != want {
			t.Errorf("%d tunnels: %v, want %v", n, got, want)
		}
	}
}

func TestWhatIsWorthTellingAtOnce(t *testing.T) {
	base := func() *nodev1.ReportRequest {
		return &nodev1.ReportRequest{
			AppliedRevision: 1, Tunnels: []*nodev1.TunnelState{{PeerId: "a", Up: true, ReceivedBytes: 1}},
			Targets: []*nodev1.TargetReport{{TargetId: "t", State: nodev1.TargetState_TARGET_STATE_HEALTHY}},
		}
	}
	for name, tc := range map[string]struct {
		change func(*nodev1.ReportRequest)
		want   bool
	}{
		"nothing":   {func(*nodev1.ReportRequest) {}, false},
		"bytes":     {func(r *nodev1.ReportRequest) { r.Tunnels[0].ReceivedBytes = 9 }, false},
		"revision":  {func(r *nodev1.ReportRequest) { r.AppliedRevision = 2 }, true},
		"quality":   {func(r *nodev1.ReportRequest) { r.Tunnels[0].Loss = .5; r.Tunnels[0].RoundTrip = durationpb.New(1) }, false},
		"transport": {func(r *nodev1.ReportRequest) { r.Tunnels[0].Transport = "tls" }, true},
		"down":      {func(r *nodev1.ReportRequest) { r.Tunnels[0].Up = false }, true},
		"peer":      {func(r *nodev1.ReportRequest) { r.Tunnels = nil }, true},
		"target":    {func(r *nodev1.ReportRequest) { r.Targets[0].State = nodev1.TargetState_TARGET_STATE_UNHEALTHY }, true},
		"reason":    {func(r *nodev1.ReportRequest) { r.Targets[0].Reason = "slow" }, false},
		"targets":   {func(r *nodev1.ReportRequest) { r.Targets = nil }, true},
	} {
		b := base()
		tc.change(b)
		if got := differs(base(), b); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Package report tells the control plane what is true now: the applied revision, the state of tunnels and of targets.
package report

import (
	"context"
	"crypto/rand"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/health"
	"github.com/warrenedge/warren/dataplane/tunnel"
	"github.com/warrenedge/warren/shared/backoff"
	"github.com/warrenedge/warren/shared/version"
)

// Every is how often a report is sent although nothing changed; look is how often it is looked for changes. Of many
// tunnels neither is done as often: WireGuard is asked for all of them at once, which takes a processor some
// microseconds for each. While none says that it has changed, what is left to see is what they have carried.
const (
	Every     = 2 * time.Second
	look      = 250 * time.Millisecond
	eachTakes = 2500 * time.Microsecond // of the time between two looks, for each tunnel
	lookMost  = 5 * time.Second
	calmer    = 6 // times as long, while none has changed
)

// spacing is the time between two looks at so many tunnels.
func spacing(tunnels int) time.Duration {
	return min(max(look, time.Duration(tunnels)*eachTakes), lookMost)
}

// due reports whether so many tunnels are to be looked at again, so long after the last time.
func due(since time.Duration, tunnels int, changed bool) bool {
	wait := spacing(tunnels)
	if wait > look && !changed { // few take nothing
		wait *= calmer
	}
	return since >= wait-look/2 || since < 0 // ticks are not exact
}

// Source is what there is to tell.
type Source struct {
	Applied func() uint64             // revision
	Tunnels func() []tunnel.PeerState // ordered by id
	Changes func() uint64             // how often a tunnel, or what else leads to its peer, has come or gone so far; nil: nobody counts
	Carrier func(peer string) string  // over what TCP goes to a peer now; may be nil
	Targets func() []health.State     // of those with a verdict, ordered by target
	Failing func() []balance.Attempt  // targets that traffic does not reach, ordered by target; may be nil
	Load    func() Load               // since the last call; may be nil
	Places  func() []PlacesFile       // databases of addresses, in their order; may be nil
	Ports   func() []uint16           // on which the machine listens, ascending; may be nil
}

// Load is how much there is to do.
type Load struct {
	Processors  float64 // share of the machine's that the program used, 0 to 1
	Connections int     // of clients, open
}

// PlacesFile is a database that says where addresses are, as package places has it, which connectors do without.
type PlacesFile struct {
	Path, Kind          string
	Built               time.Time // of the version in use; zero: there is none
	Countries, Networks bool      // are looked up in it
	Problem             string    // why the version that was tried last is not in use
}

// maxReason bounds what a failure may say, in bytes; maxFailing how many targets are named that traffic does not reach;
// maxPlaces how many databases of addresses.
const (
	maxReason  = 256
	maxFailing = 1000
	maxPlaces  = 16
)

// Connector gives connections to the control plane.
type Connector interface {
	Conn(ctx context.Context) (*grpc.ClientConn, error)
}

// Reporter keeps a report stream open. Reports that can't be sent are dropped: the next one says it all.
type Reporter struct {
	conns    Connector
	src      Source
	started  time.Time
	instance string // so that two processes with the same identity are told apart
	log      *slog.Logger
	sent     prometheus.Counter
	looks    uint64 // of run alone
}

// New makes a Reporter; Run does the work.
func New(conns Connector, src Source, log *slog.Logger, reg prometheus.Registerer) *Reporter {
	r := &Reporter{
		conns: conns, src: src, started: time.Now(), instance: rand.Text(), log: log,
		sent: prometheus.NewCounter(prometheus.CounterOpts{Name: "node_reports_total", Help: "Reports sent to the control plane."}),
	}
	reg.MustRegister(r.sent)
	return r
}

// String names the task.
func (r *Reporter) String() string { return "report" }

// Run reports until ctx ends.
func (r *Reporter) Run(ctx context.Context) error {
	wait := backoff.Backoff{Max: 5 * time.Second}
	for ctx.Err() == nil {
		err := r.stream(ctx, wait.Reset)
		if ctx.Err() != nil {
			break
		}
		r.log.Debug("report stream ended", "err", err)
		if !wait.Wait(ctx) {
			break
		}
	}
	return nil
}

// stream reports on one stream until it ends.
func (r *Reporter) stream(ctx context.Context, sent func()) error {
	conn, err := r.conns.Conn(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := nodev1.NewReportServiceClient(conn).Report(ctx)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { // ends with ctx
		for {
			if _, err := s.Recv(); err != nil {
				ended <- err
				return
			}
		}
	}()
	var last *nodev1.ReportRequest
	var at, looked time.Time
	var tunnels []*nodev1.TunnelState
	var seen uint64 // of the changes
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		now := time.Now()
		next, apart := r.collect(), spacing(len(tunnels))
		changes := r.changes()
		if due(now.Sub(looked), len(tunnels), changes != seen) || next.GetAppliedRevision() != last.GetAppliedRevision() {
			tunnels, looked, seen = r.tunnels(now), now, changes
		}
		if next.Tunnels = tunnels; last == nil || now.Sub(at) >= max(Every, apart) || differs(last, next) {
			next.Load = r.load()
			if err := s.Send(next); err != nil {
				return <-ended // the reason
			}
			r.sent.Inc()
			sent()
			last, at = next, now
		}
		select {
		case err := <-ended:
			return err
		case <-tick.C:
		}
	}
}

// changes counts those of tunnels; where nobody does, there was one each time.
func (r *Reporter) changes() uint64 {
	if r.src.Changes == nil {
		r.looks++
		return r.looks
	}
	return r.src.Changes()
}

// load is what there was to do since the last report.
func (r *Reporter) load() *nodev1.Load {
	if r.src.Load == nil {
		return nil
	}
	l := r.src.Load()
	return &nodev1.Load{Processors: l.Processors, Connections: uint32(min(max(l.Connections, 0), math.MaxInt32))}
}

// collect makes a report without tunnels and load.
func (r *Reporter) collect() *nodev1.ReportRequest {
	req := &nodev1.ReportRequest{SoftwareVersion: version.Version, StartedAt: timestamppb.New(r.started), AppliedRevision: r.src.Applied(), Instance: r.instance}
	if r.src.Targets != nil {
		for _, t := range r.src.Targets() {
			req.Targets = append(req.Targets, targetReport(t))
		}
	}
	if r.src.Failing != nil {
		failing := r.src.Failing()
		for _, f := range failing[:min(len(failing), maxFailing)] {
			req.Attempts = append(req.Attempts, &nodev1.AttemptReport{
				TargetId: f.Target, Failures: uint32(min(f.Failures, math.MaxInt32)), Age: durationpb.New(time.Since(f.At)), Reason: words(f.Reason), NoWay: f.NoWay,
			})
		}
	}
	if r.src.Places != nil {
		all := r.src.Places()
		for _, p := range all[:min(len(all), maxPlaces)] {
			req.Places = append(req.Places, placesFile(p))
		}
	}
	if r.src.Ports != nil {
		for _, port := range r.src.Ports() {
			req.Listening = append(req.Listening, uint32(port))
		}
	}
	return req
}

func placesFile(p PlacesFile) *nodev1.PlacesFile {
	out := &nodev1.PlacesFile{Path: words(p.Path), Kind: words(p.Kind), Countries: p.Countries, Networks: p.Networks, Problem: words(p.Problem)}
	if !p.Built.IsZero() {
		out.BuiltAt = timestamppb.New(p.Built)
	}
	return out
}

func (r *Reporter) tunnels(now time.Time) (out []*nodev1.TunnelState) {
	for _, p := range r.src.Tunnels() {
		if p.Kind == tunnel.Stock && p.LastHandshake.IsZero() {
			continue // all nodes of a pool hold it, and it calls a few: to the others it has no tunnel
		}
		t := &nodev1.TunnelState{PeerId: p.ID, Up: p.Up, ReceivedBytes: p.RxBytes, SentBytes: p.TxBytes, Loss: p.Loss, Transport: p.Transport}
		if p.RoundTrip > 0 {
			t.RoundTrip = durationpb.New(p.RoundTrip)
		}
		if r.src.Carrier != nil {
			t.Carrier = r.src.Carrier(p.ID)
		}
		if !p.LastHandshake.IsZero() {
			t.LastHandshakeAge = durationpb.New(now.Sub(p.LastHandshake))
		}
		out = append(out, t)
	}
	return out
}

func targetReport(t health.State) *nodev1.TargetReport {
	out := &nodev1.TargetReport{TargetId: t.Target, State: nodev1.TargetState_TARGET_STATE_UNHEALTHY}
	if t.Healthy {
		out.State = nodev1.TargetState_TARGET_STATE_HEALTHY
	}
	out.Reason = words(t.Reason)
	return out
}

// words bounds a reason. It may quote what a target answered, and a report that is not UTF-8 could not be sent.
func words(reason string) string {
	return strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "\uFFFD")
}

// same reports whether two lists are one: that of the last look.
func same[T any](a, b []T) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// differs reports whether a change is worth telling at once.
func differs(a, b *nodev1.ReportRequest) bool {
	return a.GetAppliedRevision() != b.GetAppliedRevision() ||
		!same(a.GetTunnels(), b.GetTunnels()) && !slices.EqualFunc(a.GetTunnels(), b.GetTunnels(), func(x, y *nodev1.TunnelState) bool {
			return x.GetPeerId() == y.GetPeerId() && x.GetUp() == y.GetUp() && x.GetTransport() == y.GetTransport() && x.GetCarrier() == y.GetCarrier()
		}) ||
		!slices.EqualFunc(a.GetTargets(), b.GetTargets(), func(x, y *nodev1.TargetReport) bool {
			return x.GetTargetId() == y.GetTargetId() && x.GetState() == y.GetState()
		}) ||
		!slices.EqualFunc(a.GetAttempts(), b.GetAttempts(), func(x, y *nodev1.AttemptReport) bool {
			return x.GetTargetId() == y.GetTargetId() && x.GetNoWay() == y.GetNoWay()
		})
}

package presence

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/identity"
)

// Bounds of one report.
const (
	maxTunnels = 4096
	// MaxRejected is how many rejections the others are told of.
	MaxRejected  = 100
	maxTargets   = 16384
	maxAttempts  = 1000
	maxPlaces    = 16
	maxListening = 64
	maxReason    = 256 // bytes
	maxInstance  = 64  // bytes
)

// Reports is the ReportService of the push port.
type Reports struct {
	nodev1.UnimplementedReportServiceServer
	store    *Store
	admit    identity.Admit
	rejected func(Key) ([]Rejected, int)
}

// NewReports makes the service that feeds a Store. rejected is what push knows of a subject, MaxRejected at
// most, and how many more there are.
func NewReports(store *Store, admit identity.Admit, rejected func(Key) ([]Rejected, int)) *Reports {
	return &Reports{store: store, admit: admit, rejected: rejected}
}

// Report implements nodev1.ReportServiceServer.
func (r *Reports) Report(stream grpc.BidiStreamingServer[nodev1.ReportRequest, nodev1.ReportResponse]) error {
	id, trusted, err := r.admit(stream.Context())
	if err != nil {
		return err
	}
	k := Key{id.Kind, id.ID}
	since := time.Now()
	first := true
	defer func() {
		if !first {
			// The stream's context is over; what is told to the others must not be.
			r.store.Gone(context.WithoutCancel(stream.Context()), k, since)
		}
	}()

	type message struct {
		req *nodev1.ReportRequest
		err error
	}
	in := make(chan message)
	done := make(chan struct{})
	defer close(done)
	go func() { // ends with the stream: Recv returns once the handler has
		for {
			req, err := stream.Recv()
			select {
			case in <- message{req, err}:
			case <-done:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	silence, quiet := time.NewTimer(Silence), time.NewTimer(QuietAfter)
	defer silence.Stop()
	defer quiet.Stop()
	for {
		var m message
		select {
		case <-trusted.Done():
			return status.Error(codes.PermissionDenied, "no longer trusted")
		case <-silence.C:
			return status.Error(codes.DeadlineExceeded, "no report")
		case <-quiet.C:
			select {
			case m = <-in: // we were held up ourselves
			default:
				r.store.Quiet(trusted, k, since)
				continue
			}
		case m = <-in:
		}
		if errors.Is(m.err, io.EOF) {
			return nil
		}
		if m.err != nil {
			return m.err
		}
		if err := bounded(m.req); err != nil {
			return err
		}
		first = false
		e := entry(k, since, time.Now(), m.req)
		e.Rejected, e.Omitted = r.rejected(k)
		r.store.Report(trusted, e)
		silence.Reset(Silence)
		quiet.Reset(QuietAfter)
	}
}

// bounded refuses a report of what no program of ours says.
func bounded(req *nodev1.ReportRequest) error {
	switch {
	case len(req.GetTunnels()) > maxTunnels:
		return status.Errorf(codes.InvalidArgument, "%d tunnels in a report, %d at most", len(req.GetTunnels()), maxTunnels)
	case len(req.GetTargets()) > maxTargets:
		return status.Errorf(codes.InvalidArgument, "%d targets in a report, %d at most", len(req.GetTargets()), maxTargets)
	case len(req.GetInstance()) > maxInstance:
		return status.Errorf(codes.InvalidArgument, "an instance of %d bytes in a report, %d at most", len(req.GetInstance()), maxInstance)
	}
	return nil
}

func entry(k Key, since, now time.Time, req *nodev1.ReportRequest) Entry {
	e := Entry{Key: k, Since: since, Seen: now, Applied: model.Revision(req.GetAppliedRevision()), Version: words(req.GetSoftwareVersion()), Instance: req.GetInstance()}
	for _, t := range req.GetTunnels() {
		state := Tunnel{Peer: t.GetPeerId(), Up: t.GetUp(), ReceivedBytes: t.GetReceivedBytes(), SentBytes: t.GetSentBytes()}
		if age := t.GetLastHandshakeAge(); age != nil {
			state.LastHandshake = now.Add(-age.AsDuration())
		}
		measure(&state, t)
		e.Tunnels = append(e.Tunnels, state)
	}
	if k.Kind == identity.Connector || k.Kind == identity.Node {
		e.Targets = targets(req.GetTargets())
	}
	if k.Kind == identity.Node {
		e.Attempts, e.Load = attempts(now, req.GetAttempts()), load(req.GetLoad())
		e.Places = places(req.GetPlaces())
	}
	if k.Kind == identity.Connector {
		e.Listening = ports(req.GetListening())
	}
	return e
}

// load takes what can be, as measure does.
func load(l *nodev1.Load) *Load {
	if l == nil {
		return nil
	}
	out := &Load{Connections: int(min(l.GetConnections(), math.MaxInt32))}
	if p := l.GetProcessors(); p > 0 { // NaN is not
		out.Processors = min(p, 1)
	}
	return out
}

// ports takes what are ports, as many as anybody reads.
func ports(said []uint32) (out []uint16) {
	for _, p := range said {
		if p > 0 && p <= math.MaxUint16 && len(out) < maxListening {
			out = append(out, uint16(p))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// places takes the first ones of a report, with times that can be written.
func places(files []*nodev1.PlacesFile) (out []PlacesFile) {
	for _, f := range files[:min(len(files), maxPlaces)] {
		v := PlacesFile{Path: words(f.GetPath()), Kind: words(f.GetKind()), Countries: f.GetCountries(), Networks: f.GetNetworks(), Problem: words(f.GetProblem())}
		if f.GetBuiltAt().IsValid() {
			v.Built = f.GetBuiltAt().AsTime()
		}
		out = append(out, v)
	}
	return out
}

// measure takes what can be: a number that is none would make the whole table unreadable as JSON, and words that
// are not known here are of a newer program.
func measure(to *Tunnel, t *nodev1.TunnelState) {
	to.RoundTrip = max(t.GetRoundTrip().AsDuration(), 0)
	if l := t.GetLoss(); l > 0 { // NaN is not
		to.Loss = min(l, 1)
	}
	switch c := t.GetCarrier(); c {
	case "stream", "wireguard":
		to.Carrier = c
	}
	switch v := t.GetTransport(); v {
	case "udp", "tls":
		to.Transport = v
	}
}

// attempts takes the first ones of a report: who names more has lost sight of more than anybody will read.
func attempts(now time.Time, reports []*nodev1.AttemptReport) (out []Attempt) {
	for _, r := range reports[:min(len(reports), maxAttempts)] {
		out = append(out, Attempt{
			Target: r.GetTargetId(), Failures: int(r.GetFailures()), At: now.Add(-max(r.GetAge().AsDuration(), 0)), Reason: words(r.GetReason()), NoWay: r.GetNoWay(),
		})
	}
	slices.SortStableFunc(out, func(a, b Attempt) int { return strings.Compare(a.Target, b.Target) })
	return slices.CompactFunc(out, func(a, b Attempt) bool { return a.Target == b.Target })
}

// words are text that a terminal can take: what a connector says is shown to who runs the cluster, too.
func words(said string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\t': // between errors that were joined
			return ' '
		case unicode.IsControl(c):
			return '\uFFFD'
		}
		return c
	}, strings.ToValidUTF8(said[:min(len(said), maxReason)], "\uFFFD"))
}

func targets(reports []*nodev1.TargetReport) []Target {
	states := map[nodev1.TargetState]TargetState{
		nodev1.TargetState_TARGET_STATE_HEALTHY:   TargetHealthy,
		nodev1.TargetState_TARGET_STATE_UNHEALTHY: TargetUnhealthy,
	}
	var out []Target
	for _, r := range reports {
		out = append(out, Target{ID: r.GetTargetId(), Health: states[r.GetState()], Reason: words(r.GetReason())})
	}
	return sortTargets(out)
}

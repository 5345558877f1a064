// Package traffic takes what nodes tell of requests, shows it to who watches, then keeps it.
//
// It has a pool of connections of its own, so that no push waits for it. What can't be stored stays with the node, which
// sends it again; nobody's clock, text or numbers are believed beyond what can be true.
package traffic

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/tail"
	"github.com/warrenedge/warren/shared/identity"
)

// Options are what a Server is made of.
type Options struct {
	Store *store.Store // of its own
	World *model.Current
	Tails *tail.Hub
	Admit identity.Admit
	Log   *slog.Logger
	Reg   prometheus.Registerer
}

// Bounds.
const (
	storeTime = 10 * time.Second // of a batch
	aheadDays = 2                // for which there are partitions
	keepEvery = 10 * time.Minute
	Conns     = 4 // of the Store, and how many batches are stored at once

	StatementTime = 30 * time.Second // of the Store: adding up takes longer than what others wait for
)

// Server implements nodev1.TrafficServiceServer.
type Server struct {
	nodev1.UnimplementedTrafficServiceServer
	Options
	m     *metrics
	turns chan struct{}

	mu     sync.Mutex
	days   map[model.OrgID]int // guarded by mu; what organizations want that is not the default
	daysAt time.Time           // guarded by mu; when that was read
}

type metrics struct {
	records  prometheus.Counter
	windows  prometheus.Counter
	refused  *prometheus.CounterVec
	unstored prometheus.Counter
	seconds  prometheus.Histogram
}

// New makes a Server.
func New(o Options) *Server {
	s := &Server{Options: o, turns: make(chan struct{}, Conns), m: &metrics{
		records:  prometheus.NewCounter(prometheus.CounterOpts{Name: "cp_traffic_records_total", Help: "Requests that were written into the log."}),
		windows:  prometheus.NewCounter(prometheus.CounterOpts{Name: "cp_traffic_rates_total", Help: "Rates of nodes that were stored."}),
		refused:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cp_traffic_refused_total", Help: "Requests and rates that nodes have told and that were not taken, by why."}, []string{"reason"}),
		unstored: prometheus.NewCounter(prometheus.CounterOpts{Name: "cp_traffic_unstored_total", Help: "Batches that could not be stored, and stay with their node."}),
		seconds:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "cp_traffic_store_seconds", Help: "Time to store a batch.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}),
	}}
	for _, why := range []string{"service", "malformed"} {
		s.m.refused.WithLabelValues(why)
	}
	o.Reg.MustRegister(s.m.records, s.m.windows, s.m.refused, s.m.unstored, s.m.seconds)
	return s
}

// String names the task.
func (s *Server) String() string { return "traffic" }

// Run makes partitions ahead of need until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		if err := s.Store.MakePartitions(ctx, time.Now().Add(-oldest), aheadDays); err != nil && ctx.Err() == nil {
			s.Log.Warn("partitions of the request log not made", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Tell implements nodev1.TrafficServiceServer.
func (s *Server) Tell(stream grpc.BidiStreamingServer[nodev1.TellRequest, nodev1.TellResponse]) error {
	who, trusted, err := s.Admit(stream.Context())
	if err != nil {
		return err
	}
	id, err := model.NodeID{}.Parse(who.ID)
	if who.Kind != identity.Node || err != nil {
		return status.Error(codes.PermissionDenied, "only nodes tell of traffic")
	}
	batches, ended := receive(stream)
	shown := uint64(0) // the last batch that who watches has seen
	for {
		var m *nodev1.TellRequest
		select {
		case <-trusted.Done():
			if stream.Context().Err() != nil {
				return stream.Context().Err()
			}
			return status.Error(codes.PermissionDenied, "not trusted any more")
		case err := <-ended:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case m = <-batches:
		}
		stored, err := s.batch(trusted, id, m, m.GetBatch() != shown)
		if err != nil {
			return err
		}
		shown = m.GetBatch()
		if err := stream.Send(&nodev1.TellResponse{Batch: m.GetBatch(), Stored: stored}); err != nil {
			return err
		}
	}
}

// receive reads a stream until it ends, which it does with its handler.
func receive(stream grpc.BidiStreamingServer[nodev1.TellRequest, nodev1.TellResponse]) (<-chan *nodev1.TellRequest, <-chan error) {
	batches, ended := make(chan *nodev1.TellRequest), make(chan error, 1)
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case batches <- m:
			case <-stream.Context().Done():
				ended <- stream.Context().Err()
				return
			}
		}
	}()
	return batches, ended
}

// batch shows and stores one. It is false if the database did not take it now.
func (s *Server) batch(ctx context.Context, node model.NodeID, m *nodev1.TellRequest, show bool) (bool, error) {
	world := s.World.Get()
	n := world.Node(node)
	if n == nil {
		return false, nil // this replica has not heard of it yet
	}
	r := &reader{world: world, node: n, process: int64(m.GetProcess()), now: time.Now(), refused: refused{}}
	requests, err := r.records(m.GetRecords())
	var rates []*model.NodeTraffic
	if err == nil {
		rates, err = r.rates(m.GetWindows())
	}
	if err != nil {
		s.Log.Warn("traffic refused", "node", node.String(), "err", err)
		return false, status.Error(codes.InvalidArgument, err.Error())
	}
	if show {
		for why, n := range r.refused {
			s.m.refused.WithLabelValues(why).Add(float64(n))
		}
		s.show(world, requests, rates)
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		s.m.unstored.Inc()
		return false, nil
	}
	if err := s.keep(ctx, requests, rates); err != nil {
		s.m.unstored.Inc()
		s.Log.Debug("traffic not stored", "node", node.String(), "err", err)
		return false, nil
	}
	s.m.seconds.Observe(time.Since(start).Seconds())
	return true, nil
}

// show gives a batch to who watches.
func (s *Server) show(world *model.Model, requests []*model.Request, rates []*model.NodeTraffic) {
	by := map[model.OrgID]*tail.Batch{}
	of := func(org model.OrgID) *tail.Batch {
		if by[org] == nil {
			by[org] = &tail.Batch{Org: org}
		}
		return by[org]
	}
	for _, r := range requests {
		b := of(r.Org)
		b.Requests = append(b.Requests, r)
	}
	for _, r := range rates {
		if r.Unlogged > 0 {
			b := of(r.Org)
			b.Gaps = append(b.Gaps, &model.RequestGap{At: r.At, Org: r.Org, Service: r.Service, ServiceName: world.Service(r.Service).Name, Requests: r.Unlogged})
		}
	}
	for _, b := range by {
		s.Tails.Publish(*b)
	}
}

// keep stores requests and rates, but for the requests of organizations that want no log.
func (s *Server) keep(ctx context.Context, requests []*model.Request, rates []*model.NodeTraffic) error {
	if len(requests)+len(rates) == 0 {
		return nil
	}
	days, err := s.wanted(ctx)
	if err != nil {
		return err
	}
	var keep []*model.Request
	for _, r := range requests {
		if d, ok := days[r.Org]; !ok || d > 0 {
			keep = append(keep, r)
		}
	}
	err = s.write(ctx, keep, rates)
	if fault.Of(err) == fault.Invalid { // a day for which there is no partition yet
		if err = s.Store.MakePartitions(ctx, time.Now().Add(-oldest), aheadDays); err == nil {
			err = s.write(ctx, keep, rates)
		}
	}
	if err == nil {
		s.m.records.Add(float64(len(keep)))
		s.m.windows.Add(float64(len(rates)))
	}
	return err
}

func (s *Server) write(ctx context.Context, requests []*model.Request, rates []*model.NodeTraffic) error {
	_, err := s.Store.Tx(ctx, "traffic", func(tx *store.Tx) error {
		if len(rates) > 0 {
			if err := tx.AddTraffic(ctx, rates); err != nil {
				return err
			}
		}
		if len(requests) == 0 {
			return nil
		}
		_, err := tx.AddRequests(ctx, requests)
		return err
	})
	return err
}

// wantTime is how old what organizations want may be.
const wantTime = 10 * time.Second

func (s *Server) wanted(ctx context.Context) (days map[model.OrgID]int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.daysAt) < wantTime {
		return s.days, nil
	}
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		days, err = tx.RequestLogSettings(ctx)
		return err
	})
	if err == nil {
		s.days, s.daysAt = days, time.Now()
	}
	return days, err
}

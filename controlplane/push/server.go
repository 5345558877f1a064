// Package push streams compiled resources to the nodes and connectors that may read them.
//
// It is a cache of its own behind go-control-plane's delta server. A change costs what it changes plus the
// streams whose scopes it touches. Each stream is brought from one revision to the newest in transactions
// that a checkpoint closes; who reads what is decided by the certificate and the model alone. Locks are
// taken in the order stream, index, Server; no lock is held while something is waited for.
package push

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
)

// Scopes says what a reader may read at a model; an error if it may not read at all.
type Scopes func(m *model.Model, kind identity.Kind, id string) ([]string, error)

// Options are what a Server is made of. Zero values of the bounds mean the defaults.
type Options struct {
	Cluster string // id of the cluster, which certificates name
	Scopes  Scopes // snapshot.Scopes if nil

	LogEntries int           // 200,000: how far back the change logs reach
	LogBytes   int           // 64 MiB
	FullSyncs  int           // 16 per core: readers that get full views at once
	Hold       time.Duration // 2 s: how long a reader that is ahead waits for this replica
	AckTimeout time.Duration // 1 min: for each acknowledgement
	CatchUp    time.Duration // 5 s: how often untouched readers get the newest revision
	Drain      time.Duration // 5 s: over how long streams are ended at shutdown
	Window     Window

	Log *slog.Logger
	Reg prometheus.Registerer
}

func (o *Options) defaults() {
	if o.Scopes == nil {
		o.Scopes = snapshot.Scopes
	}
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&o.LogEntries, 200_000)
	set(&o.LogBytes, 64<<20)
	set(&o.FullSyncs, 16*runtime.GOMAXPROCS(0))
	wait := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	wait(&o.Hold, 2*time.Second)
	wait(&o.AckTimeout, time.Minute)
	wait(&o.CatchUp, 5*time.Second)
	wait(&o.Drain, 5*time.Second)
	if o.Window == (Window{}) {
		o.Window = DefaultWindow
	}
}

// Server is the AggregatedDiscoveryService of the push port. Safe for concurrent use.
type Server struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	opts      Options
	log       *slog.Logger
	m         *metrics
	index     *index
	presence  map[string]*presence // by type URL; read-only
	readers   readers
	admission *admission
	coalescer *Coalescer
	hint      chan struct{}

	mu       sync.Mutex
	draining bool
	streams  map[*stream]struct{}
	held     map[*stream]struct{} // ahead of this replica
	soon     map[*stream]struct{} // to be kicked now
	later    map[*stream]struct{} // to be kicked with the window
	recheck  bool                 // there is a new model
	running  sync.WaitGroup       // streams
}

// New makes a Server; Run does what is not done by the streams themselves.
func New(o Options) *Server {
	o.defaults()
	s := &Server{
		opts: o, log: o.Log, admission: newAdmission(o.FullSyncs), hint: make(chan struct{}, 1),
		streams: map[*stream]struct{}{}, held: map[*stream]struct{}{}, soon: map[*stream]struct{}{}, later: map[*stream]struct{}{},
	}
	s.index = newIndex(snapshot.Epoch, bounds{o.LogEntries, o.LogBytes})
	s.presence = map[string]*presence{}
	for t := range typeOrder {
		if resource.Ephemeral(t) {
			s.presence[t] = newPresence(t)
		}
	}
	s.readers.init()
	s.coalescer = NewCoalescer(o.Window, s.flush)
	s.m = newMetrics(o.Reg, s)
	return s
}

// GRPCOptions are what a gRPC server that carries push needs.
func GRPCOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: 20 * time.Second, Timeout: 10 * time.Second,
			MaxConnectionAge: 30 * time.Minute, MaxConnectionAgeGrace: 30 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(2 << 20),
		grpc.MaxConcurrentStreams(16), // of one node: one for resources, one for reports, now and then a renewal
		grpc.MaxHeaderListSize(16 << 10),
		grpc.ReadBufferSize(4 << 10),
	}
}

// String names the task.
func (s *Server) String() string { return "push" }

// Run pushes what is published until ctx ends. Then it sends the readers away one by one, and returns when
// the last stream is over.
func (s *Server) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.coalescer.Run(work) })
	wg.Go(func() { s.work(work) })
	<-ctx.Done()
	s.drain()
	stop()
	wg.Wait()
	return nil
}

// work kicks streams that do not wait for the window.
func (s *Server) work(ctx context.Context) {
	tick := time.NewTicker(s.opts.CatchUp)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.hint:
			s.mu.Lock()
			soon, recheck := s.soon, s.recheck
			s.soon, s.recheck = map[*stream]struct{}{}, false
			s.mu.Unlock()
			if recheck {
				s.checkReaders()
			}
			for st := range soon {
				st.kick()
			}
		case <-tick.C:
			for _, st := range s.open() {
				st.catchUp()
			}
		}
	}
}

// flush kicks the streams of a window.
func (s *Server) flush() {
	s.mu.Lock()
	later := s.later
	s.later = map[*stream]struct{}{}
	s.mu.Unlock()
	for st := range later {
		st.kick()
	}
}

// poke has streams kicked soon by somebody else.
func (s *Server) poke(streams ...*stream) {
	s.mu.Lock()
	for _, st := range streams {
		s.soon[st] = struct{}{}
	}
	s.mu.Unlock()
	s.wake()
}

func (s *Server) wake() {
	select {
	case s.hint <- struct{}{}:
	default:
	}
}

// hold notes whether a stream waits for this replica to catch up.
func (s *Server) hold(st *stream, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on {
		s.held[st] = struct{}{}
	} else {
		delete(s.held, st)
	}
}

// Publish takes the next step of the configuration and the model that it led to. Steps come in the order
// of their revisions; the first one has everything.
func (s *Server) Publish(ch snapshot.Changes, m *model.Model) {
	touched, ok := s.index.publish(ch, m)
	if !ok {
		s.log.Error("step does not lead forward", "rev", ch.Revision, "published", s.Published())
		return
	}
	s.m.revision.Set(float64(ch.Revision))
	if len(touched) > 0 {
		c := newConvergence(ch, len(touched), s.m.convergence)
		for st := range touched {
			st.expect(c)
		}
	}
	s.mu.Lock()
	s.recheck = true
	for st := range s.held {
		s.soon[st] = struct{}{}
	}
	late := false
	for st, own := range touched {
		if own {
			s.soon[st] = struct{}{}
		} else {
			s.later[st] = struct{}{}
			late = true
		}
	}
	s.mu.Unlock()
	s.wake()
	if late {
		s.coalescer.Mark()
	}
}

// Published is the newest revision that streams get; 0 before the first.
func (s *Server) Published() model.Revision {
	s.index.mu.RLock()
	defer s.index.mu.RUnlock()
	return s.index.rev
}

// WaitPublished blocks until a revision is published, or ctx ends.
func (s *Server) WaitPublished(ctx context.Context, rev model.Revision) error {
	for {
		s.index.mu.RLock()
		ready, changed := s.index.loaded && s.index.rev >= rev, s.index.changed
		s.index.mu.RUnlock()
		if ready {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

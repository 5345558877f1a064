package presence

import (
	"context"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/presence/presencetest"
	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/identity"
)

// reportStream is one end of a report stream, on which a test says what comes.
type reportStream struct {
	grpc.ServerStream
	ctx context.Context
	in  chan *nodev1.ReportRequest
}

func (s *reportStream) Context() context.Context        { return s.ctx }
func (*reportStream) Send(*nodev1.ReportResponse) error { return nil }

func (s *reportStream) Recv() (*nodev1.ReportRequest, error) {
	select {
	case r := <-s.in:
		return r, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

// toldBus keeps what the others are told at once.
type toldBus struct {
	fakeBus
	quiet []bool
}

func (b *toldBus) Put(_ context.Context, e Entry, urgent bool) {
	if urgent {
		b.quiet = append(b.quiet, e.Quiet)
	}
}

// Who says nothing is quiet, of which all replicas hear at once, and no more as soon as it says something; in the end its
// stream ends.
func TestWhoSaysNothingIsQuiet(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		bus := &toldBus{fakeBus: fakeBus{live: true}}
		store := newStore("r1", bus)
		k := Key{identity.Connector, "connector_a"}
		admit := func(ctx context.Context) (identity.Identity, context.Context, error) {
			return identity.Identity{Kind: k.Kind, ID: k.ID}, ctx, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stream := &reportStream{ctx: ctx, in: make(chan *nodev1.ReportRequest)}
		ended := make(chan error, 1)
		go func() {
			ended <- NewReports(store, admit, func(Key) ([]Rejected, int) { return nil, 0 }).Report(stream)
		}()
		is := func(when string, want bool) {
			t.Helper()
			time.Sleep(time.Millisecond)
			if e, ok := store.Get(k); !ok || e.Quiet != want {
				t.Errorf("%s: quiet is %v (there: %v), want %v", when, e.Quiet, ok, want)
			}
		}
		time.Sleep(QuietAfter) // it is nobody before it says who it is
		if _, ok := store.Get(k); ok {
			t.Error("it is there before it has said anything")
		}
		stream.in <- &nodev1.ReportRequest{}
		is("at first", false)
		time.Sleep(QuietAfter - 3*time.Millisecond)
		is("shortly before", false)
		time.Sleep(time.Millisecond)
		is("after a while", true)
		stream.in <- &nodev1.ReportRequest{}
		is("once it says something", false)
		time.Sleep(Silence + time.Millisecond)
		if err := <-ended; status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("its stream ended with %v", err)
		}
		if _, ok := store.Get(k); ok {
			t.Error("it is there although its stream has ended")
		}
		if want := []bool{false, true, false, true}; !slices.Equal(bus.quiet, want) {
			t.Errorf("others are told at once %v, want %v", bus.quiet, want)
		}
	})
}

// An end of a path that was cut does not hear of it: the stream that its subject has left for another one goes on, and
// says nothing. That is no word about its subject.
func TestALeftStreamMakesNobodyQuiet(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		bus := &toldBus{fakeBus: fakeBus{live: true}}
		store := newStore("r1", bus)
		k := Key{identity.Connector, "connector_a"}
		reports := NewReports(store, func(ctx context.Context) (identity.Identity, context.Context, error) {
			return identity.Identity{Kind: k.Kind, ID: k.ID}, ctx, nil
		}, func(Key) ([]Rejected, int) { return nil, 0 })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, version := range []string{"left", "in use"} {
			stream := &reportStream{ctx: ctx, in: make(chan *nodev1.ReportRequest)}
			go func() { _ = reports.Report(stream) }()
			stream.in <- &nodev1.ReportRequest{SoftwareVersion: version}
			time.Sleep(QuietAfter / 2)
		}
		time.Sleep(QuietAfter/2 - time.Millisecond) // the left one is silent for longer
		if e, ok := store.Get(k); !ok || e.Quiet || e.Version != "in use" {
			t.Errorf("%+v (there: %v)", e, ok)
		}
		if slices.Contains(bus.quiet, true) {
			t.Error("others were told that it is quiet")
		}
	})
}

// What a replica said is believed until nothing is heard of it, by whoever can hear, if it ever gave signs of life.
func TestQuietReplica(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		bus := &fakeBus{live: true}
		s := newStore("r1", bus)
		e := nodeEntry("node_a", 1)
		for replica, k := range map[string]Key{"beats": {identity.Node, "node_a"}, "of before": {identity.Node, "node_b"}} {
			e.Key, e.Replica, e.Seq = k, replica, 1
			s.UpdateEntry(e)
			s.Awake(replica, replica == "beats")
		}
		quiet := func(when string, want ...bool) {
			t.Helper()
			var is []bool
			for _, e := range s.List() {
				is = append(is, e.Quiet)
				if got, _ := s.Get(e.Key); got.Quiet != e.Quiet {
					t.Errorf("%s: listed as quiet is %v, but got alone %v", when, e.Quiet, got.Quiet)
				}
			}
			if !slices.Equal(is, want) {
				t.Errorf("%s: quiet are %v, want %v", when, is, want)
			}
		}
		quiet("at first", false, false)
		time.Sleep(replicaQuiet)
		quiet("at the last moment", false, false)
		time.Sleep(time.Millisecond)
		quiet("nothing was heard", true, false)
		bus.live = false
		quiet("nobody can be heard", false, false)
		bus.live = true
		s.Awake("beats", false)
		s.Awake("of before", false)
		quiet("after a sign of life", false, false)
		time.Sleep(time.Hour)
		quiet("long after that", true, false)
		(&Valkey{replica: "r1", asked: make(chan struct{}, 1)}).deliver(`{"replica":"beats","hello":true}`, s)
		quiet("it has come back", false, false)
		time.Sleep(time.Hour)
		quiet("as a program from before", false, false)
		s.Awake("beats", true)
		time.Sleep(time.Hour)
		quiet("once it has given a sign of life, and none after it", true, false)
		s.KeepReplicas(nil)
		if list := s.List(); len(list) != 0 {
			t.Errorf("of replicas that are gone there is %v", list)
		}
	})
}

// Replicas that have nothing to say give signs of life.
func TestReplicasBeat(t *testing.T) {
	server := presencetest.Start(t)
	var stores []*Store
	for _, replica := range []string{"ra", "rb"} {
		bus, err := NewValkey(server.URL(), replica, quiet())
		if err != nil {
			t.Fatal(err)
		}
		bus.resync = time.Hour
		s, _ := runs(t, replica, bus)
		stores = append(stores, s)
	}
	beat := func(s *Store, of string) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, ok := s.awake[of]
		return ok
	}
	within(t, "both hear of each other", func() bool { return beat(stores[0], "rb") && beat(stores[1], "ra") })
	if beat(stores[0], "ra") {
		t.Error("a replica watches itself")
	}
	e := nodeEntry("node_a", 1)
	e.Quiet = true
	stores[0].Report(t.Context(), e)
	within(t, "the other hears that somebody is quiet", func() bool { got, ok := stores[1].Get(e.Key); return ok && got.Quiet })
}

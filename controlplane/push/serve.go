package push

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	xdsresource "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/delta/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	errLoading  = status.Error(codes.Unavailable, "this replica has no configuration yet")
	errDraining = status.Error(codes.Unavailable, "this replica shuts down")
	errReplaced = status.Error(codes.Aborted, "the reader opened another stream")
	errMoved    = status.Error(codes.Aborted, "the reader reads other scopes now")
	errRevoked  = status.Error(codes.PermissionDenied, "no longer trusted")
)

// endGrace is how long an ended stream may be stuck in sending to a reader that does not read.
const endGrace = 250 * time.Millisecond

// DeltaAggregatedResources implements the ADS.
func (s *Server) DeltaAggregatedResources(str discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	reader, err := s.peer(str.Context())
	if err != nil {
		return err
	}
	st, err := s.start(str.Context(), reader)
	if err != nil {
		return err
	}
	defer s.finish(st)
	done := make(chan error, 1)
	go func() { done <- delta.NewServer(st.ctx, st, st).DeltaStreamHandler(str, xdsresource.AnyType) }()
	select {
	case err = <-done:
	case <-st.ctx.Done():
		select {
		case err = <-done:
		case <-time.After(endGrace): // returning ends the stream under the blocked Send
		}
	}
	if cause := context.Cause(st.ctx); cause != nil && str.Context().Err() == nil {
		err = cause
	}
	if err != nil && str.Context().Err() == nil {
		s.log.Info("stream ends", reader.attr(), "err", err)
	}
	return err
}

// start makes the stream of a reader that may read. An older stream of the same reader ends: the reader
// has given it up, or there would be no other.
func (s *Server) start(ctx context.Context, reader Reader) (*stream, error) {
	st := &stream{srv: s, reader: reader, since: time.Now(), watches: map[string]*watch{}, heard: map[string]*heard{}}
	st.ctx, st.cancel = context.WithCancelCause(ctx)
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		st.cancel(nil)
		return nil, errDraining
	}
	s.streams[st] = struct{}{}
	s.running.Add(1)
	s.mu.Unlock()
	s.m.streams.WithLabelValues(string(reader.Kind)).Inc()

	// Registered before the check: a revocation between the two is noticed by one of them.
	if old := s.readers.take(st); old != nil {
		old.end(errReplaced)
	}
	scopes, err := s.may(reader)
	if err != nil {
		s.finish(st)
		return nil, err
	}
	st.mu.Lock()
	st.scopes = scopes
	s.index.register(st, nil, scopes)
	st.mu.Unlock()
	return st, nil
}

func (s *Server) finish(st *stream) {
	st.release()
	st.cancel(nil)
	s.readers.leave(st)
	s.mu.Lock()
	delete(s.streams, st)
	delete(s.soon, st)
	delete(s.later, st)
	s.mu.Unlock()
	s.m.streams.WithLabelValues(string(st.reader.Kind)).Dec()
	s.running.Done()
}

func (s *Server) open() []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.streams))
}

// drain ends all streams, evenly over the time for it, in an order without meaning.
func (s *Server) drain() {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	streams := s.open()
	rand.Shuffle(len(streams), func(i, j int) { streams[i], streams[j] = streams[j], streams[i] })
	start := time.Now()
	for i, st := range streams {
		if i > 0 {
			time.Sleep(time.Until(start.Add(s.opts.Drain * time.Duration(i) / time.Duration(len(streams)))))
		}
		st.end(errDraining)
	}
	s.running.Wait()
}

package ads

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/shared/resource"
)

// stream is one ADS stream of the client.
type stream struct {
	c       *Client
	ctx     context.Context // of the stream; ends with it
	cancel  context.CancelFunc
	wire    wire
	greeted map[string]bool // ephemeral types that have come once
}

// wire is all that is asked of the gRPC stream.
type wire interface {
	Send(*discovery.DeltaDiscoveryRequest) error
	Recv() (*discovery.DeltaDiscoveryResponse, error)
}

// open starts a stream and subscribes to everything, Checkpoint last.
func (c *Client) open(ctx context.Context, conn *grpc.ClientConn) (*stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	w, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open stream: %w", err)
	}
	s := &stream{c: c, ctx: ctx, cancel: cancel, wire: w, greeted: map[string]bool{}}
	c.received.discard() // what an earlier stream did not finish
	for _, t := range c.types {
		req := &discovery.DeltaDiscoveryRequest{
			Node: &core.Node{Id: c.nodeID}, TypeUrl: t, ResourceNamesSubscribe: []string{"*"},
		}
		if t == resource.Checkpoint {
			if token, ok := c.received.resume(); ok {
				req.InitialResourceVersions = map[string]string{resource.TokenKey: token}
			}
		}
		if err := w.Send(req); err != nil {
			// The reason why the stream ended is in Recv only.
			if _, rerr := w.Recv(); rerr != nil {
				err = rerr
			}
			cancel()
			return nil, fmt.Errorf("subscribe to %s: %w", resource.ShortType(t), err)
		}
	}
	return s, nil
}

func (s *stream) end() { s.cancel() }

// run handles responses until the stream ends. It calls good after each applied checkpoint.
func (s *stream) run(good func()) error {
	for {
		resp, err := s.wire.Recv()
		if err != nil {
			return err
		}
		applied, err := s.handle(resp)
		if err != nil {
			return err
		}
		if applied {
			good()
		}
	}
}

// handle takes one response, of whatever content. An error ends the stream.
func (s *stream) handle(resp *discovery.DeltaDiscoveryResponse) (applied bool, err error) {
	switch t := resp.GetTypeUrl(); {
	case t == resource.Checkpoint:
		return s.checkpoint(resp)
	case resource.Ephemeral(t) && slices.Contains(s.c.types, t):
		s.presence(resp)
		return false, s.answer(resp, nil)
	default:
		if err := s.c.received.stage(resp); err != nil {
			return false, err
		}
		return false, s.answer(resp, nil)
	}
}

func (s *stream) presence(resp *discovery.DeltaDiscoveryResponse) {
	var upserts []Resource
	for _, r := range resp.GetResources() {
		if r.GetName() == "" || r.GetResource().GetTypeUrl() != resp.GetTypeUrl() {
			s.c.log.Warn("presence can't be read", "resource", r.GetName())
			continue
		}
		upserts = append(upserts, Resource{TypeURL: resp.GetTypeUrl(), Name: r.GetName(), Version: r.GetVersion(), Body: r.GetResource().GetValue()})
	}
	full := !s.greeted[resp.GetTypeUrl()]
	s.greeted[resp.GetTypeUrl()] = true
	s.c.handler.Presence(s.ctx, resp.GetTypeUrl(), upserts, resp.GetRemovedResources(), full)
}

// checkpoint closes a transaction: all of it is handed over, or nothing.
func (s *stream) checkpoint(resp *discovery.DeltaDiscoveryResponse) (bool, error) {
	r := s.c.received
	cp, err := decode(resp)
	if err != nil {
		return false, err
	}
	if cp.GetRevision() < r.floor {
		return false, fmt.Errorf("%w: checkpoint %d, %d is applied", errBehind, cp.GetRevision(), r.floor)
	}
	reset := make(map[string]bool, len(cp.GetResetTypes()))
	for _, t := range cp.GetResetTypes() {
		reset[t] = true
	}
	if err := r.verify(cp, reset); err != nil {
		r.forget() // the next stream asks for everything
		s.refuse(resp, &rpcstatus.Status{Code: int32(codes.DataLoss), Message: err.Error()})
		return false, err
	}
	t, rejected := r.transaction(cp, reset)
	more, err := s.c.handler.Transaction(s.ctx, t)
	if err != nil {
		return false, fmt.Errorf("%w: revision %d: %w", errHandler, cp.GetRevision(), err)
	}
	rejected = append(rejected, more...)
	r.commit(cp, reset)
	s.c.note(t, len(rejected))
	return true, s.answer(resp, nack(cp, rejected))
}

// linger is how long a stream stays open for its last words to arrive.
const linger = time.Second

// refuse tells the replica why a stream ends and waits until it has heard.
func (s *stream) refuse(resp *discovery.DeltaDiscoveryResponse, why *rpcstatus.Status) {
	t := time.AfterFunc(linger, s.cancel)
	defer t.Stop()
	err := s.answer(resp, why)
	for err == nil { // presence may come before the end
		_, err = s.wire.Recv()
	}
}

func decode(resp *discovery.DeltaDiscoveryResponse) (*nodev1.Checkpoint, error) {
	if len(resp.GetResources()) != 1 || resp.GetResources()[0].GetName() != resource.CheckpointName {
		return nil, fmt.Errorf("%w: %d resources in a checkpoint", errProtocol, len(resp.GetResources()))
	}
	cp := new(nodev1.Checkpoint)
	content := resp.GetResources()[0].GetResource()
	if content.GetTypeUrl() != resource.Checkpoint {
		return nil, fmt.Errorf("%w: checkpoint is %q", errProtocol, content.GetTypeUrl())
	}
	if err := proto.Unmarshal(content.GetValue(), cp); err != nil {
		return nil, fmt.Errorf("%w: checkpoint: %w", errProtocol, err)
	}
	return cp, nil
}

// maxRejections bounds the bytes of reasons in one answer: a request must fit into what replicas read.
const maxRejections = 1 << 20

// perRejection is what one takes beside its own bytes: a tag and a length.
const perRejection = 5

// nack is what to answer to an applied checkpoint: nil, or the resources that were not. Of very many the
// last ones are left out and counted.
func nack(cp *nodev1.Checkpoint, rejected []*nodev1.Rejection) *rpcstatus.Status {
	if len(rejected) == 0 {
		return nil
	}
	st := &rpcstatus.Status{
		Code:    int32(codes.InvalidArgument),
		Message: fmt.Sprintf("%d resources of revision %d rejected", len(rejected), cp.GetRevision()),
	}
	rejected = slices.SortedFunc(slices.Values(rejected), func(a, b *nodev1.Rejection) int {
		return cmp.Or(cmp.Compare(a.GetTypeUrl(), b.GetTypeUrl()), cmp.Compare(a.GetName(), b.GetName()))
	})
	said, size := &nodev1.Rejections{}, 0
	for i, r := range rejected {
		one := &nodev1.Rejection{TypeUrl: r.GetTypeUrl(), Name: r.GetName(), Version: r.GetVersion(), Reason: clip(r.GetReason())}
		if size += proto.Size(one) + perRejection; size > maxRejections {
			said.Omitted = uint64(len(rejected) - i)
			break
		}
		said.Rejections = append(said.Rejections, one)
	}
	if details, err := anypb.New(said); err == nil {
		st.Details = []*anypb.Any{details}
	}
	return st
}

// clip makes a reason fit for the wire: short, and valid UTF-8 although it may quote what is not.
func clip(reason string) string {
	return strings.ToValidUTF8(reason[:min(len(reason), 1024)], "\uFFFD")
}

// answer acknowledges a response, or says what is wrong with it.
func (s *stream) answer(resp *discovery.DeltaDiscoveryResponse, wrong *rpcstatus.Status) error {
	err := s.wire.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce(), ErrorDetail: wrong})
	if err == nil {
		return nil
	}
	if _, rerr := s.wire.Recv(); rerr != nil {
		err = rerr
	}
	return fmt.Errorf("acknowledge %s: %w", resource.ShortType(resp.GetTypeUrl()), err)
}

// note records an applied transaction.
func (c *Client) note(t Transaction, rejected int) {
	rev := t.Checkpoint.GetRevision()
	c.applied.Store(rev)
	c.m.revision.Set(float64(rev))
	c.m.transactions.Inc()
	if len(t.Reset) > 0 {
		c.m.full.Inc()
	}
	upserts, removed := 0, 0
	for _, u := range t.Upserts {
		upserts += len(u)
	}
	for _, r := range t.Removed {
		removed += len(r)
	}
	c.m.resources.WithLabelValues("upsert").Add(float64(upserts))
	c.m.resources.WithLabelValues("removal").Add(float64(removed))
	c.m.resources.WithLabelValues("rejection").Add(float64(rejected))
	c.log.Info("snapshot applied", "rev", rev, "upserts", upserts, "removed", removed, "rejected", rejected, "reset", len(t.Reset))
}

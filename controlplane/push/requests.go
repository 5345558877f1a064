package push

import (
	"context"
	"encoding/base64"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/resource"
)

// OnDeltaStreamOpen implements delta.Callbacks.
func (st *stream) OnDeltaStreamOpen(context.Context, int64, string) error { return nil }

// OnDeltaStreamClosed implements delta.Callbacks. The Server cleans up after the stream.
func (st *stream) OnDeltaStreamClosed(int64, *core.Node) {}

// OnStreamDeltaResponse implements delta.Callbacks: only here is the nonce known.
func (st *stream) OnStreamDeltaResponse(_ int64, req *discovery.DeltaDiscoveryRequest, resp *discovery.DeltaDiscoveryResponse) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if w := st.watches[req.GetTypeUrl()]; w != nil {
		w.nonce = resp.GetNonce()
	}
	st.sent++
	st.srv.m.sent.WithLabelValues(label(req.GetTypeUrl())).Inc()
}

// OnStreamDeltaRequest implements delta.Callbacks. It runs before CreateDeltaWatch opens the watch anew.
func (st *stream) OnStreamDeltaRequest(_ int64, req *discovery.DeltaDiscoveryRequest) error {
	if id := req.GetNode().GetId(); id != "" && id != st.reader.ID {
		return status.Errorf(codes.PermissionDenied, "node.id %q is not the name in the certificate", clip(id))
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	w := st.watches[req.GetTypeUrl()]
	if w == nil && len(st.watches) == 0 && req.GetNode().GetId() == "" {
		return status.Error(codes.InvalidArgument, "the first request has no node.id")
	}
	if w == nil || !w.unack || w.nonce == "" || req.GetResponseNonce() != w.nonce {
		if st.spontaneous++; st.spontaneous > maxSpontaneous {
			return status.Error(codes.ResourceExhausted, "too many requests that answer nothing")
		}
		return nil
	}
	w.unack, w.nonce = false, ""
	st.acked++
	st.watchdog()
	return st.answered(req)
}

// answered takes an ACK or NACK of what is under way. It needs the lock.
func (st *stream) answered(req *discovery.DeltaDiscoveryRequest) error {
	t, wrong := req.GetTypeUrl(), req.GetErrorDetail()
	if wrong == nil {
		st.srv.m.acks.WithLabelValues(label(t)).Inc()
	} else {
		st.srv.m.nacks.WithLabelValues(label(t)).Inc()
		st.srv.log.Warn("rejected by reader", st.reader.attr(), "type", resource.ShortType(t), "code", codes.Code(wrong.GetCode()).String(), "err", clip(wrong.GetMessage()))
	}
	if t != resource.Checkpoint {
		if w := st.tx.work(t); w != nil && w.built {
			w.acked = true
		}
		if wrong != nil && durable(t) {
			return status.Errorf(codes.Aborted, "%s was not taken: start again", resource.ShortType(t))
		}
		return nil
	}
	if st.tx == nil {
		return nil
	}
	var rejected []*nodev1.Rejection
	omitted := 0
	if wrong != nil {
		if codes.Code(wrong.GetCode()) != codes.InvalidArgument {
			return status.Errorf(codes.Aborted, "checkpoint %d was not applied: start again", st.tx.checkpoint.GetRevision())
		}
		for _, d := range wrong.GetDetails() {
			r := new(nodev1.Rejections)
			if d.UnmarshalTo(r) == nil {
				rejected = append(rejected, r.GetRejections()...)
				omitted += int(min(r.GetOmitted(), maxOmitted))
			}
		}
	}
	st.complete(rejected, omitted)
	return nil
}

// maxOmitted bounds what a reader may claim.
const maxOmitted = 1 << 30

// complete ends the transaction under way. It needs the lock.
func (st *stream) complete(rejected []*nodev1.Rejection, omitted int) {
	tx := st.tx
	st.srv.readers.applied(st, tx, rejected, omitted)
	st.have, st.tx, st.started = tx.checkpoint, nil, true
	st.ticket.done()
	st.ticket = nil
	st.stopWatchdog()
	rev := model.Revision(st.have.GetRevision())
	st.pending = slices.DeleteFunc(st.pending, func(c *convergence) bool { return c.reached(rev) })
}

// CreateWatch implements cache.ConfigWatcher; state-of-the-world streams are not served.
func (st *stream) CreateWatch(*cache.Request, cache.Subscription, chan cache.Response) (func(), error) {
	return nil, status.Error(codes.Unimplemented, "delta streams only")
}

// CreateDeltaWatch implements cache.ConfigWatcher. A type that this replica does not know gets a watch
// that never answers: a newer node asks for it.
func (st *stream) CreateDeltaWatch(req *cache.DeltaRequest, sub cache.Subscription, out chan cache.DeltaResponse) (func(), error) {
	t := req.GetTypeUrl()
	if !sub.IsWildcard() || len(sub.SubscribedResources()) > 0 {
		return nil, status.Errorf(codes.InvalidArgument, "%s: subscribe to \"*\" only, the certificate decides what comes", clip(t))
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	w := st.watches[t]
	if w == nil {
		w = &watch{}
		st.watches[t] = w
		if durable(t) {
			st.order = append(st.order, t)
			slices.SortFunc(st.order, func(a, b string) int { return typeOrder[a] - typeOrder[b] })
		}
		if t == resource.Checkpoint {
			st.have = st.token(req.GetInitialResourceVersions()[resource.TokenKey])
		}
	}
	w.req, w.out, w.open = req, out, typeOrder[t] > 0
	st.advance(false)
	return func() {
		st.mu.Lock()
		w.open = false // out is closed once all watches are
		st.mu.Unlock()
	}, nil
}

// token reads what a client resumes from. One that makes no sense counts as none.
func (st *stream) token(text string) *nodev1.Checkpoint {
	if text == "" || len(text) > maxToken {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		st.srv.log.Warn("resume token can't be read", st.reader.attr(), "err", err)
		return nil
	}
	cp := new(nodev1.Checkpoint)
	if err := proto.Unmarshal(b, cp); err != nil {
		st.srv.log.Warn("resume token can't be read", st.reader.attr(), "err", err)
		return nil
	}
	cp.ResetTypes = nil
	return cp
}

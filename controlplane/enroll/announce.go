package enroll

import (
	"context"
	"net/netip"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	enrollv1 "github.com/warrenedge/warren/api/enroll/v1"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/identity"
)

// Announce implements enrollv1.EnrollmentServiceServer. It makes a revision only if the node is somewhere else
// than it was.
func (s *Server) Announce(ctx context.Context, req *enrollv1.AnnounceRequest) (*enrollv1.AnnounceResponse, error) {
	who, _, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	id, err := model.NodeID{}.Parse(who.ID)
	if who.Kind != identity.Node || err != nil {
		return nil, status.Error(codes.PermissionDenied, "only nodes announce where they are")
	}
	said, err := reach(req)
	var n *model.Node
	var rev model.Revision
	if err == nil {
		rev, err = s.store.Tx(ctx, "announce:node/"+who.ID, func(tx *store.Tx) error {
			if n, err = tx.GetNode(ctx, id); err != nil {
				return err
			}
			n.Hear(said)
			if err := n.Validate(); err != nil {
				return err
			}
			_, err := tx.UpdateNode(ctx, n)
			return err
		})
	}
	switch {
	case err == nil:
		s.results.WithLabelValues("announce", "ok").Inc()
		if rev > 0 {
			s.log.Info("node is reached elsewhere", "node", who.ID, "rev", rev)
		}
		if pinned := n.Unheard(said); len(pinned) > 0 {
			s.log.Info("node says it is elsewhere, but an operator wrote where", "node", who.ID, "fields", pinned)
		}
		return &enrollv1.AnnounceResponse{}, nil
	case fault.Of(err) == fault.Invalid: // it is trusted: it may know
		s.results.WithLabelValues("announce", "refused").Inc()
		s.log.Warn("node announces nonsense", "node", who.ID, "err", err)
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	s.results.WithLabelValues("announce", "unavailable").Inc()
	s.log.Warn("announcement not taken", "node", who.ID, "err", err)
	return nil, status.Error(codes.Unavailable, "try again")
}

// whereabouts is what Join and Announce say of where a node is.
type whereabouts interface {
	GetAddresses() []string
	GetWireguardEndpoint() string
	GetStreamEndpoint() string
	GetGossipEndpoint() string
}

// reach reads where a node says it is; what is wrong names the field.
func reach(req whereabouts) (r model.Reach, err error) {
	for _, text := range req.GetAddresses() {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return r, fault.Field("addresses", "%.60q is no IP address", text)
		}
		r.Addresses = append(r.Addresses, a.Unmap())
	}
	slices.SortFunc(r.Addresses, netip.Addr.Compare)
	r.Addresses = slices.Compact(r.Addresses)
	for _, e := range []struct {
		field, text string
		into        *endpoint.Endpoint
	}{
		{model.PinWireGuard, req.GetWireguardEndpoint(), &r.WireGuard},
		{model.PinStream, req.GetStreamEndpoint(), &r.Stream},
		{model.PinGossip, req.GetGossipEndpoint(), &r.Gossip},
	} {
		if e.text == "" {
			continue
		}
		if *e.into, err = endpoint.Parse(e.text); err != nil {
			return r, fault.Field(e.field, "%.60q: %.300s", e.text, err)
		}
	}
	return r, nil
}

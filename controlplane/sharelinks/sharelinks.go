// Package sharelinks counts for all nodes together how often share links with a limit were opened.
package sharelinks

import (
	"context"
	"log/slog"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/identity"
)

// Server implements nodev1.ShareLinkServiceServer.
type Server struct {
	nodev1.UnimplementedShareLinkServiceServer
	store *store.Store
	admit identity.Admit
	log   *slog.Logger
}

// New makes a Server.
func New(s *store.Store, admit identity.Admit, log *slog.Logger) *Server {
	return &Server{store: s, admit: admit, log: log}
}

// Use implements nodev1.ShareLinkServiceServer. A node counts uses of the links of its own pool's services only. Repeating a
// call whose answer was lost counts twice: a limit is never exceeded, and may be reached early.
func (s *Server) Use(ctx context.Context, req *nodev1.UseRequest) (*nodev1.UseResponse, error) {
	who, _, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	node, err := model.NodeID{}.Parse(who.ID)
	if who.Kind != identity.Node || err != nil {
		return nil, status.Error(codes.PermissionDenied, "only nodes open share links")
	}
	link, err := model.ShareLinkID{}.Parse(req.GetShareLinkId())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, "share_link_id: "+err.Error())
	}
	within := false
	_, err = s.store.Tx(ctx, "share-link:node/"+who.ID, func(tx *store.Tx) error {
		n, err := tx.GetNode(ctx, node)
		if err != nil {
			return err
		}
		within, err = tx.UseShareLink(ctx, link, n.Pool)
		return err
	})
	switch {
	case err == nil:
		return &nodev1.UseResponse{Within: within}, nil
	case fault.Of(err) == fault.Unavailable:
		return nil, status.Error(codes.Unavailable, "try again")
	}
	s.log.Error("use of a share link not counted", "node", who.ID, "err", err)
	return nil, status.Error(codes.Internal, "not counted")
}

// Package enroll gives nodes and connectors their identity: a join token and a certificate request become
// a client certificate, which is renewed over itself.
package enroll

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	enrollv1 "github.com/warrenedge/warren/api/enroll/v1"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/jointoken"
	"github.com/warrenedge/warren/shared/wgkey"
)

// Server is the EnrollmentService of the push port.
type Server struct {
	enrollv1.UnimplementedEnrollmentServiceServer
	cluster string
	store   *store.Store
	ca      *authority.Authority
	admit   identity.Admit
	log     *slog.Logger
	results *prometheus.CounterVec
}

// New makes the service of a cluster, whose identities ca signs.
func New(cluster string, s *store.Store, ca *authority.Authority, admit identity.Admit, log *slog.Logger, reg prometheus.Registerer) *Server {
	srv := &Server{
		cluster: cluster, store: s, ca: ca, admit: admit, log: log,
		results: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cp_enrollments_total", Help: "Join and renew calls, by call and result."}, []string{"call", "result"}),
	}
	reg.MustRegister(srv.results)
	return srv
}

// refused is all that a stranger is told.
var refused = status.Error(codes.PermissionDenied, "join refused")

// Join implements enrollv1.EnrollmentServiceServer.
func (s *Server) Join(ctx context.Context, req *enrollv1.JoinRequest) (*enrollv1.JoinResponse, error) {
	resp, err := s.join(ctx, req, time.Now())
	return resp, s.answer(err, "join", req.GetKind(), req.GetName())
}

// Renew implements enrollv1.EnrollmentServiceServer.
func (s *Server) Renew(ctx context.Context, req *enrollv1.RenewRequest) (*enrollv1.RenewResponse, error) {
	id, _, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	pub, err := authority.ParseRequest(req.GetCsrDer())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	chain, err := s.ca.SignIdentity(pub, id, time.Now())
	if err := s.answer(err, "renew", string(id.Kind), id.ID); err != nil {
		return nil, err
	}
	return &enrollv1.RenewResponse{CertificatePem: chain, IdentityAuthoritiesPem: s.ca.CertificatePEM()}, nil
}

// answer logs a result once. A stranger is not told why he was refused; a machine whose token was right is told which of
// its settings is wrong. A database that is away, or an error of ours, is no refusal: the token is as good as before, and the
// caller may try again with it.
func (s *Server) answer(err error, call, kind, name string) error {
	switch {
	case err == nil:
		s.results.WithLabelValues(call, "ok").Inc()
		s.log.Info("identity signed", "call", call, "kind", clip(kind), "name", clip(name))
		return nil
	case fault.Of(err) == fault.Unavailable || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		s.results.WithLabelValues(call, "unavailable").Inc()
		s.log.Warn("identity not signed", "call", call, "kind", clip(kind), "name", clip(name), "err", err)
		return status.Error(codes.Unavailable, "try again")
	case fault.Of(err) == fault.Internal:
		s.results.WithLabelValues(call, "failed").Inc()
		s.log.Error("identity not signed", "call", call, "kind", clip(kind), "name", clip(name), "err", err)
		return status.Error(codes.Internal, "internal error: the control plane's log has it")
	case fault.Of(err) == fault.Invalid:
		s.results.WithLabelValues(call, "refused").Inc()
		s.log.Warn("identity refused", "call", call, "kind", clip(kind), "name", clip(name), "err", err)
		return status.Error(codes.InvalidArgument, err.Error())
	default:
		s.results.WithLabelValues(call, "refused").Inc()
		s.log.Warn("identity refused", "call", call, "kind", clip(kind), "name", clip(name), "err", err)
		return refused
	}
}

// denied makes a refusal of what a stranger has sent.
func denied(err error) error { return &fault.Error{Kind: fault.Denied, Msg: "join", Err: err} }

// clip bounds what a stranger can put into the log.
func clip(s string) string { return s[:min(len(s), 80)] }

func (s *Server) join(ctx context.Context, req *enrollv1.JoinRequest, now time.Time) (*enrollv1.JoinResponse, error) {
	token, err := jointoken.Parse(req.GetToken())
	if err != nil {
		return nil, denied(err)
	}
	pub, err := authority.ParseRequest(req.GetCsrDer())
	if err != nil {
		return nil, denied(err)
	}
	key, err := wgkey.PublicFromBytes(req.GetWireguardPublicKey())
	if err != nil {
		return nil, denied(err)
	}
	if key.IsZero() {
		return nil, fault.New(fault.Denied, "WireGuard key is zero")
	}
	resp := &enrollv1.JoinResponse{IdentityAuthoritiesPem: s.ca.CertificatePEM(), ClusterId: s.cluster}
	id := identity.Identity{Cluster: s.cluster, Kind: identity.Kind(req.GetKind())}
	_, err = s.store.Tx(ctx, "join:"+clip(req.GetKind())+"/"+clip(req.GetName()), func(tx *store.Tx) error {
		t, err := tx.UseJoinToken(ctx, token.Hash(), now)
		if err != nil {
			return err
		}
		if t.Name != req.GetName() {
			return fault.New(fault.Denied, "the token is for another name")
		}
		switch {
		case id.Kind == identity.Node && !t.Node.IsZero():
			id.ID, resp.OverlayAddress = t.Node.String(), model.OverlayAddress(t.Node).String()
			return joinNode(ctx, tx, t.Node, key, req)
		case id.Kind == identity.Connector && !t.Connector.IsZero():
			id.ID, resp.OverlayAddress = t.Connector.String(), model.OverlayAddress(t.Connector).String()
			resp.SiteId, err = joinConnector(ctx, tx, t.Connector, key)
			return err
		}
		return fault.New(fault.Denied, "the token is for another kind")
	})
	if err != nil {
		return nil, err
	}
	resp.Id = id.ID
	resp.CertificatePem, err = s.ca.SignIdentity(pub, id, now)
	return resp, err
}

// joinNode writes what only the node knows. What the operator wrote is kept.
func joinNode(ctx context.Context, tx *store.Tx, id model.NodeID, key wgkey.Public, req *enrollv1.JoinRequest) error {
	n, err := tx.GetNode(ctx, id)
	if err != nil {
		return err
	}
	if !n.Revoked.IsZero() {
		return fault.New(fault.Denied, "the node is revoked")
	}
	n.WireGuardKey = key
	said, err := reach(req)
	if err != nil {
		return err
	}
	n.Hear(said)
	if err := n.Validate(); err != nil {
		return err
	}
	_, err = tx.UpdateNode(ctx, n)
	return err
}

func joinConnector(ctx context.Context, tx *store.Tx, id model.ConnectorID, key wgkey.Public) (site string, err error) {
	c, err := tx.GetConnector(ctx, id)
	if err != nil {
		return "", err
	}
	if !c.Revoked.IsZero() {
		return "", fault.New(fault.Denied, "the connector is revoked")
	}
	if err := tx.ShareSite(ctx, c.Site); err != nil {
		return "", err
	}
	at, err := tx.GetSite(ctx, c.Site)
	if err == nil {
		err = model.CheckConnector(at)
	}
	if err != nil {
		return "", err
	}
	c.WireGuardKey = key
	_, err = tx.UpdateConnector(ctx, c)
	return c.Site.String(), err
}

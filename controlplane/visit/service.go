package visit

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/identity"
)

// caller is the node that calls.
func (s *Server) caller(ctx context.Context) (*model.Model, *model.Node, error) {
	who, _, err := s.Admit(ctx)
	if err != nil {
		return nil, nil, err
	}
	m := s.World.Get()
	id, err := model.NodeID{}.Parse(who.ID)
	if who.Kind != identity.Node || err != nil || m.Node(id) == nil {
		return nil, nil, status.Error(codes.PermissionDenied, "only nodes let visitors in")
	}
	return m, m.Node(id), nil
}

// Redeem implements nodev1.AccessServiceServer.
func (s *Server) Redeem(ctx context.Context, req *nodev1.RedeemRequest) (*nodev1.RedeemResponse, error) {
	m, node, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	svc := serviceAt(m, req.GetHost())
	if svc == nil || svc.Pool != node.Pool {
		s.calls.WithLabelValues("redeem", "refused").Inc()
		return nil, status.Error(codes.NotFound, "no such code")
	}
	var code store.AccessCode
	good := false
	// A code is gone with the first attempt, whatever comes of it.
	_, err = s.Store.Tx(ctx, "visit:node/"+node.ID.String(), func(tx *store.Tx) (err error) {
		code, good, err = tx.TakeAccessCode(ctx, req.GetCode(), codeLife)
		return err
	})
	if err == nil && (!good || code.Host != req.GetHost() || code.Binding != req.GetBinding()) {
		err = fault.New(fault.NotFound, "no such code")
	}
	token := ""
	if err == nil {
		session := model.SessionID{UUID: code.Session}.String()
		if code.Mail != "" {
			session = model.VisitorID{UUID: code.Session}.String()
		}
		token, err = s.give(ctx, session, svc, code.Host, code.Binding)
	}
	switch fault.Of(err) {
	case fault.NotFound:
		s.calls.WithLabelValues("redeem", "refused").Inc()
		return nil, status.Error(codes.NotFound, "no such code")
	case fault.Denied:
		s.calls.WithLabelValues("redeem", "not_permitted").Inc()
		return nil, status.Error(codes.PermissionDenied, "not permitted")
	}
	if err := s.answer("redeem", err); err != nil {
		return nil, err
	}
	return &nodev1.RedeemResponse{Token: token}, nil
}

// Renew implements nodev1.AccessServiceServer.
func (s *Server) Renew(ctx context.Context, req *nodev1.RenewAccessRequest) (*nodev1.RenewAccessResponse, error) {
	m, node, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	token := ""
	c, svc, err := s.verify(m, node, req.GetToken())
	if err == nil && c.Use != "" {
		err = fault.New(fault.NotFound, "what a program shows is not renewed")
	}
	if err == nil {
		token, err = s.give(ctx, c.Session, svc, c.Audience, c.Binding)
	}
	if k := fault.Of(err); err != nil && (k == fault.NotFound || k == fault.Denied) {
		s.calls.WithLabelValues("renew", "ended").Inc()
		return nil, status.Error(codes.Unauthenticated, "the session has ended")
	}
	if err := s.answer("renew", err); err != nil {
		return nil, err
	}
	return &nodev1.RenewAccessResponse{Token: token}, nil
}

// give signs what is true of a session now.
func (s *Server) give(ctx context.Context, session string, svc *model.Service, host, binding string) (token string, err error) {
	_, err = s.Store.Tx(ctx, "visit:"+svc.ID.String(), func(tx *store.Tx) error {
		c, err := s.claims(ctx, tx, session, svc)
		if err != nil {
			return err
		}
		c.Audience, c.Binding = host, binding
		token, err = s.sign(c)
		return err
	})
	return token, err
}

// SignOut implements nodev1.AccessServiceServer.
func (s *Server) SignOut(ctx context.Context, req *nodev1.SignOutRequest) (*nodev1.SignOutResponse, error) {
	m, node, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	c, _, err := s.verify(m, node, req.GetToken())
	if err == nil {
		_, err = s.Store.Tx(ctx, "visit:node/"+node.ID.String(), func(tx *store.Tx) error {
			if id, err := (model.VisitorID{}).Parse(c.Session); err == nil {
				return tx.EndVisitor(ctx, id)
			}
			id, err := model.SessionID{}.Parse(c.Session)
			if err != nil {
				return fault.New(fault.NotFound, "no session")
			}
			v, err := tx.GetSession(ctx, id)
			if err != nil {
				return err
			}
			return s.Sessions.EndSession(ctx, tx, v)
		})
	}
	if fault.Of(err) == fault.NotFound {
		err = nil // it has ended already
	}
	if err := s.answer("sign_out", err); err != nil {
		return nil, err
	}
	return &nodev1.SignOutResponse{}, nil
}

// answer counts a call, and hides from the caller why it failed.
func (s *Server) answer(call string, err error) error {
	if err == nil {
		s.calls.WithLabelValues(call, "ok").Inc()
		return nil
	}
	s.calls.WithLabelValues(call, "failed").Inc()
	if !errors.Is(err, context.Canceled) {
		s.Log.Warn("visitor not served", "call", call, "err", err)
	}
	return status.Error(codes.Unavailable, "try again")
}

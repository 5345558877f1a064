// Package redeem asks the control plane about visitors, over the channel that a node has to it.
package redeem

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/gate"
	"github.com/warrenedge/warren/dataplane/session"
)

// Connector gives connections to the control plane.
type Connector interface {
	Conn(ctx context.Context) (*grpc.ClientConn, error)
}

// callTime bounds one call, connecting included.
const callTime = 10 * time.Second

// Plane implements gate.Plane and session.Renewer.
type Plane struct{ conns Connector }

// New makes a Plane; it connects when somebody comes.
func New(conns Connector) *Plane { return &Plane{conns} }

var (
	_ gate.Plane      = (*Plane)(nil)
	_ session.Renewer = (*Plane)(nil)
)

// Reachable implements gate.Plane. It says what the channel knows: nothing is sent.
func (p *Plane) Reachable(ctx context.Context) error {
	for {
		conn, err := p.conns.Conn(ctx)
		if err != nil {
			return fmt.Errorf("control plane: %w", err)
		}
		now := conn.GetState()
		if now == connectivity.Ready {
			return nil
		}
		conn.Connect()
		if !conn.WaitForStateChange(ctx, now) {
			return fmt.Errorf("control plane: the channel is %s: %w", now, ctx.Err())
		}
	}
}

// Redeem implements gate.Plane.
func (p *Plane) Redeem(ctx context.Context, code, host, binding string) (token string, err error) {
	err = p.call(ctx, func(ctx context.Context, c nodev1.AccessServiceClient) error {
		r, err := c.Redeem(ctx, &nodev1.RedeemRequest{Code: code, Host: host, Binding: binding})
		token = r.GetToken()
		return err
	})
	switch status.Code(err) {
	case codes.OK:
		return token, nil
	case codes.NotFound, codes.InvalidArgument:
		return "", fmt.Errorf("redeem: %w", gate.ErrCode)
	case codes.PermissionDenied:
		return "", fmt.Errorf("redeem: %w", gate.ErrNotPermitted)
	}
	return "", fmt.Errorf("redeem: %w", err)
}

// Renew implements session.Renewer.
func (p *Plane) Renew(ctx context.Context, token string) (next string, err error) {
	err = p.call(ctx, func(ctx context.Context, c nodev1.AccessServiceClient) error {
		r, err := c.Renew(ctx, &nodev1.RenewAccessRequest{Token: token})
		next = r.GetToken()
		return err
	})
	switch status.Code(err) {
	case codes.OK:
		return next, nil
	case codes.Unauthenticated:
		return "", fmt.Errorf("renew: %w", session.ErrEnded)
	}
	return "", fmt.Errorf("renew: %w", err)
}

// SignOut implements gate.Plane.
func (p *Plane) SignOut(ctx context.Context, token string) error {
	err := p.call(ctx, func(ctx context.Context, c nodev1.AccessServiceClient) error {
		_, err := c.SignOut(ctx, &nodev1.SignOutRequest{Token: token})
		return err
	})
	if err != nil {
		return fmt.Errorf("sign out: %w", err)
	}
	return nil
}

func (p *Plane) call(ctx context.Context, do func(context.Context, nodev1.AccessServiceClient) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	conn, err := p.conns.Conn(ctx)
	if err != nil {
		return err
	}
	return do(ctx, nodev1.NewAccessServiceClient(conn))
}

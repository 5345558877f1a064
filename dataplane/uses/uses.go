// Package uses asks the control plane whether a share link may be opened once more.
package uses

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
)

// Connector gives connections to the control plane.
type Connector interface {
	Conn(ctx context.Context) (*grpc.ClientConn, error)
}

// Counter implements access.Uses. Safe for concurrent use.
type Counter struct{ conns Connector }

// New makes a Counter.
func New(conns Connector) *Counter { return &Counter{conns} }

// Use counts one use of a link for all nodes together, and reports whether it was within the limit.
func (c *Counter) Use(ctx context.Context, link string) (bool, error) {
	conn, err := c.conns.Conn(ctx)
	if err != nil {
		return false, err
	}
	answer, err := nodev1.NewShareLinkServiceClient(conn).Use(ctx, &nodev1.UseRequest{ShareLinkId: link})
	if err != nil {
		return false, fmt.Errorf("use of %s: %w", link, err)
	}
	return answer.GetWithin(), nil
}

package ads

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/warrenedge/warren/dataplane/dial"
)

// maxMessage bounds one response. Replicas send pages of half a MiB, or one larger resource.
const maxMessage = 16 << 20

// errClosed is returned after Close.
var errClosed = errors.New("connections are closed")

// Conns holds the one connection to the control plane that streams share, and moves on through the
// addresses when it fails. Safe for concurrent use.
type Conns struct {
	opts []grpc.DialOption

	mu        sync.Mutex
	addresses []string
	at        int
	conn      *grpc.ClientConn
	closed    bool
}

// NewConns makes a Conns over host:port addresses, which are tried in turn, with all that their names stand for at that
// time. It connects on first use.
func NewConns(addresses []string, creds credentials.TransportCredentials, opts ...grpc.DialOption) *Conns {
	base := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		// Streams live long; a connection that is not used must not be dropped between two of them.
		grpc.WithIdleTimeout(0),
	}
	return &Conns{addresses: slices.Clone(addresses), opts: append(base, opts...)}
}

// Conn implements Connector.
func (c *Conns) Conn(context.Context) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	if c.conn != nil {
		return c.conn, nil
	}
	if len(c.addresses) == 0 {
		return nil, fmt.Errorf("no control address")
	}
	addr := c.addresses[c.at%len(c.addresses)]
	conn, err := grpc.NewClient("passthrough:///"+addr, append([]grpc.DialOption{dial.GRPC(addr)}, c.opts...)...)
	if err != nil {
		c.at++
		return nil, fmt.Errorf("connection to %s: %w", addr, err)
	}
	c.conn = conn
	return conn, nil
}

// Failed implements Connector. Everybody's streams on that connection end, so that all of them move to
// the same replica.
func (c *Conns) Failed(conn *grpc.ClientConn) {
	c.mu.Lock()
	if conn == nil || c.conn != conn { // somebody else said so before
		c.mu.Unlock()
		return
	}
	c.conn = nil
	c.at++
	c.mu.Unlock()
	_ = conn.Close() // nothing to learn from it
}

// Close ends the connection; there will be no other one.
func (c *Conns) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn = nil
	return err
}

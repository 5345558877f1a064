// Package ads is the client half of the push: it follows the snapshot of one node or connector over a
// delta ADS stream.
//
// What arrives is staged. At a checkpoint the client compares counts and digests with what it received,
// hands the whole transaction to its Handler, and acknowledges what the Handler says. It keeps the
// checkpoint as the token with which it resumes, at whichever replica answers next.
package ads

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/shared/backoff"
)

// Handler is who applies. Its methods are called one at a time, in the order in which things arrived.
type Handler interface {
	// Transaction is called with a verified checkpoint; it applies and persists, and returns a rejection
	// for each resource that it did not apply. An error means that nothing was applied: the stream is
	// started again, and the same changes come again.
	Transaction(ctx context.Context, t Transaction) ([]*nodev1.Rejection, error)
	// Presence is called on arrival of resources of an ephemeral type. full is set once a stream and type:
	// what comes from there on is everything that is known.
	Presence(ctx context.Context, typeURL string, upserts []Resource, removed []string, full bool)
}

// Resource is one resource as it arrived.
type Resource struct {
	TypeURL, Name, Version string
	Body                   []byte // of the message inside the Any
}

// Transaction is a step from the applied checkpoint to the next one.
type Transaction struct {
	Checkpoint *nodev1.Checkpoint
	Upserts    map[string][]Resource // by type, ordered by name
	Removed    map[string][]string   // by type, ordered; may name what was never there
	// Reset are types that came in full, in apply order: what is not in Upserts is gone, and Removed does
	// not repeat it.
	Reset []string
}

// State is what a client starts from: what it has received, rejected versions included, and the
// checkpoint that closed it. The zero State is a client that has nothing.
type State struct {
	Checkpoint *nodev1.Checkpoint
	Received   map[string]map[string]string // type, name, version
}

// Options are what a Client is made of.
type Options struct {
	Conns   Connector // connections to the control plane, shared with reports
	NodeID  string    // as in the certificate: "node_…" or "connector_…"
	Types   []string  // resource.NodeTypes() or resource.ConnectorTypes()
	State   State     // not modified
	Handler Handler
	Log     *slog.Logger
	Reg     prometheus.Registerer
}

// Connector gives connections to the control plane.
type Connector interface {
	// Conn returns the connection in use.
	Conn(ctx context.Context) (*grpc.ClientConn, error)
	// Failed says that c does not serve: the next Conn is another one.
	Failed(c *grpc.ClientConn)
}

// Client follows one snapshot.
type Client struct {
	conns   Connector
	nodeID  string
	types   []string
	handler Handler
	log     *slog.Logger
	m       *metrics

	received *received // used by Run only
	applied  atomic.Uint64
	current  atomic.Bool
}

// New makes a Client; Run does the work.
func New(o Options) *Client {
	c := &Client{
		conns: o.Conns, nodeID: o.NodeID, types: slices.Clone(o.Types), handler: o.Handler, log: o.Log,
		m: newMetrics(o.Reg), received: newReceived(o.Types),
	}
	if o.State.Checkpoint != nil {
		c.applied.Store(o.State.Checkpoint.GetRevision())
		c.m.revision.Set(float64(o.State.Checkpoint.GetRevision()))
		if err := c.received.restore(o.State); err != nil {
			c.log.Warn("stored snapshot does not match its checkpoint, a full one is asked for", "err", err)
		}
	}
	return c
}

// String names the task.
func (c *Client) String() string { return "ads" }

// Applied is the revision of the newest applied checkpoint; 0 if there is none.
func (c *Client) Applied() uint64 { return c.applied.Load() }

// Current reports whether a stream is open on which a checkpoint was applied.
func (c *Client) Current() bool { return c.current.Load() }

// longestWait bounds the wait before the next stream. Once a control plane that was away is back, all have a stream within
// ten seconds, however long it was away, each at a moment of its own.
const longestWait = 8 * time.Second

// Run keeps a stream until ctx ends. A stream that ended is opened again, after a wait that grows while
// no checkpoint is applied.
func (c *Client) Run(ctx context.Context) error {
	wait := backoff.Backoff{Max: longestWait}
	for ctx.Err() == nil {
		err := c.follow(ctx, &wait)
		if ctx.Err() != nil {
			break
		}
		c.m.ends.WithLabelValues(cause(err)).Inc()
		c.log.Info("stream ended", "err", err)
		if !wait.Wait(ctx) {
			break
		}
	}
	return nil
}

// follow runs one stream until it ends.
func (c *Client) follow(ctx context.Context, wait *backoff.Backoff) error {
	conn, err := c.conns.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	s, err := c.open(ctx, conn)
	if err == nil {
		defer s.end()
		c.m.connected.Set(1)
		err = s.run(func() {
			wait.Reset()
			c.current.Store(true)
		})
		c.current.Store(false)
		c.m.connected.Set(0)
	}
	if ctx.Err() == nil {
		c.conns.Failed(conn)
	}
	return err
}

// Errors that end a stream from this side.
var (
	errProtocol = errors.New("protocol")
	errDigest   = errors.New("digest mismatch")
	errBehind   = errors.New("replica is behind")
	errHandler  = errors.New("apply")
)

// cause is the label under which the end of a stream is counted.
func cause(err error) string {
	switch {
	case errors.Is(err, errProtocol):
		return "protocol"
	case errors.Is(err, errDigest):
		return "digest"
	case errors.Is(err, errBehind):
		return "behind"
	case errors.Is(err, errHandler):
		return "apply"
	}
	return "stream"
}

package join

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	enrollv1 "github.com/warrenedge/warren/api/enroll/v1"
	"github.com/warrenedge/warren/shared/backoff"
)

// Announcer says once a start where a node is reached: its file may have changed since it joined. Nothing that
// serves depends on it.
type Announcer struct {
	where Where
	conns Connector
	log   *slog.Logger
}

// NewAnnouncer makes an Announcer; Run does the work.
func NewAnnouncer(where Where, conns Connector, log *slog.Logger) *Announcer {
	return &Announcer{where, conns, log}
}

// String names the task.
func (a *Announcer) String() string { return "announcement" }

// Run tries until the control plane has heard it, and waits for the end of ctx.
func (a *Announcer) Run(ctx context.Context) error {
	wait := backoff.Backoff{Min: time.Second, Max: 10 * time.Minute}
	for {
		err := a.announce(ctx)
		if err == nil {
			<-ctx.Done()
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		a.log.Warn("not announced where this node is reached, trying again", "err", err)
		if !wait.Wait(ctx) {
			return nil
		}
	}
}

func (a *Announcer) announce(ctx context.Context) error {
	conn, err := a.conns.Conn(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_, err = enrollv1.NewEnrollmentServiceClient(conn).Announce(ctx, &enrollv1.AnnounceRequest{
		Addresses: a.where.addresses(), WireguardEndpoint: a.where.WireGuardEndpoint, StreamEndpoint: a.where.StreamEndpoint, GossipEndpoint: a.where.GossipEndpoint,
	})
	if err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	return nil
}

package join

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	enrollv1 "github.com/warrenedge/warren/api/enroll/v1"
	"github.com/warrenedge/warren/dataplane/dial"
	"github.com/warrenedge/warren/shared/backoff"
)

// Announcer says where a node is reached: once a start, as its file may have changed since it joined, and again
// whenever its name has other addresses. Nothing that serves depends on it.
type Announcer struct {
	where Where
	names *dial.Names
	moved chan struct{} // holds one: the name has other addresses
	conns Connector
	log   *slog.Logger
}

// NewAnnouncer makes an Announcer; Run does the work. lookup is the system's if it is nil.
func NewAnnouncer(where Where, lookup dial.Lookup, conns Connector, log *slog.Logger) *Announcer {
	a := &Announcer{where: where, moved: make(chan struct{}, 1), conns: conns, log: log}
	a.names = dial.NewNames(lookup, func(string) {
		select {
		case a.moved <- struct{}{}:
		default:
		}
	})
	if where.Name != "" {
		a.names.Every(where.Every)
		a.names.Apply([]string{where.Name})
	}
	return a
}

// String names the task.
func (a *Announcer) String() string { return "announcement" }

// Run announces until the control plane has heard it, and again after each change, until ctx ends.
func (a *Announcer) Run(ctx context.Context) error {
	named := make(chan struct{})
	go func() {
		defer close(named)
		a.names.Run(ctx)
	}()
	defer func() { <-named }()
	wait := backoff.Backoff{Min: time.Second, Max: 10 * time.Minute}
	for {
		where := a.now()
		if err := a.announce(ctx, where); err == nil {
			wait.Reset()
			if a.where.Name != "" {
				a.log.Info("announced where this node is reached", "name", a.where.Name, "addrs", where.Addresses)
			}
			select {
			case <-a.moved:
				continue
			case <-ctx.Done():
				return nil
			}
		} else if ctx.Err() == nil {
			a.log.Warn("not announced where this node is reached, trying again", "err", err)
		}
		if !wait.Wait(ctx) {
			return nil
		}
	}
}

// now is where the node is reached, with the addresses that its name has. While those are not known, none are said:
// what was announced before stays.
func (a *Announcer) now() Where {
	where := a.where
	if where.Name != "" {
		where.Addresses = a.names.Addrs(where.Name)
		slices.SortFunc(where.Addresses, netip.Addr.Compare)
	}
	return where
}

func (a *Announcer) announce(ctx context.Context, where Where) error {
	conn, err := a.conns.Conn(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_, err = enrollv1.NewEnrollmentServiceClient(conn).Announce(ctx, &enrollv1.AnnounceRequest{
		Addresses: where.addresses(), WireguardEndpoint: where.WireGuardEndpoint, StreamEndpoint: where.StreamEndpoint, GossipEndpoint: where.GossipEndpoint,
	})
	if err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	return nil
}

// Package reach connects a client to one of the targets that can serve it.
package reach

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/fabric"
)

// Time bounds finding a target that takes a connection.
const Time = 10 * time.Second

// ErrNoTarget is the error of a group that is empty.
var ErrNoTarget = errors.New("no target")

// DialFunc opens a stream to a target.
type DialFunc func(ctx context.Context, r fabric.Request) (net.Conn, error)

// Dialer connects to targets. Health says which seem able to serve, and learns what becomes of it.
type Dialer struct {
	Dial   DialFunc
	Health *balance.Health
	Log    *slog.Logger
}

// Any connects to a target of a group: each is tried once, until one connects or time is up. The request
// says all but target and site.
func (d *Dialer) Any(ctx context.Context, g *balance.Group, r fabric.Request) (net.Conn, balance.Target, error) {
	ctx, cancel := context.WithTimeout(ctx, Time)
	defer cancel()
	var tried []string
	last := ErrNoTarget
	for ctx.Err() == nil {
		t, ok := g.Pick(time.Now(), tried...)
		if !ok {
			break
		}
		r.Target, r.Site = t.ID, t.Site
		c, err := d.Dial(ctx, r)
		if err == nil {
			d.Health.Reached(t.ID)
			return c, t, nil
		}
		d.Log.Debug("dial target", "service", r.Service, "target", t.ID, "site", t.Site, "err", err)
		if noWay := fabric.NoWay(err); !errors.Is(context.Cause(ctx), context.Canceled) { // who is gone has found out nothing
			d.Health.Note(t.ID, time.Now(), err, noWay)
			if !noWay {
				d.Health.Failed(t.ID, time.Now())
			}
		}
		tried = append(tried, t.ID)
		last = fmt.Errorf("target %s: %w", t.ID, err)
	}
	return nil, balance.Target{}, last
}

// Package load asks a cluster from outside while a bench does something to it.
package load

import (
	"context"
	"sync"
	"time"

	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
)

// ahead is for how long clients ask before anything is done.
const ahead = 1500 * time.Millisecond

// Load is clients that ask all the time.
type Load struct {
	Clients []*lab.Prober

	running sync.WaitGroup
	cancel  context.CancelFunc
}

// Start starts clients and returns once they have asked for a while.
func Start(ctx context.Context, clients ...lab.Probe) (*Load, error) {
	l := &Load{}
	for _, c := range clients {
		p, err := lab.NewProber(c)
		if err != nil {
			return nil, err
		}
		l.Clients = append(l.Clients, p)
	}
	running, cancel := context.WithCancel(ctx)
	l.cancel = cancel
	for _, p := range l.Clients {
		l.running.Go(func() { _ = p.Run(running) })
	}
	if err := measure.Pause(ctx, ahead); err != nil {
		l.End()
		return nil, err
	}
	return l, nil
}

// Mark says that something was done just now.
func (l *Load) Mark(event string) {
	for _, p := range l.Clients {
		p.Mark(event)
	}
}

// End lets the clients finish. It may be repeated.
func (l *Load) End() []lab.Report {
	l.cancel()
	l.running.Wait()
	var out []lab.Report
	for _, p := range l.Clients {
		out = append(out, p.Report())
	}
	return out
}

// EndAfter is End some time later.
func (l *Load) EndAfter(ctx context.Context, d time.Duration) ([]lab.Report, error) {
	err := measure.Pause(ctx, d)
	return l.End(), err
}

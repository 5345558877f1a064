// Package passing removes what sets of manifests kept whose time is over: programs that publish something while they run may
// end without a word.
package passing

import (
	"context"
	"log/slog"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

// Every is how often it is looked.
const Every = 5 * time.Second

// Remover removes what one set kept that is over at a time, and returns the set; nil: there is none.
type Remover interface {
	RemovePassed(ctx context.Context, now time.Time) (*model.PassingSet, error)
}

// Worker looks for sets that are over. Several replicas may do so at once: each takes another set.
type Worker struct {
	from Remover
	log  *slog.Logger
}

// New makes a Worker; Run does the work.
func New(from Remover, log *slog.Logger) *Worker { return &Worker{from, log} }

// String names the task.
func (w *Worker) String() string { return "sets that pass" }

// Run works until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		for w.one(ctx) {
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// one removes one set and reports whether there may be another one.
func (w *Worker) one(ctx context.Context) bool {
	set, err := w.from.RemovePassed(ctx, time.Now())
	switch {
	case ctx.Err() != nil:
		return false
	case err != nil && set != nil:
		w.log.Warn("set of manifests not removed, it is tried again", "org", set.Org, "set", set.Name, "err", err)
		return true
	case err != nil:
		w.log.Warn("sets of manifests that are over not found", "err", err)
		return false
	case set == nil:
		return false
	}
	w.log.Info("set of manifests removed, nobody had renewed it", "org", set.Org, "set", set.Name)
	return true
}

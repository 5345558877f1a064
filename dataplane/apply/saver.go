package apply

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// saveAgain is how long a snapshot that could not be written waits for the next try.
const saveAgain = 5 * time.Second

// saver keeps the newest ledger on disk for the next start. What can't be written is served all the same, and
// written as soon as the disk takes it.
type saver struct {
	disk *Disk
	log  *slog.Logger
	m    metrics

	mu      sync.Mutex // held while the disk is written
	unsaved *ledger    // guarded by mu; applied, not written; nil: none
}

func newSaver(disk *Disk, log *slog.Logger, reg prometheus.Registerer) *saver {
	return &saver{disk: disk, log: log, m: newMetrics(reg)}
}

// save writes a ledger; if that fails, Keep goes on trying.
func (s *saver) save(l *ledger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.unsaved == nil
	s.unsaved = l
	s.tryLocked(first)
}

// tryLocked writes what is unsaved. A failure is logged when it is news.
func (s *saver) tryLocked(news bool) {
	if err := s.disk.save(s.unsaved); err != nil {
		s.m.saves.WithLabelValues("failed").Inc()
		s.m.unsaved.Set(1)
		if news {
			s.log.Error("snapshot not written, a restart would serve an older one; trying again until it is", "rev", s.unsaved.checkpoint.GetRevision(), "err", err)
		}
		return
	}
	if !news {
		s.log.Info("snapshot written at last", "rev", s.unsaved.checkpoint.GetRevision())
	}
	s.unsaved = nil
	s.m.saves.WithLabelValues("ok").Inc()
	s.m.unsaved.Set(0)
	s.m.saved.Set(float64(time.Now().Unix()))
}

// Keep writes what could not be written when it was applied, until ctx ends.
func (s *saver) Keep(ctx context.Context) error {
	tick := time.NewTicker(saveAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s.mu.Lock()
		if s.unsaved != nil {
			s.tryLocked(false)
		}
		s.mu.Unlock()
	}
}

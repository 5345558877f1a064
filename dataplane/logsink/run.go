package logsink

import (
	"context"
	"sync"
	"time"
)

// String names the task.
func (s *Sinks) String() string { return "log sinks" }

// Flush waits until what is queued was sent or lost, for so long at most.
func (s *Sinks) Flush(most time.Duration) {
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		waiting := int64(0)
		for _, k := range s.sinks {
			waiting += k.waiting.Load()
		}
		if waiting == 0 {
			return
		}
	}
}

// Run sends until ctx ends.
func (s *Sinks) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for i, k := range s.sinks {
		wg.Go(func() { s.run(ctx, i, k) })
	}
	wg.Wait()
	return nil
}

// Package backoff spaces out retries with full jitter, so that many clients that lost the same
// server do not come back at the same moment.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff yields growing random waits. The zero value waits between 0 and 100 ms first and up to
// 30 s at last. It is not safe for concurrent use.
type Backoff struct {
	Min, Max time.Duration // bounds of the ceiling; 100 ms and 30 s if zero
	ceiling  time.Duration // of the last wait; zero: none yet
}

// Next returns the next wait: uniform between 0 and a ceiling that doubles each time.
func (b *Backoff) Next() time.Duration {
	lo, hi := b.Min, b.Max
	if lo <= 0 {
		lo = 100 * time.Millisecond
	}
	if hi <= 0 {
		hi = 30 * time.Second
	}
	switch {
	case b.ceiling == 0:
		b.ceiling = min(lo, hi)
	case b.ceiling > hi/2:
		b.ceiling = hi
	default:
		b.ceiling *= 2
	}
	return rand.N(b.ceiling)
}

// Reset starts over; call it after a success.
func (b *Backoff) Reset() { b.ceiling = 0 }

// Wait sleeps for Next. It returns false as soon as ctx ends.
func (b *Backoff) Wait(ctx context.Context) bool {
	t := time.NewTimer(b.Next())
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil // both may be ready
	}
}

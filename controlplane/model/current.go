package model

import (
	"context"
	"sync/atomic"
)

// Current holds the newest Model. Safe for concurrent use.
type Current struct{ now atomic.Pointer[moment] }

type moment struct {
	m    *Model
	over chan struct{} // closed when there is a newer one
}

// NewCurrent starts with the empty model.
func NewCurrent() *Current {
	c := &Current{}
	c.now.Store(&moment{Empty(), make(chan struct{})})
	return c
}

// Get returns the newest model.
func (c *Current) Get() *Model { return c.now.Load().m }

// Set replaces the model and wakes those who wait.
func (c *Current) Set(m *Model) {
	old := c.now.Swap(&moment{m, make(chan struct{})})
	close(old.over)
}

// Wait blocks until the model has reached rev, or ctx ends, and returns the newest model.
func (c *Current) Wait(ctx context.Context, rev Revision) (*Model, error) {
	for {
		now := c.now.Load()
		if now.m.rev >= rev {
			return now.m, nil
		}
		select {
		case <-ctx.Done():
			return now.m, ctx.Err()
		case <-now.over:
		}
	}
}

// Changed returns a channel that closes when the model is replaced. Take it before Get: then nothing is missed.
func (c *Current) Changed() <-chan struct{} { return c.now.Load().over }

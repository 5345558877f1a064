package presence

import "context"

// Memory is the Bus of a replica that has no others.
type Memory struct{}

// Put implements Bus.
func (Memory) Put(context.Context, Entry, bool) {}

// Drop implements Bus.
func (Memory) Drop(context.Context, Key) {}

// Run implements Bus.
func (Memory) Run(ctx context.Context, _ Receiver) error { <-ctx.Done(); return nil }

// Live implements Bus: there is nobody to miss.
func (Memory) Live() bool { return true }

package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// reviewEvery is how often what is open is looked at although nobody was told anything: tokens expire.
const reviewEvery = time.Second

// Open is what visitors have open: requests under way, streams, upgraded connections. What its owner may no longer have
// is ended. Safe for concurrent use.
type Open struct {
	shards [64]shard
	turn   atomic.Uint32
	now    chan struct{} // one token
}

type shard struct {
	mu   sync.Mutex
	open map[*exchange]struct{} // guarded by mu
	_    [40]byte               // each on a cache line of its own
}

type exchange struct {
	good func(now time.Time) bool
	end  func()
}

// NewOpen makes an Open with nothing in it. Run looks after it.
func NewOpen() *Open {
	o := &Open{now: make(chan struct{}, 1)}
	for i := range o.shards {
		o.shards[i].open = map[*exchange]struct{}{}
	}
	return o
}

// Add puts something in until leave is called. As soon as good says no, end is called, once. Both may be called from
// another goroutine, until leave has returned.
func (o *Open) Add(good func(now time.Time) bool, end func()) (leave func()) {
	s, x := &o.shards[o.turn.Add(1)%uint32(len(o.shards))], &exchange{good, end}
	s.mu.Lock()
	s.open[x] = struct{}{}
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, x)
	}
}

// Review has all of it looked at as soon as possible: somebody was revoked, or a policy has changed.
func (o *Open) Review() {
	select {
	case o.now <- struct{}{}:
	default: // one is to come
	}
}

// String names the task.
func (o *Open) String() string { return "open exchanges" }

// Run looks until ctx ends.
func (o *Open) Run(ctx context.Context) error {
	tick := time.NewTicker(reviewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-o.now:
		case <-tick.C:
		}
		o.review(time.Now())
	}
}

func (o *Open) review(now time.Time) {
	for i := range o.shards {
		o.shards[i].review(now)
	}
}

func (s *shard) review(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for x := range s.open {
		if !x.good(now) {
			delete(s.open, x)
			x.end()
		}
	}
}

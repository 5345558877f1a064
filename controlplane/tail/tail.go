// Package tail shows requests that are over to who watches, on whichever replica he and their node are.
//
// Nothing here is kept. Who watches too slowly misses requests, and is told how many; while the replicas can't hear each
// other he sees those of the nodes of his own. Replicas send each other only what somebody watches.
package tail

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

const (
	maxTails = 256  // of a replica
	room     = 1024 // requests that who watches may be late with
	wantTime = 6 * time.Second
)

// Batch is what has become known of an organization's requests.
type Batch struct {
	Org      model.OrgID         `json:"org"`
	Requests []*model.Request    `json:"requests,omitempty"`
	Gaps     []*model.RequestGap `json:"gaps,omitempty"`
}

// Hub is one replica's part. Safe for concurrent use.
type Hub struct {
	bus     *valkeyBus // nil: there are no others
	log     *slog.Logger
	dropped prometheus.Counter

	mu     sync.Mutex
	ended  bool                      // guarded by mu
	tails  map[*Tail]struct{}        // guarded by mu
	wanted map[model.OrgID]time.Time // guarded by mu; what other replicas want to hear of, until when
}

// New makes a Hub. url is of a Valkey or Redis that the replicas share, "" if there is one replica.
func New(url string, log *slog.Logger, reg prometheus.Registerer) (*Hub, error) {
	h := &Hub{log: log, tails: map[*Tail]struct{}{}, wanted: map[model.OrgID]time.Time{}, dropped: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "cp_tail_dropped_total", Help: "Requests that who watched was not shown, because he or another replica was slow."})}
	watching := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cp_tail_watching", Help: "Who watches requests at this replica."}, func() float64 {
		h.mu.Lock()
		defer h.mu.Unlock()
		return float64(len(h.tails))
	})
	reg.MustRegister(h.dropped, watching)
	if url == "" {
		return h, nil
	}
	bus, err := newValkeyBus(url, h)
	h.bus = bus
	return h, err
}

// String names the task.
func (h *Hub) String() string { return "tail" }

// Run hears the other replicas until ctx ends; then nobody watches any more.
func (h *Hub) Run(ctx context.Context) error {
	if h.bus != nil {
		h.bus.run(ctx)
	}
	<-ctx.Done()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	for t := range h.tails {
		h.endLocked(t)
	}
	return nil
}

// Tail is what one watches.
type Tail struct {
	hub     *Hub
	org     model.OrgID
	match   func(*model.Request) bool
	items   chan Item
	dropped atomic.Uint64
}

// Item is a request, or a gap.
type Item struct {
	Request *model.Request
	Gap     *model.RequestGap
}

// Watch begins to show the requests of an organization that match. Close must follow.
func (h *Hub) Watch(org model.OrgID, match func(*model.Request) bool) (*Tail, error) {
	t := &Tail{hub: h, org: org, match: match, items: make(chan Item, room)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended || len(h.tails) >= maxTails {
		return nil, fault.New(fault.Unavailable, "too many watch requests at this replica")
	}
	h.tails[t] = struct{}{}
	if h.bus != nil {
		h.bus.ask()
	}
	return t, nil
}

// Items are what is to be shown, until the channel is closed.
func (t *Tail) Items() <-chan Item { return t.items }

// Dropped is how many requests were not shown since it was last asked.
func (t *Tail) Dropped() uint64 { return t.dropped.Swap(0) }

// Close ends it.
func (t *Tail) Close() {
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	t.hub.endLocked(t)
}

func (h *Hub) endLocked(t *Tail) {
	if _, ok := h.tails[t]; ok {
		delete(h.tails, t)
		close(t.items)
	}
}

// Publish shows what the nodes of this replica have told to who watches it, anywhere. It never waits.
func (h *Hub) Publish(b Batch) {
	if len(b.Requests)+len(b.Gaps) == 0 {
		return
	}
	h.show(b)
	if h.bus == nil {
		return
	}
	h.mu.Lock()
	until, ok := h.wanted[b.Org]
	h.mu.Unlock()
	if ok && time.Now().Before(until) && !h.bus.send(b) {
		h.dropped.Add(float64(len(b.Requests)))
	}
}

// Wanted reports whether anybody watches an organization.
func (h *Hub) Wanted(org model.OrgID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Now().Before(h.wanted[org]) {
		return true
	}
	for t := range h.tails {
		if t.org == org {
			return true
		}
	}
	return false
}

// show gives a batch to who watches here.
func (h *Hub) show(b Batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for t := range h.tails {
		if t.org != b.Org {
			continue
		}
		for _, r := range b.Requests {
			if t.match(r) {
				h.putLocked(t, Item{Request: r}, 1)
			}
		}
		for _, g := range b.Gaps {
			h.putLocked(t, Item{Gap: g}, uint64(g.Requests))
		}
	}
}

func (h *Hub) putLocked(t *Tail, i Item, requests uint64) {
	select {
	case t.items <- i:
	default:
		t.dropped.Add(requests)
		h.dropped.Add(float64(requests))
	}
}

// watched are the organizations that somebody watches here.
func (h *Hub) watched() []model.OrgID {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[model.OrgID]bool{}
	for t := range h.tails {
		all[t.org] = true
	}
	return slices.SortedFunc(maps.Keys(all), model.OrgID.Compare)
}

// want notes what another replica wants to hear of.
func (h *Hub) want(orgs []model.OrgID) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.wanted, func(_ model.OrgID, until time.Time) bool { return now.After(until) })
	for _, o := range orgs {
		h.wanted[o] = now.Add(wantTime)
	}
}

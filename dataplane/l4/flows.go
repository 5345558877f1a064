package l4

import (
	"container/list"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenedge/warren/dataplane/inbound"
)

// idleFlow is how long a flow may say nothing either way.
const idleFlow = 60 * time.Second

// maxFlows is how many flows there may be, whatever the process's files allow.
const maxFlows = 16384

// flowID names a flow: who asks, where. It is what a NAT would go by.
type flowID struct {
	port   *port
	client netip.AddrPort
	local  netip.Addr // of ours that was asked; invalid if the system does not say
}

// flow is a UDP client and the one target that it has until it falls silent.
type flow struct {
	id      flowID
	service string
	cut     func()
	queue   queue
	in      atomic.Int64 // bytes from the client

	// Of the table.
	target   string // that it is connected to; "" before that
	last     time.Time
	answered bool // the target has sent something
	proven   bool // the client has, after that: its address is no invention
	inAll    *list.Element
	inSource *list.Element
}

// flows are the flows of all ports, within bounds: so many of each source, so many in all. Where one more
// would be too many, the one that has been silent longest goes, and of all flows one whose client has not
// proven its address before any other: a flood of forged addresses pushes out its own. Time is an argument.
type flows struct {
	each, all int

	mu       sync.Mutex
	byID     map[flowID]*flow
	bySource map[netip.Addr]*list.List // longest silent first
	strange  *list.List                // not proven; longest silent first
	proven   *list.List                // longest silent first
}

func newFlows(each, all int) *flows {
	return &flows{each: each, all: all, byID: map[flowID]*flow{}, bySource: map[netip.Addr]*list.List{}, strange: list.New(), proven: list.New()}
}

// sent gives the flow of a datagram from a client, if there is one.
func (t *flows) sent(id flowID, now time.Time) *flow {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.byID[id]
	if f == nil {
		return nil
	}
	if f.answered && !f.proven {
		t.strange.Remove(f.inAll)
		f.proven, f.inAll = true, t.proven.PushBack(f)
	}
	t.touch(f, now)
	return f
}

// answered notes a datagram from a target.
func (t *flows) answered(f *flow, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[f.id] == f {
		f.answered = true
		t.touch(f, now)
	}
}

func (t *flows) touch(f *flow, now time.Time) {
	f.last = now
	t.listOf(f).MoveToBack(f.inAll)
	t.bySource[source(f)].MoveToBack(f.inSource)
}

func (t *flows) listOf(f *flow) *list.List {
	if f.proven {
		return t.proven
	}
	return t.strange
}

func source(f *flow) netip.Addr { return inbound.Bucket(f.id.client.Addr()) }

// add takes a flow in and gives the one that had to go, if any.
func (t *flows) add(f *flow, now time.Time) (gone *flow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	src := source(f)
	switch own := t.bySource[src]; {
	case own != nil && own.Len() >= t.each:
		gone = own.Front().Value.(*flow)
	case len(t.byID) >= t.all && t.strange.Len() > 0:
		gone = t.strange.Front().Value.(*flow)
	case len(t.byID) >= t.all:
		gone = t.proven.Front().Value.(*flow)
	}
	if gone != nil {
		t.drop(gone)
	}
	own := t.bySource[src]
	if own == nil {
		own = list.New()
		t.bySource[src] = own
	}
	f.last = now
	f.inAll, f.inSource = t.strange.PushBack(f), own.PushBack(f)
	t.byID[f.id] = f
	return gone
}

// connected notes the target of a flow. It is false if the flow has gone meanwhile.
func (t *flows) connected(f *flow, target string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.target = target
	return t.byID[f.id] == f
}

// remove forgets a flow. It is false if that has happened before.
func (t *flows) remove(f *flow) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[f.id] != f {
		return false
	}
	t.drop(f)
	return true
}

// expire forgets the flows that have been silent for too long, and gives them.
func (t *flows) expire(now time.Time) (gone []*flow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range []*list.List{t.strange, t.proven} {
		for e := l.Front(); e != nil && now.Sub(e.Value.(*flow).last) >= idleFlow; e = l.Front() {
			gone = append(gone, e.Value.(*flow))
			t.drop(e.Value.(*flow))
		}
	}
	return gone
}

// take forgets the flows that match, and gives them.
func (t *flows) take(match func(*flow) bool) (gone []*flow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.byID {
		if match(f) {
			gone = append(gone, f)
			t.drop(f)
		}
	}
	return gone
}

func (t *flows) drop(f *flow) {
	delete(t.byID, f.id)
	t.listOf(f).Remove(f.inAll)
	src := source(f)
	if own := t.bySource[src]; own.Len() == 1 {
		delete(t.bySource, src)
	} else {
		own.Remove(f.inSource)
	}
}

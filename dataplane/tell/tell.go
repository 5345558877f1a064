// Package tell tells the control plane what became of requests, as far as it listens.
//
// What nobody has taken waits, within bounds: the oldest records go first, and are counted as missing from the log; what was
// counted waits for an hour. The control plane stores a batch before it answers, so one that was not answered is sent again.
package tell

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/requestlog"
	"github.com/warrenedge/warren/shared/backoff"
	"github.com/warrenedge/warren/shared/policy"
)

// Bounds of what waits, and of waiting.
const (
	mostBatches = 64  // of mostRecords each
	mostWindows = 240 // an hour of them, of few services
	answerTime  = 15 * time.Second
	againMost   = 30 * time.Second
)

// Connector gives connections to the control plane.
type Connector interface {
	Conn(ctx context.Context) (*grpc.ClientConn, error)
	Failed(*grpc.ClientConn)
}

// Log is what records were collected by; it learns which are lost.
type Log interface {
	Unlogged(of requestlog.RateKey, n uint64)
}

// Teller implements requestlog.Consumer.
type Teller struct {
	conns   Connector
	lost    Log
	log     *slog.Logger
	m       *metrics
	process uint64
	news    chan struct{} // one place: there is something to send

	mu      sync.Mutex
	whys    map[policy.Decision]string // guarded by mu
	open    *batch                     // guarded by mu; nil: empty
	batches []*batch                   // guarded by mu; closed, the oldest first
	windows []*nodev1.Window           // guarded by mu; the oldest first
	sent    *sending                   // guarded by mu; what was sent and is not answered
	number  uint64                     // guarded by mu; of the last batch
	room    int                        // guarded by mu; records of the last one
	empty   chan struct{}              // guarded by mu; closed when nothing waits; nil: nobody asks
}

// sending is a batch on its way.
type sending struct {
	records *batch // nil: none
	windows []*nodev1.Window
	msg     *nodev1.TellRequest
}

type metrics struct {
	records prometheus.Counter
	lost    prometheus.Counter
	windows prometheus.Counter
}

// New makes a Teller; Run does the work.
func New(conns Connector, lost Log, log *slog.Logger, reg prometheus.Registerer) *Teller {
	t := &Teller{conns: conns, lost: lost, log: log, process: rand.Uint64(), news: make(chan struct{}, 1), whys: map[policy.Decision]string{}, m: &metrics{
		records: prometheus.NewCounter(prometheus.CounterOpts{Name: "node_tell_records_total", Help: "Records that the control plane has stored."}),
		lost:    prometheus.NewCounter(prometheus.CounterOpts{Name: "node_tell_dropped_total", Help: "Records that nobody took for too long."}),
		windows: prometheus.NewCounter(prometheus.CounterOpts{Name: "node_tell_windows_dropped_total", Help: "Windows of rates, or parts of them, that nobody took for too long."}),
	}}
	depth := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "node_tell_waiting", Help: "Batches of records that wait to be told."}, func() float64 {
		t.mu.Lock()
		defer t.mu.Unlock()
		return float64(len(t.batches))
	})
	reg.MustRegister(t.m.records, t.m.lost, t.m.windows, depth)
	return t
}

// Records implements requestlog.Consumer.
func (t *Teller) Records(list []requestlog.Record) {
	t.mu.Lock()
	var gone []*batch
	for i := range list {
		if t.open == nil {
			t.open = newBatch(min(max(len(list)-i, t.room), mostRecords))
		}
		t.open.record(&list[i], t.whys)
		if t.open.full() {
			gone = append(gone, t.closeLocked()...)
		}
	}
	t.mu.Unlock()
	t.drop(gone)
	t.wake()
}

// closeLocked ends the open batch, and gives those that have to go for it.
func (t *Teller) closeLocked() (gone []*batch) {
	t.batches = append(t.batches, t.open)
	t.open = nil
	for len(t.batches) > mostBatches {
		gone = append(gone, t.batches[0])
		t.batches = t.batches[1:]
	}
	return gone
}

func (t *Teller) drop(gone []*batch) {
	for _, b := range gone {
		t.m.lost.Add(float64(len(b.msg.At)))
		for k, n := range b.lost() {
			t.lost.Unlogged(k, n)
		}
	}
}

// Counted implements requestlog.Consumer.
func (t *Teller) Counted(c requestlog.Counted) {
	t.mu.Lock()
	t.windows = append(t.windows, windows(c)...)
	if more := len(t.windows) - mostWindows; more > 0 {
		t.m.windows.Add(float64(more))
		t.windows = t.windows[more:]
	}
	t.mu.Unlock()
	t.wake()
}

// Sums tells what was counted and no record: these count as missing from the log, which they are.
type Sums struct{ *Teller }

// Records implements requestlog.Consumer.
func (s Sums) Records(list []requestlog.Record) {
	kept := map[requestlog.RateKey]uint64{}
	for i := range list {
		kept[requestlog.RateKey{Service: list[i].Service, Site: list[i].Site}]++
	}
	for of, n := range kept {
		s.lost.Unlogged(of, n)
	}
}

func (t *Teller) wake() {
	select {
	case t.news <- struct{}{}:
	default:
	}
}

// String names the task.
func (t *Teller) String() string { return "tell" }

// Run tells until ctx ends.
func (t *Teller) Run(ctx context.Context) error {
	wait := backoff.Backoff{Min: 500 * time.Millisecond, Max: againMost}
	for ctx.Err() == nil {
		err := t.stream(ctx, wait.Reset)
		if ctx.Err() != nil {
			break
		}
		t.log.Debug("traffic is not told", "err", err)
		if !wait.Wait(ctx) {
			break
		}
	}
	return nil
}

// Flush waits until all has been told, for so long at most.
func (t *Teller) Flush(most time.Duration) {
	t.mu.Lock()
	empty := make(chan struct{})
	t.empty = empty
	t.settleLocked()
	t.mu.Unlock()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-empty:
	case <-timer.C:
	}
}

// settleLocked tells who flushes that nothing waits.
func (t *Teller) settleLocked() {
	if t.empty != nil && t.open == nil && t.sent == nil && len(t.batches)+len(t.windows) == 0 {
		close(t.empty)
		t.empty = nil
	}
}

// next is what to send: what was sent without being answered, or else the oldest; nil: nothing.
func (t *Teller) next() *sending {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sent != nil {
		return t.sent
	}
	s := &sending{}
	switch {
	case len(t.batches) > 0:
		s.records, t.batches = t.batches[0], t.batches[1:]
	case t.open != nil:
		s.records, t.open = t.open, nil
	}
	for rates := 0; len(t.windows) > 0; {
		w := t.windows[0]
		if rates += len(w.Rates); rates > mostRates && len(s.windows) > 0 {
			break
		}
		s.windows, t.windows = append(s.windows, w), t.windows[1:]
	}
	if s.records == nil && len(s.windows) == 0 {
		return nil
	}
	t.number++
	s.msg = &nodev1.TellRequest{Batch: t.number, Process: t.process, Windows: s.windows}
	if s.records != nil {
		s.msg.Records, t.room = s.records.msg, len(s.records.msg.At)
	}
	t.sent = s
	return s
}

func (t *Teller) stored(s *sending) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent = nil
	if s.records != nil {
		t.m.records.Add(float64(len(s.records.msg.At)))
	}
	t.settleLocked()
}

var (
	errSilent    = errors.New("no answer to a batch")
	errNotStored = errors.New("a batch was not stored")
)

// stream tells on one stream until it ends, or a batch is not stored.
func (t *Teller) stream(ctx context.Context, stored func()) error {
	conn, err := t.conns.Conn(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := nodev1.NewTrafficServiceClient(conn).Tell(ctx)
	if err != nil {
		t.conns.Failed(conn)
		return err
	}
	answers, ended := make(chan *nodev1.TellResponse), make(chan error, 1)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer cancel()
	reader.Go(func() {
		for {
			r, err := s.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case answers <- r:
			case <-ctx.Done():
				return
			}
		}
	})
	err = t.tell(ctx, s, answers, ended, stored)
	switch {
	case errors.Is(err, errNotStored):
	case status.Code(err) == codes.InvalidArgument: // nobody will take it
		t.give(err)
	default:
		t.conns.Failed(conn)
	}
	return err
}

// give gives up the batch that was sent: another release of the control plane does not know what it says.
func (t *Teller) give(err error) {
	t.mu.Lock()
	s := t.sent
	t.sent = nil
	t.settleLocked()
	t.mu.Unlock()
	if s == nil {
		return
	}
	t.log.Warn("the control plane refuses what it is told of traffic", "err", err)
	t.m.windows.Add(float64(len(s.windows)))
	if s.records != nil {
		t.drop([]*batch{s.records})
	}
}

func (t *Teller) tell(ctx context.Context, s nodev1.TrafficService_TellClient, answers <-chan *nodev1.TellResponse, ended <-chan error, stored func()) error {
	for {
		next := t.next()
		if next == nil {
			select {
			case <-t.news:
				continue
			case err := <-ended:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := s.Send(next.msg); err != nil {
			return <-ended // the reason
		}
		timer := time.NewTimer(answerTime)
		select {
		case a := <-answers:
			timer.Stop()
			if a.GetBatch() != next.msg.GetBatch() || !a.GetStored() {
				return errNotStored
			}
			t.stored(next)
			stored()
		case err := <-ended:
			timer.Stop()
			return err
		case <-timer.C:
			return errSilent
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

package requestlog

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/shared/loglinear"
)

// Bounds of a Log.
const (
	shards    = 8
	most      = 4096             // records of a shard; one more is not kept
	wakeAt    = most / 4         // collect then, if it is not time anyway
	mostRates = 4096             // services and sites of a shard in a window; further ones are not counted
	Every     = time.Second      // how often records are collected
	Window    = 15 * time.Second // how long it is counted into one; windows begin at multiples of it
)

// StatusClasses are how Rate counts statuses: those without one, 1xx to 5xx.
const StatusClasses = 6

// Rate is how much there was of a service and a site in a window.
type Rate struct {
	Requests, Denied, Failed uint64
	Statuses                 [StatusClasses]uint64
	In, Out                  uint64
	Unlogged                 uint64                    // requests whose records were not kept
	Took                     [loglinear.Buckets]uint32 // by bucket
}

// RateKey is what a Rate is of.
type RateKey struct{ Service, Site string }

// Counted is what was counted in a window.
type Counted struct {
	Start time.Time
	Rates map[RateKey]*Rate
}

// Consumer takes what is collected. It is called by one goroutine, and keeps nothing of its arguments' memory.
type Consumer interface {
	Records([]Record)
	Counted(Counted)
}

// Log collects records. A nil Log takes them and forgets them. Safe for concurrent use.
type Log struct {
	seed      maphash.Seed
	shard     [shards]shard
	wake      chan struct{} // one place: a shard fills up
	consumers []Consumer
	spare     []Record // of Collect: memory for a shard
	m         *metrics
}

type shard struct {
	mu      sync.Mutex
	records []Record          // guarded by mu
	rates   map[RateKey]*Rate // guarded by mu
	_       [64]byte          // no two of them share a cache line
}

type metrics struct {
	records   prometheus.Counter
	dropped   prometheus.Counter
	uncounted prometheus.Counter
}

// New makes a Log; Run passes on what is added.
func New(reg prometheus.Registerer) *Log {
	l := &Log{seed: maphash.MakeSeed(), wake: make(chan struct{}, 1), m: &metrics{
		records:   prometheus.NewCounter(prometheus.CounterOpts{Name: "node_request_log_records_total", Help: "Requests, connections and flows that were over, as far as there was room for a record."}),
		dropped:   prometheus.NewCounter(prometheus.CounterOpts{Name: "node_request_log_dropped_total", Help: "Records that had no room; they are counted in the rates all the same."}),
		uncounted: prometheus.NewCounter(prometheus.CounterOpts{Name: "node_request_log_uncounted_total", Help: "Requests that were not counted, because there were too many services and sites at once."}),
	}}
	for i := range l.shard {
		l.shard[i].rates = map[RateKey]*Rate{}
	}
	reg.MustRegister(l.m.records, l.m.dropped, l.m.uncounted)
	return l
}

// Consume adds who takes what is collected. It is called before Run.
func (l *Log) Consume(c Consumer) { l.consumers = append(l.consumers, c) }

// String names the task.
func (l *Log) String() string { return "request log" }

// Add takes a record of something that is over. It never waits for anything but another Add.
func (l *Log) Add(r *Record) {
	if l == nil {
		return
	}
	s := &l.shard[maphash.String(l.seed, r.Service)%shards]
	s.mu.Lock()
	rate := s.rate(RateKey{r.Service, r.Site})
	full := len(s.records) >= most
	if !full {
		s.records = append(s.records, *r)
	}
	ring := len(s.records) == wakeAt
	if rate != nil {
		rate.add(r, full)
	}
	s.mu.Unlock()
	if rate == nil {
		l.m.uncounted.Inc()
	}
	if full {
		l.m.dropped.Inc()
	} else if ring {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Unlogged counts records of a window that were lost on their way.
func (l *Log) Unlogged(of RateKey, n uint64) {
	s := &l.shard[maphash.String(l.seed, of.Service)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rate(of); r != nil {
		r.Unlogged += n
	}
}

// rate is what is counted of a key; nil if there are too many. It needs the lock.
func (s *shard) rate(k RateKey) *Rate {
	r := s.rates[k]
	if r == nil && len(s.rates) < mostRates {
		r = new(Rate)
		s.rates[k] = r
	}
	return r
}

func (c *Rate) add(r *Record, unlogged bool) {
	c.Requests++
	c.In += uint64(max(r.In, 0))
	c.Out += uint64(max(r.Out, 0))
	if class := r.Status / 100; class > 0 && class < StatusClasses {
		c.Statuses[class]++
	} else {
		c.Statuses[0]++
	}
	if r.Decision == Denied {
		c.Denied++
	}
	if r.Failed() {
		c.Failed++
	}
	if unlogged {
		c.Unlogged++
	}
	c.Took[loglinear.Index(r.Total)]++
}

// Run passes on what is added until ctx ends, and then what is left.
func (l *Log) Run(ctx context.Context) error {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	window := time.Now().Truncate(Window)
	for {
		ended := false
		select {
		case <-ctx.Done():
			ended = true
		case <-l.wake:
		case <-tick.C:
		}
		l.Collect()
		if now := time.Now().Truncate(Window); ended || !now.Equal(window) {
			l.count(window)
			window = now
		}
		if ended {
			return nil
		}
	}
}

// Collect passes on what there is, at once. Run does so by itself; only one of them may.
func (l *Log) Collect() {
	for i := range l.shard {
		l.spare = l.collect(&l.shard[i], l.spare)
	}
}

// collect passes the records of a shard on, and gives their memory back for the next one.
func (l *Log) collect(s *shard, spare []Record) []Record {
	s.mu.Lock()
	if len(s.records) == 0 {
		s.mu.Unlock()
		return spare
	}
	taken := s.records
	s.records = spare
	s.mu.Unlock()
	l.m.records.Add(float64(len(taken)))
	for _, c := range l.consumers {
		c.Records(taken)
	}
	clear(taken) // it holds on to the requests' memory
	return taken[:0]
}

// count passes on what was counted since the window began.
func (l *Log) count(window time.Time) {
	all := Counted{Start: window, Rates: map[RateKey]*Rate{}}
	for i := range l.shard {
		s := &l.shard[i]
		s.mu.Lock()
		taken := s.rates
		s.rates = make(map[RateKey]*Rate, len(taken))
		s.mu.Unlock()
		for k, r := range taken {
			all.Rates[k] = r
		}
	}
	if len(all.Rates) == 0 {
		return
	}
	for _, c := range l.consumers {
		c.Counted(all)
	}
}

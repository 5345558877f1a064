package requestlog

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/loglinear"
	"github.com/warrenedge/warren/shared/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// consumer keeps what it is given.
type consumer struct {
	mu      sync.Mutex
	records []Record
	counted []Counted
}

func (c *consumer) Records(r []Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records = append(c.records, r...)
}

func (c *consumer) Counted(w Counted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counted = append(c.counted, w)
}

// so is what there is by now.
func (c *consumer) so() ([]Record, []Counted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.records), slices.Clone(c.counted)
}

func run(l *Log) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Run(ctx) }()
	return func() { cancel(); <-done }
}

func TestWhatIsAddedIsPassedOn(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		l, c := New(prometheus.NewRegistry()), &consumer{}
		l.Consume(c)
		stop := run(l)
		start := time.Now().Truncate(Window)
		for i := range 100 {
			l.Add(&Record{ID: NewID(), Service: fmt.Sprint("service_", i%3), Site: "site_a", Status: 200 + 300*(i%2), In: 1, Out: 2, Total: time.Millisecond, Client: netip.IPv6Loopback()})
		}
		l.Add(&Record{Service: "service_0", Decision: Denied, Error: "cut"})
		time.Sleep(Every)
		synctest.Wait()
		if records, counted := c.so(); len(records) != 101 || len(counted) != 0 {
			t.Errorf("%d records and %d windows after a second", len(records), len(counted))
		}
		time.Sleep(Window)
		synctest.Wait()
		_, counted := c.so()
		if len(counted) != 1 || !counted[0].Start.Equal(start) {
			t.Fatalf("%+v", counted)
		}
		r := counted[0].Rates[RateKey{"service_1", "site_a"}]
		if r.Requests != 33 || r.Statuses != [6]uint64{2: 16, 5: 17} || r.Failed != 17 || r.In != 33 || r.Out != 66 || r.Unlogged != 0 || r.Took[loglinear.Index(time.Millisecond)] != 33 {
			t.Errorf("%+v", r)
		}
		if r := counted[0].Rates[RateKey{"service_0", ""}]; r.Requests != 1 || r.Denied != 1 || r.Failed != 1 || r.Statuses[0] != 1 {
			t.Errorf("%+v", r)
		}
		l.Add(&Record{Service: "service_0"})
		stop() // what is left is passed on at the end
		if len(c.records) != 102 || len(c.counted) != 2 {
			t.Errorf("%d records and %d windows at the end", len(c.records), len(c.counted))
		}
	})
}

// Records without room are not kept, and counted; what is counted is complete.
func TestNothingGrowsBeyondItsBounds(t *testing.T) {
	l, c := New(prometheus.NewRegistry()), &consumer{}
	l.Consume(c)
	for range most + 10 { // nobody collects
		l.Add(&Record{Service: "service_a"})
	}
	l.Unlogged(RateKey{"service_a", ""}, 5)
	if n := testutil.ToFloat64(l.m.dropped); n != 10 {
		t.Errorf("%v dropped, want 10", n)
	}
	for i := range mostRates * shards * 2 {
		l.Add(&Record{Service: fmt.Sprint("service_", i)})
	}
	if n := testutil.ToFloat64(l.m.uncounted); n < mostRates*shards/2 {
		t.Errorf("%v not counted", n)
	}
	run(l)()
	if len(c.records) > most*shards || len(c.counted) != 1 || len(c.counted[0].Rates) > mostRates*shards {
		t.Errorf("%d records", len(c.records))
	}
	if r := c.counted[0].Rates[RateKey{"service_a", ""}]; r.Requests != most+10 || r.Unlogged != 15 {
		t.Errorf("%d requests, %d of them not logged", r.Requests, r.Unlogged)
	}
}

func TestWhoHasNoLog(t *testing.T) {
	var l *Log
	l.Add(&Record{})
	if got := (&Record{ByPolicy: true, Policy: policy.Decision{Action: policy.Deny, Rule: 2}}).Why(); got != "rule 3, the rule says so" {
		t.Errorf("%q", got)
	}
	for k, want := range []string{"http", "tls", "tcp", "udp"} {
		if Kind(k).String() != want {
			t.Errorf("%d: %s", k, Kind(k))
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	l := New(prometheus.NewRegistry())
	l.Consume(&nobody{})
	stop := run(l)
	defer stop()
	r := Record{At: time.Now(), ID: NewID(), Service: "service_0123456789", Site: "site_0123456789", Host: "wiki.example.org", Path: "/a/b/c", Method: "GET", Status: 200, Total: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		l.Add(&r)
	}
}

type nobody struct{}

func (nobody) Records([]Record) {}
func (nobody) Counted(Counted)  {}

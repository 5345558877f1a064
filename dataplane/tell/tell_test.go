package tell

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/requestlog"
	"github.com/warrenedge/warren/shared/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// control takes what is told, as long as it wants.
type control struct {
	nodev1.UnimplementedTrafficServiceServer
	took chan *nodev1.TellRequest

	mu     sync.Mutex
	refuse int // batches that are not stored
	cut    int // batches after which the stream ends without an answer
	wrong  int // batches that are refused for good
}

func (c *control) Tell(s grpc.BidiStreamingServer[nodev1.TellRequest, nodev1.TellResponse]) error {
	for {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		c.mu.Lock()
		refuse, cut := c.refuse > 0, c.cut > 0
		if c.refuse, c.cut = max(0, c.refuse-1), max(0, c.cut-1); refuse {
			cut = false
		}
		c.mu.Unlock()
		c.mu.Lock()
		wrong := c.wrong > 0
		c.wrong = max(0, c.wrong-1)
		c.mu.Unlock()
		if wrong {
			return status.Error(codes.InvalidArgument, "malformed")
		}
		select {
		case c.took <- m:
		case <-s.Context().Done():
			return nil
		}
		if cut {
			return nil
		}
		if err := s.Send(&nodev1.TellResponse{Batch: m.GetBatch(), Stored: !refuse}); err != nil {
			return err
		}
	}
}

func (c *control) next(t *testing.T) *nodev1.TellRequest {
	t.Helper()
	select {
	case m := <-c.took:
		return m
	case <-time.After(30 * time.Second):
		t.Fatal("nothing is told")
		return nil
	}
}

type conns struct {
	addr string
	mu   sync.Mutex
	c    *grpc.ClientConn
}

func (o *conns) Conn(context.Context) (_ *grpc.ClientConn, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.c == nil {
		o.c, err = grpc.NewClient("passthrough:///"+o.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	return o.c, err
}

func (o *conns) Failed(c *grpc.ClientConn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c != nil && o.c == c {
		_ = o.c.Close()
		o.c = nil
	}
}

type lost struct {
	mu sync.Mutex
	n  map[requestlog.RateKey]uint64
}

func (l *lost) Unlogged(k requestlog.RateKey, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n[k] += n
}

func newTeller(t *testing.T) (*control, *Teller, *lost, func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &control{took: make(chan *nodev1.TellRequest)}
	srv := grpc.NewServer()
	nodev1.RegisterTrafficServiceServer(srv, c)
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(l) }()
	o, gone := &conns{addr: l.Addr().String()}, &lost{n: map[requestlog.RateKey]uint64{}}
	teller := New(o, gone, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	close(done)
	run := func() {
		done = make(chan struct{})
		go func() { defer close(done); _ = teller.Run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		<-done
		if o.c != nil {
			_ = o.c.Close()
		}
		srv.Stop()
		<-served
	})
	return c, teller, gone, run
}

func records(n int) (out []requestlog.Record) {
	for i := range n {
		out = append(out, requestlog.Record{
			At: time.UnixMicro(int64(1e15 + 7*i)), ID: requestlog.NewID(), Service: "service_a", Site: "site_a", Client: netip.MustParseAddr("192.0.2.7"), Method: "GET", Host: "wiki.example.org",
			Path: fmt.Sprint("/", i%10), Status: 200, In: 1, Out: 2, Total: time.Second, ByPolicy: true, Policy: policy.Decision{Rule: 3},
		})
	}
	return out
}

func TestRecordsAreTold(t *testing.T) {
	c, teller, _, run := newTeller(t)
	list := records(3)
	list[2].Path, list[2].User, list[2].Kind, list[2].Decision = "/\xff"+strings.Repeat("x", 2*maxPath), "ann", requestlog.TCP, requestlog.Refused
	list[2].Client, list[2].ByPolicy, list[2].Reason = netip.Addr{}, false, "no_target"
	teller.Records(list)
	teller.Counted(requestlog.Counted{Start: time.Unix(1500, 0), Rates: map[requestlog.RateKey]*requestlog.Rate{{Service: "service_a", Site: "site_a"}: {Requests: 3, Statuses: [6]uint64{2: 3}, Unlogged: 1, Took: [272]uint32{5: 2, 9: 1}}}})
	run()
	m := c.next(t)
	r := m.GetRecords()
	word := func(i uint32) string {
		if i == 0 {
			return ""
		}
		return string(r.GetWords()[i-1])
	}
	if m.GetBatch() != 1 || m.GetProcess() == 0 || len(r.GetAt()) != 3 || r.GetBase() != 1e15 || r.GetAt()[2] != 14 || len(r.GetIds()) != 48 {
		t.Errorf("%v", m)
	}
	if word(r.GetService()[1]) != "service_a" || word(r.GetPath()[1]) != "/1" || word(r.GetReason()[0]) != "rule 4, the rule says so" || word(r.GetClient()[0]) != "\xc0\x00\x02\x07" || r.GetTotal()[0] != 1e6 {
		t.Errorf("%v", r)
	}
	if word(r.GetReason()[2]) != "no_target" || len(word(r.GetPath()[2])) != maxPath || word(r.GetUser()[2]) != "ann" || r.GetClient()[2] != 0 || r.GetKind()[2] != nodev1.RecordKind_RECORD_KIND_TCP || r.GetDecision()[2] != nodev1.RecordDecision_RECORD_DECISION_REFUSED {
		t.Errorf("%v", r)
	}
	w := m.GetWindows()
	if len(w) != 1 || w[0].GetStart() != 1500 || w[0].GetRates()[0].GetRequests() != 3 || w[0].GetRates()[0].GetUnlogged() != 1 || fmt.Sprint(w[0].GetRates()[0].GetBuckets(), w[0].GetRates()[0].GetCounts()) != "[5 9] [2 1]" {
		t.Errorf("%v", w)
	}
	teller.Records(records(1))
	if m := c.next(t); m.GetBatch() != 2 || len(m.GetWindows()) != 0 {
		t.Errorf("%v", m)
	}
	teller.Flush(30 * time.Second)
}

// Whoever keeps records here tells how much there was, and that the log lacks it.
func TestSumsAlone(t *testing.T) {
	c, teller, lost, run := newTeller(t)
	of := requestlog.RateKey{Service: "service_a", Site: "site_a"}
	here := Sums{teller}
	here.Records(records(5))
	here.Counted(requestlog.Counted{Start: time.Unix(1500, 0), Rates: map[requestlog.RateKey]*requestlog.Rate{of: {Requests: 5, Unlogged: 5}}})
	run()
	m := c.next(t)
	if w := m.GetWindows(); len(m.GetRecords().GetAt()) != 0 || len(w) != 1 || w[0].GetRates()[0].GetRequests() != 5 || w[0].GetRates()[0].GetUnlogged() != 5 {
		t.Errorf("%v", m)
	}
	lost.mu.Lock()
	defer lost.mu.Unlock()
	if lost.n[of] != 5 {
		t.Errorf("%v count as missing, want 5", lost.n)
	}
}

// What is not stored, and what was not answered, is sent again as it was.
func TestABatchIsToldUntilItIsStored(t *testing.T) {
	c, teller, _, run := newTeller(t)
	c.refuse, c.cut = 1, 2
	teller.Records(records(5))
	run()
	first := c.next(t)
	for range 2 {
		if again := c.next(t); !proto.Equal(first, again) {
			t.Errorf("%v, before %v", again, first)
		}
	}
	teller.Flush(30 * time.Second)
	if n := testutil.ToFloat64(teller.m.records); n != 5 {
		t.Errorf("%v records are told", n)
	}
}

// A batch that is refused for good keeps no other one back.
func TestABatchThatIsRefusedIsGivenUp(t *testing.T) {
	c, teller, gone, run := newTeller(t)
	c.wrong = 1
	teller.Records(records(mostRecords))
	teller.Records(records(2))
	run()
	if m := c.next(t); len(m.GetRecords().GetAt()) != 2 || m.GetBatch() != 2 {
		t.Errorf("%v", m)
	}
	teller.Flush(30 * time.Second)
	gone.mu.Lock()
	defer gone.mu.Unlock()
	if n := gone.n[requestlog.RateKey{Service: "service_a", Site: "site_a"}]; n != mostRecords {
		t.Errorf("%d are lost", n)
	}
}

// While nobody listens the oldest records go, and the log learns how many of what; windows go after an hour.
func TestWhatWaitsHasBounds(t *testing.T) {
	c, teller, gone, run := newTeller(t)
	for range mostBatches + 3 {
		teller.Records(records(mostRecords))
	}
	if n := gone.n[requestlog.RateKey{Service: "service_a", Site: "site_a"}]; n != 3*mostRecords || testutil.ToFloat64(teller.m.lost) != 3*mostRecords {
		t.Errorf("%d are lost, want %d", n, 3*mostRecords)
	}
	for i := range mostWindows + 2 {
		teller.Counted(requestlog.Counted{Start: time.Unix(int64(15*i), 0), Rates: map[requestlog.RateKey]*requestlog.Rate{{Service: "service_a"}: {Requests: 1}}})
	}
	if n := testutil.ToFloat64(teller.m.windows); n != 2 {
		t.Errorf("%v windows are lost, want 2", n)
	}
	teller.Flush(time.Millisecond) // nobody waits for ever
	run()
	got, windows := 0, 0
	for got < mostBatches*mostRecords {
		m := c.next(t)
		got += len(m.GetRecords().GetAt())
		windows += len(m.GetWindows())
	}
	if windows != mostWindows {
		t.Errorf("%d windows, want %d", windows, mostWindows)
	}
}

func TestManyRatesAreSplit(t *testing.T) {
	rates := map[requestlog.RateKey]*requestlog.Rate{}
	for i := range 2*mostRates + 1 {
		rates[requestlog.RateKey{Service: fmt.Sprint(i)}] = &requestlog.Rate{}
	}
	got := windows(requestlog.Counted{Start: time.Unix(15, 0), Rates: rates})
	if len(got) != 3 || len(got[0].GetRates()) != mostRates || got[2].GetStart() != 15 {
		t.Errorf("%d parts", len(got))
	}
}

func BenchmarkTell(b *testing.B) {
	list := records(mostRecords)
	teller := New(&conns{}, &lost{n: map[requestlog.RateKey]uint64{}}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	size := 0
	for b.Loop() {
		teller.Records(list)
		s := teller.next()
		msg, err := proto.Marshal(s.msg)
		if err != nil {
			b.Fatal(err)
		}
		size = len(msg)
		teller.stored(s)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*mostRecords), "ns/record")
	b.ReportMetric(float64(size)/mostRecords, "B/record")
}

package traffic

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/controlplane/tail"
	"github.com/warrenedge/warren/shared/identity"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const rows = `
organization acme
organization rival
pool edge
pool far
node n1 pool=edge addresses=192.0.2.1 endpoint=192.0.2.1:51820 enrolled
site home organization=acme pool=edge tunnels=1
site other organization=rival pool=edge tunnels=1
service wiki organization=acme pool=edge kind=tcp ports=5432
service away organization=acme pool=far kind=tcp ports=5432
service theirs organization=rival pool=edge kind=tcp ports=5433
`

func world(t testing.TB) *model.Model {
	t.Helper()
	b, err := modeltest.Parse(0, rows)
	if err != nil {
		t.Fatal(err)
	}
	return model.NewCurrent().Get().Apply(b)
}

func serviceID(name string) string {
	return model.ServiceID{UUID: modeltest.UUID("service", name)}.String()
}

var node = model.NodeID{UUID: modeltest.UUID("node", "n1")}

func newReader(t testing.TB) *reader {
	w := world(t)
	return &reader{world: w, node: w.Node(node), process: 7, now: time.Now(), refused: refused{}}
}

// told is a batch of n requests of services, in turn.
func told(n int, services ...string) *nodev1.Records {
	m := &nodev1.Records{Base: time.Now().UnixMicro(), Words: [][]byte{
		[]byte("GET"), []byte("wiki.example.org"), []byte("/a"), []byte(model.SiteID{UUID: modeltest.UUID("site", "home")}.String()), {192, 0, 2, 7}, []byte("/\xff\x00\x1b[2J"),
	}}
	first := uint32(len(m.Words)) + 1
	for _, s := range services {
		m.Words = append(m.Words, []byte(serviceID(s)))
	}
	for i := range n {
		id := uuid.New()
		m.Ids = append(m.Ids, id[:]...)
		m.At, m.Kind, m.Decision = append(m.At, int64(i)), append(m.Kind, nodev1.RecordKind_RECORD_KIND_HTTP), append(m.Decision, nodev1.RecordDecision_RECORD_DECISION_ALLOWED)
		m.Service, m.Site, m.Target, m.Relay = append(m.Service, first+uint32(i%len(services))), append(m.Site, 4), append(m.Target, 3), append(m.Relay, 0)
		m.Client, m.Method, m.Host, m.Path, m.User = append(m.Client, 5), append(m.Method, 1), append(m.Host, 2), append(m.Path, 6), append(m.User, 0)
		m.Status, m.BytesIn, m.BytesOut = append(m.Status, 200), append(m.BytesIn, 1), append(m.BytesOut, 1<<63)
		m.Decide, m.FirstByte, m.Total = append(m.Decide, 1), append(m.FirstByte, 2), append(m.Total, 1<<63)
		m.Reason, m.Error = append(m.Reason, 0), append(m.Error, 99)
	}
	return m
}

func TestANodeTellsOfItsOwnServicesOnly(t *testing.T) {
	r := newReader(t)
	got, err := r.records(told(4, "wiki", "away", "theirs", "nothing"))
	if err != nil || len(got) != 2 || r.refused["service"] != 2 {
		t.Fatalf("%v, %v, %v", got, r.refused, err)
	}
	v := got[0]
	if v.ServiceName != "wiki" || v.NodeName != "n1" || v.SiteName != "home" || v.Client != netip.MustParseAddr("192.0.2.7") || v.Method != "GET" || v.Kind != model.HTTP || v.Org.UUID != modeltest.UUID("organization", "acme") {
		t.Errorf("%+v", v)
	}
	if !utf8.ValidString(v.Path) || strings.ContainsAny(v.Path, "\x00\x1b") || v.Error != "" || !v.Target.IsZero() || v.Out != maxCount || v.Total > 31*24*time.Hour {
		t.Errorf("%+v", v)
	}
	if got[1].ServiceName != "theirs" || !got[1].Site.IsZero() {
		t.Errorf("a site of another organization: %+v", got[1])
	}
}

func TestHostileBatches(t *testing.T) {
	for name, change := range map[string]func(*nodev1.Records){
		"a column too short": func(m *nodev1.Records) { m.Status = m.Status[:1] },
		"a column too long":  func(m *nodev1.Records) { m.Error = append(m.Error, 1) },
		"ids too short":      func(m *nodev1.Records) { m.Ids = m.Ids[:17] },
		"too many":           func(m *nodev1.Records) { proto.Reset(m); proto.Merge(m, told(maxRecords+1, "wiki")) },
		"too many words":     func(m *nodev1.Records) { m.Words = make([][]byte, maxWords+1) },
	} {
		m := told(3, "wiki")
		change(m)
		if got, err := newReader(t).records(m); !errors.Is(err, errMalformed) || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	r := newReader(t)
	m := told(4, "wiki")
	m.Kind[0], m.Decision[1], m.Status[2] = 99, 0, 1000
	m.Base -= int64(300 * 24 * time.Hour / time.Microsecond) // a clock that is wrong
	got, err := r.records(m)
	if err != nil || len(got) != 1 || r.refused["malformed"] != 3 || time.Since(got[0].At).Abs() > time.Minute {
		t.Errorf("%v, %v, %v", got, r.refused, err)
	}
	for name, change := range map[string]func(*nodev1.Rate){
		"statuses": func(m *nodev1.Rate) { m.Statuses = nil },
		"counts":   func(m *nodev1.Rate) { m.Counts = nil },
		"unsorted": func(m *nodev1.Rate) { m.Buckets = []uint32{9, 5} },
		"too long": func(m *nodev1.Rate) { m.Buckets = []uint32{5, 5000} },
		"service":  func(m *nodev1.Rate) { m.ServiceId = serviceID("away") },
	} {
		r, m := newReader(t), rate()
		change(m)
		if got, err := r.rates([]*nodev1.Window{{Start: time.Now().Unix(), Rates: []*nodev1.Rate{m}}}); err != nil || len(got) != 0 || r.refused["malformed"]+r.refused["service"] != 1 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	many := &nodev1.Window{}
	for range maxRates + 1 {
		many.Rates = append(many.Rates, rate())
	}
	if _, err := newReader(t).rates([]*nodev1.Window{many}); !errors.Is(err, errMalformed) {
		t.Errorf("too many rates: %v", err)
	}
}

func rate() *nodev1.Rate {
	return &nodev1.Rate{ServiceId: serviceID("wiki"), Requests: 3, Statuses: []uint64{0, 0, 3, 0, 0, 0}, Unlogged: 1, Buckets: []uint32{5, 9}, Counts: []uint64{2, 1}}
}

// No batch, whatever a node makes of it, ends the control plane or says what a database can't take.
func FuzzBatch(f *testing.F) {
	for _, m := range []*nodev1.TellRequest{{Records: told(2, "wiki"), Windows: []*nodev1.Window{{Start: 1, Rates: []*nodev1.Rate{rate()}}}}, {}} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	r := newReader(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m nodev1.TellRequest
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		list, err := r.records(m.GetRecords())
		if err != nil {
			return
		}
		for _, v := range list {
			for _, s := range []string{v.Method, v.Host, v.Path, v.Visitor, v.Reason, v.Error} {
				if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
					t.Errorf("%q", s)
				}
			}
			if v.In < 0 || v.Out < 0 || v.Total < 0 || time.Since(v.At) > 2*oldest {
				t.Errorf("%+v", v)
			}
		}
		_, _ = r.rates(m.GetWindows())
	})
}

// stream is one of a node.
type stream struct {
	grpc.ServerStream
	ctx context.Context
	in  chan *nodev1.TellRequest
	out chan *nodev1.TellResponse
}

func (s *stream) Context() context.Context { return s.ctx }
func (s *stream) Recv() (*nodev1.TellRequest, error) {
	m, ok := <-s.in
	if !ok {
		return nil, io.EOF
	}
	return m, nil
}
func (s *stream) Send(m *nodev1.TellResponse) error { s.out <- m; return nil }

func newServer(t *testing.T, db *store.Store, who identity.Identity) (*Server, *stream, chan error) {
	t.Helper()
	current := model.NewCurrent()
	current.Set(world(t))
	log := slog.New(slog.DiscardHandler)
	tails, err := tail.New("", log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Store: db, World: current, Tails: tails, Log: log, Reg: prometheus.NewRegistry(), Admit: func(ctx context.Context) (identity.Identity, context.Context, error) { return who, ctx, nil }})
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	c := &stream{ctx: ctx, in: make(chan *nodev1.TellRequest), out: make(chan *nodev1.TellResponse)}
	ended := make(chan error, 1)
	go func() { ended <- s.Tell(c) }()
	var once sync.Once
	t.Cleanup(func() { once.Do(func() { close(c.in) }) })
	return s, c, ended
}

func TestTell(t *testing.T) {
	db := storetest.New(t)
	s, c, _ := newServer(t, db, identity.Identity{Kind: identity.Node, ID: node.String()})
	org := model.OrgID{UUID: modeltest.UUID("organization", "acme")}
	w, err := s.Tails.Watch(org, func(*model.Request) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	m := &nodev1.TellRequest{Batch: 1, Process: 7, Records: told(3, "wiki"), Windows: []*nodev1.Window{{Start: time.Now().Add(-time.Minute).Unix(), Rates: []*nodev1.Rate{rate()}}}}
	for range 2 { // a batch whose answer was lost comes again
		c.in <- m
		if a := <-c.out; !a.GetStored() || a.GetBatch() != 1 {
			t.Fatalf("%v", a)
		}
	}
	if n := len(w.Items()); n != 4 {
		t.Errorf("who watches sees %d, want 3 and a gap", n)
	}
	check := func(want int) {
		t.Helper()
		err := db.View(t.Context(), func(tx *store.Tx) error {
			list, err := tx.ListRequests(t.Context(), org, model.RequestFilter{Service: "wiki"}, model.RequestMark{}, 100)
			if err != nil || len(list) != want {
				t.Errorf("%d requests, want %d, %v", len(list), want, err)
			}
			sum, err := tx.SumTraffic(t.Context(), org, model.TrafficQuery{Since: time.Now().Add(-30 * time.Minute), Until: time.Now().Add(time.Minute)}, time.Now())
			if err != nil || len(sum) != 1 || sum[0].Requests != 3 || sum[0].Unlogged != 1 {
				t.Errorf("%+v, %v", sum, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check(3)
	// An organization that wants no log has none from then on, and is counted all the same.
	if _, err := db.Tx(t.Context(), "test", func(tx *store.Tx) error {
		if err := tx.CreateOrganization(t.Context(), &model.Organization{ID: org, Name: "acme"}); err != nil {
			return err
		}
		return tx.SetRequestLogDays(t.Context(), org, 0)
	}); err != nil {
		t.Fatal(err)
	}
	s.daysAt = time.Time{}
	c.in <- &nodev1.TellRequest{Batch: 2, Process: 7, Records: told(2, "wiki")}
	if a := <-c.out; !a.GetStored() {
		t.Errorf("%v", a)
	}
	check(3)
}

// While the database is away a batch stays with its node, and who watches sees it once.
func TestTellWhileTheDatabaseIsAway(t *testing.T) {
	db, err := store.Open(t.Context(), "host=/nonexistent", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	s, c, _ := newServer(t, db, identity.Identity{Kind: identity.Node, ID: node.String()})
	w, err := s.Tails.Watch(model.OrgID{UUID: modeltest.UUID("organization", "acme")}, func(*model.Request) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	m := &nodev1.TellRequest{Batch: 5, Records: told(1, "wiki")}
	for range 2 {
		c.in <- m
		if a := <-c.out; a.GetStored() {
			t.Errorf("%v", a)
		}
	}
	if n := len(w.Items()); n != 1 || testutil.ToFloat64(s.m.unstored) != 2 {
		t.Errorf("who watches sees %d", n)
	}
}

// A node that is revoked is not listened to any longer, although it says nothing.
func TestWhoIsRevokedIsSentAway(t *testing.T) {
	ctx, revoke := context.WithCancel(t.Context())
	s := New(Options{World: model.NewCurrent(), Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry(), Admit: func(context.Context) (identity.Identity, context.Context, error) {
		return identity.Identity{Kind: identity.Node, ID: node.String()}, ctx, nil
	}})
	streamed, over := context.WithCancel(t.Context())
	c, ended := &stream{ctx: streamed, in: make(chan *nodev1.TellRequest)}, make(chan error, 1)
	go func() { ended <- s.Tell(c) }()
	revoke()
	if err := <-ended; status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
	over()
	close(c.in)
}

func TestOnlyNodesTell(t *testing.T) {
	_, _, ended := newServer(t, nil, identity.Identity{Kind: identity.Connector, ID: "connector_x"})
	if err := <-ended; status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
	_, c, ended := newServer(t, nil, identity.Identity{Kind: identity.Node, ID: node.String()})
	m := told(3, "wiki")
	m.Status = nil
	c.in <- &nodev1.TellRequest{Batch: 1, Records: m}
	if err := <-ended; status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
}

func TestKeeper(t *testing.T) {
	db, ctx, now := storetest.New(t), t.Context(), time.Now().UTC()
	k := NewKeeper(db, slog.New(slog.DiscardHandler))
	if err := db.MakePartitions(ctx, now.AddDate(0, 0, -20), 21); err != nil {
		t.Fatal(err)
	}
	long, week := model.Organization{ID: model.OrgID{}.New(), Name: "long"}, model.Organization{ID: model.OrgID{}.New(), Name: "week"}
	if _, err := db.Tx(ctx, "test", func(tx *store.Tx) error {
		var list []*model.Request
		for _, o := range []*model.Organization{&long, &week} {
			if err := tx.CreateOrganization(ctx, o); err != nil {
				return err
			}
			for i := range 20 {
				list = append(list, &model.Request{ID: uuid.New(), At: now.AddDate(0, 0, -i), Org: o.ID, Kind: model.HTTP, Service: model.ServiceID{}.New(), Node: node})
			}
		}
		if err := tx.SetRequestLogDays(ctx, long.ID, 14); err != nil {
			return err
		}
		if _, err := tx.AddRequests(ctx, list); err != nil {
			return err
		}
		return tx.AddTraffic(ctx, []*model.NodeTraffic{{At: now.Add(-10 * time.Minute).Truncate(model.TrafficFine), Org: long.ID, Service: model.ServiceID{}.New(), Node: node, Traffic: model.Traffic{Requests: 5}}})
	}); err != nil {
		t.Fatal(err)
	}
	if err := k.Roll(ctx, now, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it may be repeated
		if err := k.Remove(ctx, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.View(ctx, func(tx *store.Tx) error {
		for o, want := range map[model.OrgID]int{long.ID: 14, week.ID: 7} {
			list, err := tx.ListRequests(ctx, o, model.RequestFilter{}, model.RequestMark{}, 100)
			if err != nil {
				return err
			}
			if len(list) < want || len(list) > want+1 {
				t.Errorf("%d days are left, want %d", len(list), want)
			}
		}
		sum, err := tx.SumTraffic(ctx, long.ID, model.TrafficQuery{Since: now.Add(-time.Hour), Until: now, Step: model.TrafficCoarse}, now)
		if len(sum) != 1 || sum[0].Requests != 5 {
			t.Errorf("%+v", sum)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

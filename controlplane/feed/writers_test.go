package feed

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

// deadline is far beyond what anything here takes.
const deadline = 2 * time.Minute

// witness is a model kept up to date by a feed, with a record of how it got there.
type witness struct {
	t        *testing.T
	feed     *Feed
	progress chan struct{}

	mu      sync.Mutex
	m       *model.Model
	batches []model.Batch
}

// watch follows s until the returned function is called.
func watch(t *testing.T, s *store.Store) (w *witness, stop func()) {
	w = &witness{t: t, progress: make(chan struct{}, 1), m: model.Empty()}
	w.feed = newFeed(s, w.deliver)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.feed.Run(ctx) }()
	return w, func() { cancel(); <-done }
}

func (w *witness) deliver(b model.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b.Reload != (len(w.batches) == 0) {
		w.t.Errorf("batch %d: reload %v", len(w.batches), b.Reload)
	}
	if !b.Reload && (b.From != w.m.Revision() || b.To <= b.From) {
		w.t.Errorf("a batch from %d to %d, the model is at %d", b.From, b.To, w.m.Revision())
	}
	w.m = w.m.Apply(b)
	w.batches = append(w.batches, b)
	// Two sites that are only ever changed together: half a transaction would show.
	var tunnels []int
	for s := range w.m.Sites() {
		if strings.HasPrefix(s.Name, "pair-") {
			tunnels = append(tunnels, s.Tunnels)
		}
	}
	if len(tunnels) == 2 && tunnels[0] != tunnels[1] {
		w.t.Errorf("revision %d has half a transaction: %v", b.To, tunnels)
	}
	select {
	case w.progress <- struct{}{}:
	default:
	}
}

func (w *witness) wait(rev model.Revision) {
	w.t.Helper()
	end := time.After(deadline)
	for {
		w.mu.Lock()
		at := w.m.Revision()
		w.mu.Unlock()
		if at >= rev {
			return
		}
		select {
		case <-w.progress:
		case <-end:
			w.t.Fatalf("the follower is at %d, want %d", at, rev)
		}
	}
}

// plant is what all writers share.
type plant struct {
	s    *store.Store
	dsn  string
	org  model.OrgID
	pool model.PoolID
	pair [2]model.SiteID
	both sync.Mutex // for writers of pair: UpdateSite reads before it writes

	newest atomic.Uint64 // of the revisions that are known to be committed
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	p := &plant{dsn: storetest.DSN(t)}
	p.s = storetest.Open(t, p.dsn)
	ctx := t.Context()
	p.org, p.pool = model.OrgID{}.New(), model.PoolID{}.New()
	_, err := p.s.Tx(ctx, "test", func(tx *store.Tx) error {
		err := errors.Join(tx.CreateOrganization(ctx, &model.Organization{ID: p.org, Name: "o"}), tx.CreatePool(ctx, &model.Pool{ID: p.pool, Name: "p"}))
		for i := range p.pair {
			p.pair[i] = p.pair[i].New()
			err = errors.Join(err, tx.CreateSite(ctx, &model.Site{ID: p.pair[i], Org: p.org, Name: fmt.Sprintf("pair-%d", i), Pool: p.pool, Tunnels: 1}))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// change is a row that a committed transaction wrote.
type change struct{ kind, key string }

type writer struct {
	*plant
	t       *testing.T
	rnd     *rand.Rand
	nr, seq int
	conn    *pgx.Conn // for plain SQL
	regions []model.RegionID
	svcs    []model.ServiceID
	revs    []model.Revision
	wrote   map[model.Revision][]change
	plain   []change // by plain SQL, which is not told its revision
}

var errRollback = errors.New("rolled back on purpose")

func (w *writer) name() string {
	w.seq++
	return fmt.Sprintf("w%d-%d", w.nr, w.seq)
}

// run makes n random transactions.
func (w *writer) run(ctx context.Context, n int) {
	for range n {
		var err error
		if w.rnd.IntN(4) == 0 {
			err = w.runPlain(ctx)
		} else {
			err = w.runTx(ctx)
		}
		if err != nil && !errors.Is(err, errRollback) {
			w.t.Errorf("writer %d: %v", w.nr, err)
			return
		}
	}
}

// linger makes some transactions long, so that others overtake them.
func (w *writer) linger(ctx context.Context) {
	if w.rnd.IntN(5) != 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(w.rnd.IntN(20)) * time.Millisecond):
	}
}

func (w *writer) runTx(ctx context.Context) error {
	recipes := []func(context.Context, *store.Tx) ([]change, func(), error){w.region, w.dropRegion, w.publish, w.unpublish, w.couple}
	pick := w.rnd.IntN(len(recipes))
	if pick == len(recipes)-1 {
		w.both.Lock()
		defer w.both.Unlock()
	}
	var changes []change
	var committed func()
	floor := model.Revision(w.newest.Load())
	rev, err := w.s.Tx(ctx, "writer", func(tx *store.Tx) (err error) {
		changes, committed, err = recipes[pick](ctx, tx)
		w.linger(ctx)
		if err == nil && w.rnd.IntN(6) == 0 {
			return errRollback
		}
		return err
	})
	if err != nil {
		return err
	}
	committed()
	if rev == 0 {
		if len(changes) != 0 {
			return fmt.Errorf("no revision for %v", changes)
		}
		return nil
	}
	if rev <= floor {
		return fmt.Errorf("revision %d, and %d was committed before this began", rev, floor)
	}
	for old := w.newest.Load(); old < uint64(rev) && !w.newest.CompareAndSwap(old, uint64(rev)); old = w.newest.Load() {
	}
	w.revs = append(w.revs, rev)
	w.wrote[rev] = changes
	return nil
}

func (w *writer) region(ctx context.Context, tx *store.Tx) ([]change, func(), error) {
	r := &model.Region{ID: model.RegionID{}.New(), Name: w.name()}
	n := &model.Node{ID: model.NodeID{}.New(), Name: w.name(), Pool: w.pool, Lifecycle: model.Active}
	err := errors.Join(tx.CreateRegion(ctx, r), tx.CreateNode(ctx, n))
	return []change{{"regions", r.ID.UUID.String()}, {"nodes", n.ID.UUID.String()}}, func() { w.regions = append(w.regions, r.ID) }, err
}

func (w *writer) dropRegion(ctx context.Context, tx *store.Tx) ([]change, func(), error) {
	if len(w.regions) == 0 {
		return nil, func() {}, nil
	}
	i := w.rnd.IntN(len(w.regions))
	id := w.regions[i]
	return []change{{"regions", id.UUID.String()}}, func() { w.regions = slices.Delete(w.regions, i, i+1) }, tx.DeleteRegion(ctx, id)
}

// publish writes many tables at once.
func (w *writer) publish(ctx context.Context, tx *store.Tx) ([]change, func(), error) {
	d := &model.Domain{ID: model.DomainID{}.New(), Org: w.org, Name: w.name() + ".example.org", Pool: w.pool}
	site := &model.Site{ID: model.SiteID{}.New(), Org: w.org, Name: w.name(), Pool: w.pool, Tunnels: 2}
	conn := &model.Connector{ID: model.ConnectorID{}.New(), Org: w.org, Site: site.ID, Name: w.name()}
	svc := &model.Service{ID: model.ServiceID{}.New(), Org: w.org, Name: w.name(), Kind: model.HTTP, Hostname: "a." + d.Name, Pool: w.pool}
	tgt := &model.Target{ID: model.TargetID{}.New(), Org: w.org, Name: w.name(), Service: svc.ID, Site: site.ID, Address: "10.0.0.1", Port: 80, PathPrefix: "/", Weight: 1}
	cert := &model.Certificate{ID: model.CertificateID{}.New(), Org: w.org, Names: []string{svc.Hostname}, ChainPEM: []byte("c"), SealedKey: []byte("k"), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0)}
	err := errors.Join(tx.CreateDomain(ctx, d), tx.CreateSite(ctx, site), tx.CreateConnector(ctx, conn), tx.CreateService(ctx, svc), tx.CreateTarget(ctx, tgt), tx.CreateCertificate(ctx, cert))
	return []change{
		{"domains", d.ID.UUID.String()}, {"sites", site.ID.UUID.String()}, {"connectors", conn.ID.UUID.String()},
		{"services", svc.ID.UUID.String()}, {"targets", tgt.ID.UUID.String()}, {"certificates", cert.ID.UUID.String()},
	}, func() { w.svcs = append(w.svcs, svc.ID) }, err
}

// unpublish deletes a service; its targets go along.
func (w *writer) unpublish(ctx context.Context, tx *store.Tx) ([]change, func(), error) {
	if len(w.svcs) == 0 {
		return nil, func() {}, nil
	}
	i := w.rnd.IntN(len(w.svcs))
	id := w.svcs[i]
	changes := []change{{"services", id.UUID.String()}}
	targets, err := tx.ListTargetsOfService(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	for _, tgt := range targets {
		changes = append(changes, change{"targets", tgt.ID.UUID.String()})
	}
	return changes, func() { w.svcs = slices.Delete(w.svcs, i, i+1) }, tx.DeleteService(ctx, id)
}

// couple changes the two sites that all writers want, and that belong together.
func (w *writer) couple(ctx context.Context, tx *store.Tx) ([]change, func(), error) {
	var changes []change
	tunnels := 1 + w.rnd.IntN(8)
	for i, id := range w.pair {
		site := &model.Site{ID: id, Org: w.org, Name: fmt.Sprintf("pair-%d", i), Pool: w.pool, Tunnels: tunnels}
		changed, err := tx.UpdateSite(ctx, site)
		if err != nil {
			return nil, nil, err
		}
		if changed {
			changes = append(changes, change{"sites", id.UUID.String()})
		}
	}
	return changes, func() {}, nil
}

// runPlain is somebody with psql: one statement by itself, or a transaction that may be long.
func (w *writer) runPlain(ctx context.Context) error {
	id := uuid.Must(uuid.NewV7())
	insert := fmt.Sprintf("INSERT INTO organizations (id, name) VALUES ('%s', '%s')", id, w.name())
	row := change{"organizations", id.String()}
	sql, changes := insert, []change{row}
	switch w.rnd.IntN(5) {
	case 0:
		sql = fmt.Sprintf("BEGIN; %s; SELECT pg_sleep(0.0%d); UPDATE organizations SET name = name || '-x' WHERE id = '%s'; COMMIT", insert, w.rnd.IntN(10), id)
	case 1:
		sql, changes = fmt.Sprintf("BEGIN; %s; SELECT pg_sleep(0.0%d); ROLLBACK", insert, w.rnd.IntN(10)), nil
	case 2:
		sql = fmt.Sprintf("BEGIN; SAVEPOINT a; UPDATE regions SET name = name || '-x' WHERE name LIKE 'w%d-%%'; ROLLBACK TO a; %s; COMMIT", w.nr, insert)
	case 3:
		sql = fmt.Sprintf("BEGIN; %s; DELETE FROM organizations WHERE id = '%s'; COMMIT", insert, id)
	}
	_, err := w.conn.Exec(ctx, sql)
	if err == nil {
		w.plain = append(w.plain, changes...)
	}
	return err
}

// 16 writers at once, on all tables, long and short transactions, some rolled back, some past the API by plain
// SQL: the follower gets every committed change in exactly one step, revisions are dense and in commit order, and
// it ends where a fresh load ends.
func TestConcurrentWritersLoseNothing(t *testing.T) {
	const writers, each = 16, 30
	p := newPlant(t)
	ctx := t.Context()
	follower, stop := watch(t, p.s)
	follower.wait(1)

	all := make([]*writer, writers)
	var wg sync.WaitGroup
	for i := range all {
		conn, err := pgx.Connect(ctx, p.dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.WithoutCancel(ctx))
		all[i] = &writer{plant: p, t: t, nr: i, rnd: rand.New(rand.NewPCG(uint64(i), 1)), conn: conn, wrote: map[model.Revision][]change{}}
		wg.Go(func() { all[i].run(ctx, each) })
	}
	wg.Wait()
	end, err := p.s.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	follower.wait(end.To)
	stop()

	logged := readLog(t, p.dsn, end.To)
	given := map[model.Revision]bool{}
	plain := map[change]bool{}
	for _, w := range all {
		for i, rev := range w.revs {
			if given[rev] || i > 0 && w.revs[i-1] >= rev {
				t.Errorf("writer %d: revision %d given twice, or after a later one", w.nr, rev)
			}
			given[rev] = true
			for _, c := range w.wrote[rev] {
				if !slices.Contains(logged[rev], c) {
					t.Errorf("writer %d: revision %d lacks %v", w.nr, rev, c)
				}
			}
		}
		for _, c := range w.plain {
			plain[c] = true
		}
	}
	for rev, changes := range logged {
		if rev > 1 && given[rev] == slices.ContainsFunc(changes, func(c change) bool { return c.kind == "organizations" }) {
			t.Errorf("revision %d mixes transactions: %v", rev, changes)
		}
		for _, c := range changes {
			delete(plain, c)
		}
	}
	if len(plain) > 0 {
		t.Errorf("%d changes by plain SQL are not in the log: %v", len(plain), plain)
	}
	for _, b := range follower.batches[1:] {
		var want []change
		for rev := b.From + 1; rev <= b.To; rev++ {
			want = append(want, logged[rev]...)
		}
		if diff := cmp.Diff(sorted(want), sorted(rowsOf(b)), cmp.AllowUnexported(change{})); diff != "" {
			t.Errorf("the step from %d to %d is not what the log says:\n%s", b.From, b.To, diff)
		}
	}
	if diff := cmp.Diff(dump(model.Empty().Apply(end)), dump(follower.m), cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})); diff != "" {
		t.Errorf("the follower differs from a fresh load:\n%s", diff)
	}
	t.Logf("%d revisions in %d steps", end.To, len(follower.batches))
}

// readLog returns the changes of each revision, which are dense and in the order of their commits.
func readLog(t *testing.T, dsn string, head model.Revision) map[model.Revision][]change {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var count, first, last, disorder, unstamped int
	if err := conn.QueryRow(ctx, `SELECT count(*), min(rev), max(rev), count(*) FILTER (WHERE committed_at < before), (SELECT count(*) FROM change_log WHERE rev IS NULL)
		FROM (SELECT rev, committed_at, lag(committed_at) OVER (ORDER BY rev) AS before FROM revisions) r`).Scan(&count, &first, &last, &disorder, &unstamped); err != nil {
		t.Fatal(err)
	}
	if model.Revision(last) != head || first != 1 || count != last || disorder != 0 || unstamped != 0 {
		t.Errorf("head %d: %d revisions, %d to %d, %d out of order, %d changes without", head, count, first, last, disorder, unstamped)
	}
	rows, err := conn.Query(ctx, "SELECT rev, kind, key FROM change_log")
	if err != nil {
		t.Fatal(err)
	}
	out := map[model.Revision][]change{}
	var rev int64
	var c change
	if _, err := pgx.ForEachRow(rows, []any{&rev, &c.kind, &c.key}, func() error {
		out[model.Revision(rev)] = append(out[model.Revision(rev)], c)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(out) != int(head) {
		t.Errorf("%d of %d revisions have changes", len(out), head)
	}
	return out
}

func sorted(c []change) []change {
	slices.SortFunc(c, func(a, b change) int { return strings.Compare(a.kind+a.key, b.kind+b.key) })
	return slices.Compact(c)
}

func rowsOf(b model.Batch) []change {
	var out []change
	add := func(kind string, id uuid.UUID) { out = append(out, change{kind, id.String()}) }
	for id := range b.Organizations {
		add("organizations", id.UUID)
	}
	for id := range b.Regions {
		add("regions", id.UUID)
	}
	for id := range b.Pools {
		add("pools", id.UUID)
	}
	for id := range b.Nodes {
		add("nodes", id.UUID)
	}
	for id := range b.Sites {
		add("sites", id.UUID)
	}
	for id := range b.Connectors {
		add("connectors", id.UUID)
	}
	for id := range b.Services {
		add("services", id.UUID)
	}
	for id := range b.Targets {
		add("targets", id.UUID)
	}
	for id := range b.Domains {
		add("domains", id.UUID)
	}
	for id := range b.Certificates {
		add("certificates", id.UUID)
	}
	return out
}

// dump lists all rows of a model, which are ordered by id.
func dump(m *model.Model) []any {
	var out []any
	return slices.Concat(out, values(m.Organizations()), values(m.Regions()), values(m.Pools()), values(m.Nodes()), values(m.Sites()),
		values(m.Connectors()), values(m.Services()), values(m.Targets()), values(m.Domains()), values(m.Certificates()))
}

func values[V any](rows iter.Seq[*V]) []any {
	var out []any
	for v := range rows {
		out = append(out, *v)
	}
	return out
}

// All connections are cut, again and again: the follower misses nothing and leaves nothing behind.
func TestFollowerSurvivesLostConnections(t *testing.T) {
	p := newPlant(t)
	ctx := t.Context()
	s, err := store.Open(ctx, p.dsn, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, p.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	leaks := goleak.IgnoreCurrent()
	follower, stop := watch(t, s)
	for rev := model.Revision(1); rev < 6; rev++ {
		follower.wait(rev)
		if _, err := conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(ctx, "UPDATE sites SET tunnels = 1 + tunnels % 8"); err != nil {
			t.Fatal(err)
		}
	}
	follower.wait(6)
	stop()
	s.Close()
	goleak.VerifyNone(t, leaks)
}

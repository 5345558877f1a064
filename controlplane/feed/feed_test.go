package feed

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func newFeed(src Source, deliver func(model.Batch)) *Feed {
	return New(src, deliver, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
}

// fakeSource is a source at a revision that a test sets; it fails while down is set.
type fakeSource struct {
	mu   sync.Mutex
	rev  model.Revision
	down bool
	asks int
	wake func()
}

func (s *fakeSource) Load(ctx context.Context) (model.Batch, error) {
	b, err := s.Changes(ctx, 0, 0)
	b.Reload = true
	return b, err
}

func (s *fakeSource) Changes(_ context.Context, after model.Revision, _ int) (model.Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asks++
	if s.down {
		return model.Batch{}, errors.New("down")
	}
	return model.Batch{From: after, To: s.rev}, nil
}

func (s *fakeSource) Listen(ctx context.Context, wake func()) error {
	s.mu.Lock()
	s.wake = wake
	s.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

func (s *fakeSource) set(rev model.Revision, down, hint bool) {
	s.mu.Lock()
	s.rev, s.down = rev, down
	wake := s.wake
	s.mu.Unlock()
	if hint {
		wake()
	}
}

func TestHintsShortenTheWaitAndPollsFindTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fakeSource{rev: 5}
		var got []model.Revision
		f := newFeed(src, func(b model.Batch) { got = append(got, b.To) })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = f.Run(ctx) }()
		synctest.Wait()
		begin := time.Now()
		src.set(6, false, true)
		synctest.Wait()
		if since := time.Since(begin); since != 0 || f.Reached() != 6 {
			t.Errorf("with a hint: reached %d after %v", f.Reached(), since)
		}
		src.set(7, false, false)
		time.Sleep(Poll + time.Millisecond)
		synctest.Wait()
		if f.Reached() != 7 {
			t.Errorf("without a hint: reached %d", f.Reached())
		}
		src.set(8, true, true)
		time.Sleep(time.Minute)
		src.set(9, false, false)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if want := []model.Revision{5, 6, 7, 9}; !slices.Equal(got, want) {
			t.Errorf("delivered %v, want %v", got, want)
		}
		cancel()
		<-done
	})
}

// 16 writers at once, long and short transactions, some rolled back, some past the API by plain SQL: the
// follower gets every committed change, revisions dense and in commit order, and ends where a fresh load ends.
func TestConcurrentWritersLoseNothing(t *testing.T) {
	const writers, each = 16, 40
	dsn := storetest.DSN(t)
	s := storetest.Open(t, dsn)
	ctx := t.Context()

	var mu sync.Mutex
	follower := model.Empty()
	f := newFeed(s, func(b model.Batch) {
		mu.Lock()
		defer mu.Unlock()
		if !b.Reload && b.From != follower.Revision() {
			t.Errorf("a batch from %d, the follower is at %d", b.From, follower.Revision())
		}
		follower = follower.Apply(b)
	})
	runCtx, stop := context.WithCancel(ctx)
	running := make(chan struct{})
	go func() { defer close(running); _ = f.Run(runCtx) }()

	var org *model.Organization
	pool := &model.Pool{ID: model.PoolID{}.New(), Name: "p"}
	first, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		org = &model.Organization{ID: model.OrgID{}.New(), Name: "o"}
		return errors.Join(tx.CreateOrganization(ctx, org), tx.CreatePool(ctx, pool))
	})
	if err != nil || first == 0 {
		t.Fatal(first, err)
	}

	var wg sync.WaitGroup
	revs := make([][]model.Revision, writers)
	for w := range writers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 1))
			var mine []*model.Site
			for range each {
				rev, err := write(ctx, s, dsn, rnd, org.ID, pool.ID, &mine)
				switch {
				case errors.Is(err, errRollback):
				case err != nil:
					t.Error(err)
				case rev != 0:
					revs[w] = append(revs[w], rev)
				}
			}
		})
	}
	wg.Wait()
	end, err := s.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); f.Reached() < end.To; {
		if time.Now().After(deadline) {
			t.Fatalf("the follower is at %d, the database at %d", f.Reached(), end.To)
		}
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	<-running

	// Each writer's own revisions rise, none is given twice, and together with plain SQL they have no gap.
	given := map[model.Revision]bool{}
	for w, rs := range revs {
		if !slices.IsSorted(rs) {
			t.Errorf("writer %d: revisions %v", w, rs)
		}
		for _, r := range rs {
			if given[r] {
				t.Errorf("revision %d given twice", r)
			}
			given[r] = true
		}
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var stamped, unstamped, committed int
	if err := conn.QueryRow(ctx, `SELECT (SELECT count(DISTINCT revision) FROM change_log), (SELECT count(*) FROM change_log WHERE revision IS NULL),
		(SELECT count(*) FROM revisions)`).Scan(&stamped, &unstamped, &committed); err != nil {
		t.Fatal(err)
	}
	if stamped != int(end.To) || committed != int(end.To) || unstamped != 0 {
		t.Errorf("head is %d, %d revisions in the log, %d committed, %d rows without", end.To, stamped, committed, unstamped)
	}
	if diff := cmp.Diff(dump(model.Empty().Apply(end)), dump(follower), cmpopts.EquateComparable()); diff != "" {
		t.Errorf("the follower differs from a fresh load:\n%s", diff)
	}
}

var errRollback = errors.New("rolled back on purpose")

// write makes one random transaction.
func write(ctx context.Context, s *store.Store, dsn string, rnd *rand.Rand, org model.OrgID, pool model.PoolID, mine *[]*model.Site) (model.Revision, error) {
	if rnd.IntN(8) == 0 && len(*mine) > 0 { // somebody with psql
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return 0, err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, "UPDATE sites SET tunnels = 1 + (tunnels % 8) WHERE id = $1", (*mine)[rnd.IntN(len(*mine))].ID.UUID)
		return 0, err
	}
	var created *model.Site
	drop := -1
	rev, err := s.Tx(ctx, "writer", func(tx *store.Tx) error {
		created, drop = nil, -1
		switch {
		case rnd.IntN(4) == 0 && len(*mine) > 0:
			drop = rnd.IntN(len(*mine))
			if err := tx.DeleteSite(ctx, (*mine)[drop].ID); err != nil {
				return err
			}
		default:
			id := model.SiteID{}.New()
			created = &model.Site{ID: id, Org: org, Name: "s" + id.String()[5:], Pool: pool, Tunnels: 2}
			if err := tx.CreateSite(ctx, created); err != nil {
				return err
			}
		}
		if rnd.IntN(5) == 0 { // a long one: others overtake it
			timer := time.NewTimer(time.Duration(rnd.IntN(20)) * time.Millisecond)
			<-timer.C
		}
		if rnd.IntN(6) == 0 {
			return errRollback
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if created != nil {
		*mine = append(*mine, created)
	}
	if drop >= 0 {
		*mine = slices.Delete(*mine, drop, drop+1)
	}
	return rev, nil
}

func dump(m *model.Model) []model.Site {
	by := map[string]model.Site{}
	for s := range m.Sites() {
		c := *s
		c.Meta = model.Meta{}
		by[s.Name] = c
	}
	var out []model.Site
	for _, name := range slices.Sorted(maps.Keys(by)) {
		out = append(out, by[name])
	}
	return out
}

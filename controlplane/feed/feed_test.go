package feed

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/bubbletest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func newFeed(src Source, deliver func(model.Batch)) *Feed {
	return New(src, deliver, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
}

// fakeSource is a source at a revision that a test sets; what is set to fail fails.
type fakeSource struct {
	mu                 sync.Mutex
	rev                model.Revision
	reload             bool // the log does not reach back
	failing, deaf      bool
	asks, loads, hears int
	wake               func()
	hangUp             chan struct{}
}

func newSource(rev model.Revision) *fakeSource {
	return &fakeSource{rev: rev, hangUp: make(chan struct{})}
}

func (s *fakeSource) Load(context.Context) (model.Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	if s.failing {
		return model.Batch{}, errors.New("down")
	}
	return model.Batch{To: s.rev, Reload: true}, nil
}

func (s *fakeSource) Changes(_ context.Context, after model.Revision, _ int) (model.Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asks++
	if s.failing {
		return model.Batch{}, errors.New("down")
	}
	b := model.Batch{From: after, To: s.rev, Reload: s.reload}
	s.reload = false
	return b, nil
}

func (s *fakeSource) Listen(ctx context.Context, wake func()) error {
	s.mu.Lock()
	s.hears++
	deaf, hangUp := s.deaf, s.hangUp
	s.wake = wake
	s.mu.Unlock()
	if deaf {
		return errors.New("no connection")
	}
	wake()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-hangUp:
		return errors.New("connection lost")
	}
}

// set changes the source, and announces it if hint is set.
func (s *fakeSource) set(hint bool, change func(*fakeSource)) {
	s.mu.Lock()
	change(s)
	wake := s.wake
	s.mu.Unlock()
	if hint {
		wake()
	}
}

// follow runs a feed inside a bubble; stop ends it. A goroutine left behind would be found by synctest.
func follow(t *testing.T, src *fakeSource, log *slog.Logger) (f *Feed, got *[]model.Batch, stop func()) {
	t.Helper()
	got = new([]model.Batch)
	f = New(src, func(b model.Batch) { *got = append(*got, b) }, log, prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	synctest.Wait()
	return f, got, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func tos(batches []model.Batch) []model.Revision {
	var out []model.Revision
	for _, b := range batches {
		out = append(out, b.To)
	}
	return out
}

// value reads a counter or gauge.
func value(t *testing.T, c prometheus.Collector) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil || len(families) != 1 || len(families[0].GetMetric()) != 1 {
		t.Fatalf("%v, %v", families, err)
	}
	m := families[0].GetMetric()[0]
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

func TestHintsShortenTheWaitAndPollsFindTheRest(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		src := newSource(5)
		f, got, stop := follow(t, src, slog.New(slog.DiscardHandler))
		begin := time.Now()
		src.set(true, func(s *fakeSource) { s.rev = 6 })
		synctest.Wait()
		if since := time.Since(begin); since != 0 || f.Reached() != 6 {
			t.Errorf("with a hint: reached %d after %v", f.Reached(), since)
		}
		src.set(false, func(s *fakeSource) { s.rev = 7 })
		time.Sleep(Poll + time.Millisecond)
		synctest.Wait()
		if f.Reached() != 7 {
			t.Errorf("without a hint: reached %d", f.Reached())
		}
		stop()
		if want := []model.Revision{5, 6, 7}; !slices.Equal(tos(*got), want) {
			t.Errorf("delivered %v, want %v", tos(*got), want)
		}
		if !(*got)[0].Reload || (*got)[1].Reload || (*got)[2].From != 6 {
			t.Errorf("%+v", *got)
		}
		if n := value(t, f.metrics.revision); n != 7 {
			t.Errorf("cp_feed_revision is %v", n)
		}
	})
}

// A thousand hints while one batch is being delivered cost one question, and the last change is not missed.
func TestHintsMerge(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		src := newSource(1)
		busy := make(chan struct{})
		var got []model.Batch
		f := newFeed(src, func(b model.Batch) {
			if got = append(got, b); b.To == 2 {
				<-busy
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		synctest.Wait()
		src.set(true, func(s *fakeSource) { s.rev = 2 })
		synctest.Wait()
		before := src.asks
		for range 1000 {
			src.set(true, func(s *fakeSource) { s.rev++ })
		}
		close(busy)
		synctest.Wait()
		if want := []model.Revision{1, 2, 1002}; !slices.Equal(tos(got), want) || got[2].From != 2 {
			t.Errorf("delivered %v, want %v", tos(got), want)
		}
		if n := src.asks - before; n > 3 { // for the news, whether there is more, and for the hint that was kept
			t.Errorf("%d questions for 1000 hints", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// During an outage the log has its beginning and its end, and nothing is lost.
func TestOutage(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		var text bytes.Buffer
		log := slog.New(slog.NewTextHandler(&text, nil))
		src := newSource(3)
		src.failing = true
		f, got, stop := follow(t, src, log)
		time.Sleep(time.Minute)
		if f.Loaded() || len(*got) != 0 {
			t.Errorf("loaded from a source that is down: %+v", *got)
		}
		src.set(false, func(s *fakeSource) { s.failing = false })
		time.Sleep(10 * time.Second)
		synctest.Wait()
		src.set(false, func(s *fakeSource) { s.rev, s.failing = 8, true })
		time.Sleep(time.Hour)
		synctest.Wait()
		if age := f.Age(time.Now()); age < time.Hour {
			t.Errorf("age %v after an hour without an answer", age)
		}
		src.set(false, func(s *fakeSource) { s.rev, s.failing = 9, false })
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if age := f.Age(time.Now()); age > Poll {
			t.Errorf("age %v after the outage", age)
		}
		stop()
		if want := []model.Revision{3, 9}; !slices.Equal(tos(*got), want) {
			t.Errorf("delivered %v, want %v", tos(*got), want)
		}
		if src.loads > 60 {
			t.Errorf("%d loads in a minute of outage", src.loads)
		}
		if n, m := strings.Count(text.String(), "changes can't be read"), strings.Count(text.String(), "changes are back"); n != 2 || m != 2 {
			t.Errorf("two outages have %d beginnings and %d ends in the log", n, m)
		}
		if n := value(t, f.metrics.failures.WithLabelValues("changes")); n < 10 {
			t.Errorf("%v failures counted", n)
		}
	})
}

// Without notifications the poll goes on; after the connection is lost it is made again.
func TestListenerComesBack(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		src := newSource(1)
		src.deaf = true
		f, _, stop := follow(t, src, slog.New(slog.DiscardHandler))
		src.set(false, func(s *fakeSource) { s.rev = 2 })
		time.Sleep(Poll + time.Millisecond)
		synctest.Wait()
		if f.Reached() != 2 {
			t.Errorf("without a listener: reached %d", f.Reached())
		}
		src.set(false, func(s *fakeSource) { s.deaf = false })
		time.Sleep(10 * time.Second)
		for range 3 {
			src.set(false, func(s *fakeSource) { close(s.hangUp); s.hangUp = make(chan struct{}) })
			time.Sleep(10 * time.Second)
		}
		synctest.Wait()
		src.set(true, func(s *fakeSource) { s.rev = 3 })
		synctest.Wait()
		if f.Reached() != 3 {
			t.Errorf("listening again: reached %d", f.Reached())
		}
		stop()
	})
}

func TestReloadInTheMiddle(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		src := newSource(9)
		f, got, stop := follow(t, src, slog.New(slog.DiscardHandler))
		src.set(true, func(s *fakeSource) { s.rev, s.reload = 4, true }) // restored to the past
		synctest.Wait()
		src.set(true, func(s *fakeSource) { s.rev = 5 })
		synctest.Wait()
		stop()
		if want := []model.Revision{9, 4, 5}; !slices.Equal(tos(*got), want) || f.Reached() != 5 {
			t.Errorf("delivered %v, want %v", tos(*got), want)
		}
		if n := value(t, f.metrics.batches.WithLabelValues("reload")); n != 2 {
			t.Errorf("%v reloads counted", n)
		}
	})
}

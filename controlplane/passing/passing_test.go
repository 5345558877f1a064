package passing

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// sets are removed one at a time; one of them can't be.
type sets struct {
	mu    sync.Mutex
	over  []string
	stuck string
	fail  error
	asked int
}

func (s *sets) RemovePassed(context.Context, time.Time) (*model.PassingSet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.fail != nil || len(s.over) == 0 {
		return nil, s.fail
	}
	set := &model.PassingSet{Name: s.over[0]}
	s.over = s.over[1:]
	if set.Name == s.stuck {
		return set, errors.New("something needs it")
	}
	return set, nil
}

// All that is over goes at once, whatever can't be removed; what is not known yet, a little later.
func TestAllThatIsOverIsRemoved(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		s := &sets{over: []string{"a", "b", "c"}, stuck: "b"}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- New(s, slog.New(slog.DiscardHandler)).Run(ctx) }()
		then := func(look func()) {
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			look()
		}
		then(func() {
			if len(s.over) > 0 || s.asked != 4 {
				t.Errorf("%v are left after %d questions", s.over, s.asked)
			}
			s.fail = errors.New("the database is away")
		})
		time.Sleep(3 * Every)
		then(func() {
			if s.asked != 7 {
				t.Errorf("%d questions", s.asked)
			}
			s.fail, s.over = nil, []string{"d"}
		})
		time.Sleep(Every)
		then(func() {
			if len(s.over) > 0 {
				t.Error("it is not looked again after a failure")
			}
		})
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

package model_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
	"github.com/warrenedge/warren/shared/bubbletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func at(rev model.Revision) *model.Model {
	return model.Empty().Apply(modeltest.NewBatch(rev - 1))
}

func TestCurrentWait(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		c := model.NewCurrent()
		if m, err := c.Wait(t.Context(), 0); err != nil || m.Revision() != 0 {
			t.Fatalf("Wait(0) = %d, %v", m.Revision(), err)
		}
		got := make(chan model.Revision, 1)
		go func() {
			m, err := c.Wait(t.Context(), 5)
			if err != nil {
				t.Error(err)
			}
			got <- m.Revision()
		}()
		for rev := range model.Revision(4) {
			c.Set(at(rev + 1))
			synctest.Wait()
			select {
			case r := <-got:
				t.Fatalf("Wait(5) returned at %d", r)
			default:
			}
		}
		c.Set(at(7))
		if r := <-got; r != 7 {
			t.Errorf("Wait(5) returned revision %d, want 7", r)
		}
		if c.Get().Revision() != 7 {
			t.Errorf("Get is at %d", c.Get().Revision())
		}
	})
}

func TestCurrentWaitEnds(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		c := model.NewCurrent()
		c.Set(at(3))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		m, err := c.Wait(ctx, 4)
		if !errors.Is(err, context.DeadlineExceeded) || m.Revision() != 3 {
			t.Errorf("Wait = %d, %v, want the newest and the deadline", m.Revision(), err)
		}
	})
}

func TestCurrentConcurrent(t *testing.T) {
	c := model.NewCurrent()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if m, err := c.Wait(t.Context(), 100); err != nil || m.Revision() < 100 {
				t.Errorf("Wait(100) = %d, %v", m.Revision(), err)
			}
		})
	}
	for rev := range model.Revision(100) {
		c.Set(at(rev + 1))
	}
	wg.Wait()
}

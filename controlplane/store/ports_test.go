package store_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

// A port of a pool has one service for each protocol, whoever writes them.
func TestPortsAreApart(t *testing.T) {
	s, w, ctx := storetest.New(t), newWorld(t), t.Context()
	w.create(t, s) // tcp 6000-6010
	elsewhere := model.Pool{ID: model.PoolID{}.New(), Name: "elsewhere"}
	if _, err := s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.CreatePool(ctx, &elsewhere) }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind        model.ServiceKind
		pool        model.PoolID
		first, last uint16
		ok          bool
	}{
		{model.TCP, w.pool.ID, 6000, 6010, false},
		{model.TCP, w.pool.ID, 6010, 6010, false},
		{model.TCP, w.pool.ID, 5001, 6000, false},
		{model.TCP, w.pool.ID, 6005, 7004, false},
		{model.TCP, w.pool.ID, 5990, 6020, false},
		{model.TCP, w.pool.ID, 6011, 7010, true},
		{model.TCP, w.pool.ID, 5000, 5999, true},
		{model.UDP, w.pool.ID, 6000, 6010, true},
		{model.TCP, elsewhere.ID, 6000, 6010, true},
	} {
		v := with(w.raw, func(v *model.Service) {
			v.ID, v.Name, v.Kind, v.Pool, v.Ports, v.ProxyProtocol = v.ID.New(), "x", c.kind, c.pool, model.Ports{First: c.first, Last: c.last}, 0
		})
		undo := errors.New("undo")
		_, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
			if err := tx.CreateService(ctx, v); err != nil {
				return err
			}
			return undo
		})
		if c.ok && !errors.Is(err, undo) {
			t.Errorf("%s %s: %v", v.Kind, v.Ports, err)
		}
		if !c.ok && (fault.Of(err) != fault.Conflict || !strings.Contains(err.Error(), "ports: overlap")) {
			t.Errorf("%s %s: %v, want a conflict of ports", v.Kind, v.Ports, err)
		}
	}
	// It may move within its own ports, and two at once see each other.
	if _, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		_, err := tx.UpdateService(ctx, with(w.raw, func(v *model.Service) { v.Ports = model.Ports{First: 6005, Last: 6015} }))
		return err
	}); err != nil {
		t.Error(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 8 {
		wg.Go(func() {
			v := with(w.raw, func(v *model.Service) {
				v.ID, v.Name, v.Ports = v.ID.New(), "race-"+string(rune('a'+i)), model.Ports{First: 9000 - uint16(i), Last: 9000}
			})
			_, err := s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.CreateService(ctx, v) })
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if fault.Of(err) != fault.Conflict {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made != 1 {
		t.Errorf("%d of 8 have port 9000", made)
	}
}

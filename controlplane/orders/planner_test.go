package orders

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Where a budget has room for some of what is due on a day, the plan begins with what most requests go to, whichever was there first.
func TestPlanBeginsWithTheMostUsed(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	r.issuer.Limits.NewOrders = 3 // in 3 hours; 2 of them for what is new
	r.tx(t, func(tx *store.Tx) error { return tx.UpdateIssuer(t.Context(), r.issuer) })
	now := time.Now().UTC().Truncate(model.TrafficFine)
	if err := r.db.MakePartitions(t.Context(), now.Add(-2*time.Hour), 1); err != nil {
		t.Fatal(err)
	}
	const apexes = 6
	for i := range apexes {
		r.publish(t, fmt.Sprintf("u%d.test", i))
	}
	r.until(t, "the model has all services", 10*time.Second, func(*store.Tx) (bool, error) {
		return len(slices.Collect(r.world.Get().Services())) == apexes, nil
	})
	requests := map[string]int64{"www.u1.test": 10, "www.u3.test": 500, "www.u4.test": 90} // u3 and u4 are needed most
	var counted []*model.NodeTraffic
	for s := range r.world.Get().Services() {
		if n := requests[s.Hostname]; n > 0 {
			counted = append(counted, &model.NodeTraffic{At: now.Add(-time.Hour), Org: s.Org, Service: s.ID, Node: model.NodeID{}.New(), Traffic: model.Traffic{Requests: n}})
		}
	}
	r.tx(t, func(tx *store.Tx) error {
		if err := tx.AddTraffic(t.Context(), counted); err != nil {
			return err
		}
		_, err := tx.RollUpTraffic(t.Context(), now.Add(-2*time.Hour), now.Add(-2*time.Hour))
		return err
	})
	if err := NewPlanner(New(r.options("a"))).Plan(t.Context(), r.world.Get(), time.Now()); err != nil {
		t.Fatal(err)
	}
	r.tx(t, func(tx *store.Tx) error {
		var begun []string
		for _, m := range r.managed(t, tx) {
			orders, err := tx.ListOrdersOf(t.Context(), m.ID, 5)
			if err != nil {
				return err
			}
			if len(orders) > 0 {
				begun = append(begun, m.Names[1])
			}
		}
		slices.Sort(begun)
		if want := []string{"u3.test", "u4.test"}; !slices.Equal(begun, want) {
			t.Errorf("the plan begins with %q, want %q", begun, want)
		}
		return nil
	})
}

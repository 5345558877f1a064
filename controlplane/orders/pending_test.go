package orders

import (
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// An authority without a list of orders, which answers newOrder with the order that is pending (Let's Encrypt): an order that
// has failed here and is pending there is gone on with by the next one of the same names.
func TestPendingOrderIsGoneOnWith(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	r.proxy.LikeBoulder()
	o, may := r.options("a"), &allowing{methods: Methods{"p.test": {Types: []model.ChallengeType{model.TLSALPN01}}}}
	o.Preflight = may
	w, _ := r.run(t, o)
	r.publish(t, "p.test")
	r.until(t, "an order for which no challenge is offered", 30*time.Second, func(tx *store.Tx) (bool, error) {
		m := r.managed(t, tx)
		return len(m) == 1 && m[0].LadderStep == 1, nil
	})
	may.mu.Lock()
	may.methods = nil
	may.mu.Unlock()
	r.tx(t, func(tx *store.Tx) error { return tx.ResetLadder(t.Context(), r.org.ID, "p.test", time.Now()) })
	w.Replan()
	r.usable(t, r.served(t, 1, 30*time.Second)["*.p.test"])
	if made, again := r.proxy.NewOrders()["*.p.test,p.test"], r.proxy.Repeated(); made != 1 || again != 1 {
		t.Errorf("%d orders were made, %d newOrders answered with them; want one and one", made, again)
	}
	r.spent(t, 2)
}

// Workers that are killed around newOrder at such an authority: each order completes, none is made twice, and what it cost is
// counted once for each newOrder at most.
func TestKilledAroundNewOrderWithoutList(t *testing.T) {
	r := newRigAlone(t, acmetest.Config{})
	r.proxy.LikeBoulder()
	todo := []string{"newOrder before", "newOrder after", "place: write ordered before", "place: write ordered after"}
	x := &replicas{r: r, todo: slices.Clone(todo), killed: map[string]bool{}, cmds: map[int]*exec.Cmd{}}
	x.start(t, 2)
	made := 0
	for end := time.Now().Add(2 * time.Minute); len(x.missed(todo)) > 0; time.Sleep(time.Second) {
		if time.Now().After(end) {
			t.Fatalf("nobody was killed at %q", x.missed(todo))
		}
		for range 2 {
			r.publish(t, fmt.Sprintf("k%d.test", made))
			made++
		}
	}
	for _, c := range r.served(t, made, 2*time.Minute) {
		r.usable(t, c)
	}
	x.end()
	for names, n := range r.proxy.NewOrders() {
		if n != 1 {
			t.Errorf("%d orders of %s", n, names)
		}
	}
	r.spent(t, r.proxy.Requests()[acmetest.NewOrder]+1) // the first was killed before it had sent what it paid for
}

// spent wants that no more newOrders were paid for.
func (r *rig) spent(t *testing.T, most int) {
	t.Helper()
	r.tx(t, func(tx *store.Tx) error {
		b, err := tx.ListBuckets(t.Context(), r.issuer.ID, model.BudgetNewOrders)
		if n := float64(r.issuer.Limits.NewOrders) - b[0].Tokens; len(b) != 1 || n > float64(most)+0.1 {
			t.Errorf("%v newOrders were paid for, want %d at most", n, most)
		}
		return err
	})
}

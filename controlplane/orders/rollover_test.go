package orders

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// rolled waits until an account has another key than before.
func (r *rig) rolled(t *testing.T, before *model.Issuer) *model.Issuer {
	t.Helper()
	var now *model.Issuer
	r.until(t, "the account's other key", time.Minute, func(*store.Tx) (bool, error) {
		now = r.issuerNow(t)
		return now.RolloverNext.IsZero(), nil
	})
	if bytes.Equal(now.SealedAccountKey, before.SealedAccountKey) || now.SealedPendingKey != nil || now.AccountURL != before.AccountURL || now.RolledOver.IsZero() {
		t.Errorf("after the rollover: %+v", now)
	}
	return now
}

func (r *rig) ask(t *testing.T) {
	t.Helper()
	r.tx(t, func(tx *store.Tx) error { return tx.AskRollover(t.Context(), r.issuer.ID, time.Now()) })
}

// The account keeps its URL and gets another key, at an authority that loses the answer, while orders come from two replicas: all are
// issued, with no failed validation and no second account.
func TestRolloverWhileOrdersGoOn(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	for _, name := range []string{"a", "b"} {
		r.run(t, r.options(name))
	}
	r.publish(t, "r0.test")
	r.served(t, 1, 30*time.Second)
	before := r.issuerNow(t)
	r.proxy.Next(acmetest.KeyChange, acmetest.Lose)
	r.ask(t)
	for n := range 6 {
		r.publish(t, fmt.Sprintf("r%d.test", n+1))
	}
	after := r.rolled(t, before)
	r.publish(t, "last.test")
	for _, c := range r.served(t, 8, time.Minute) {
		r.usable(t, c)
	}
	if got := r.issuerNow(t); got.AccountURL != after.AccountURL {
		t.Errorf("another account: %s, before %s", got.AccountURL, after.AccountURL)
	}
	if f := r.proxy.FailedValidations(); len(f) != 0 {
		t.Errorf("failed validations: %v", f)
	}
	for names, n := range r.proxy.NewOrders() {
		if n != 1 {
			t.Errorf("%d orders of %s", n, names)
		}
	}
}

// A replica is killed for real at each point of a rollover: when the key is stored, before and after the authority has heard of it, and
// before the row says so. Another one ends it, with the key that is stored, and orders go on at the same account.
func TestRolloverSurvivesKills(t *testing.T) {
	r := newRigAlone(t, acmetest.Config{})
	points := []string{"rollover stored", "rollover before", "rollover after", "rollover finish before"}
	x := &replicas{r: r, killed: map[string]bool{}, cmds: map[int]*exec.Cmd{}}
	x.start(t, 1)
	planner := NewPlanner(New(r.options("planner")))
	made := 0
	publish := func() {
		t.Helper()
		r.publish(t, fmt.Sprintf("k%d.test", made))
		made++
		r.until(t, "certificates", time.Minute, func(tx *store.Tx) (bool, error) {
			if err := planner.Plan(t.Context(), r.world.Get(), time.Now()); err != nil {
				return false, err
			}
			all := r.managed(t, tx)
			return len(all) == made && !slices.ContainsFunc(all, func(m *model.ManagedCertificate) bool { return m.Certificate.IsZero() }), nil
		})
	}
	publish()
	for _, p := range points {
		before := r.issuerNow(t)
		x.next(p)
		r.until(t, "the replica that is to be killed", 20*time.Second, func(*store.Tx) (bool, error) {
			x.mu.Lock()
			defer x.mu.Unlock()
			return len(x.todo) == 0, nil
		})
		r.ask(t)
		r.rolled(t, before)
		x.mu.Lock()
		if !x.killed[p] {
			t.Errorf("nobody was killed at %q", p)
		}
		x.mu.Unlock()
		publish()
	}
	if n := r.proxy.Requests()[acmetest.NewAccount]; n == 0 {
		t.Error("no account was made")
	}
}

package orders

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// An authority that binds accounts to its customers (RFC 8555 §7.3.4) makes none without the key that it gave, and says so; with it, which is
// sealed for its own place, the order that has waited goes on.
func TestAccountIsBound(t *testing.T) {
	mac := bytes.Repeat([]byte("k"), 32)
	r := newRig(t, acmetest.Config{EAB: map[string]string{"customer-7": base64.RawURLEncoding.EncodeToString(mac)}})
	w, _ := r.run(t, r.options("a"))
	r.publish(t, "bound.test")
	var waits *model.Order
	r.until(t, "the refusal", 30*time.Second, func(tx *store.Tx) (bool, error) {
		all := r.managed(t, tx)
		if len(all) != 1 {
			return false, nil
		}
		os, err := tx.ListOrdersOf(t.Context(), all[0].ID, 1)
		if err != nil || len(os) == 0 || !strings.Contains(os[0].Problem, "xternal") {
			return false, err
		}
		waits = os[0]
		return true, nil
	})
	if waits.State.Final() || !waits.NextAttempt.After(time.Now()) || r.proxy.Requests()[acmetest.NewOrder] != 0 {
		t.Errorf("%s, next at %v, %s; %s", waits.State, waits.NextAttempt, waits.Problem, r.proxy)
	}
	r.tx(t, func(tx *store.Tx) error {
		i, err := tx.LockIssuer(t.Context(), r.issuer.ID)
		if err != nil {
			return err
		}
		i.EABKeyID = "customer-7"
		if i.SealedEABKey, err = r.sealer.Seal(mac, i.EABRow()); err != nil {
			return err
		}
		if err := tx.UpdateIssuer(t.Context(), i); err != nil {
			return err
		}
		waits.NextAttempt = time.Now()
		return tx.WriteOrder(t.Context(), waits, true)
	})
	w.Kick()
	r.usable(t, r.served(t, 1, 30*time.Second)["*.bound.test"])
	if n := r.proxy.NewOrders()["*.bound.test,bound.test"]; n != 1 {
		t.Errorf("%d orders", n)
	}
	i := r.issuerNow(t)
	if i.AccountURL == "" {
		t.Error("there is no account")
	}
	if _, err := r.sealer.Open(i.SealedEABKey, i.ID.String()); err == nil {
		t.Error("the key of the binding opens in the place of the account's")
	}
}

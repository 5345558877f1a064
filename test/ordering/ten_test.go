package ordering

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Ten names in one order, below two zones, while nodes lag and restart: all proofs are written before the authority is told to look
// at any, none fails, and the certificate has all ten.
func TestOrderOfTenNames(t *testing.T) {
	zones := []string{"first.test", "second.test"}
	r := newRig(t, lag, acmetest.Config{}, zones...)
	names := []string{zones[0], "*." + zones[0]}
	for i := range 8 {
		names = append(names, fmt.Sprintf("n%d.%s", i, zones[i%2]))
	}
	slices.Sort(names)
	r.publish(t, names...)
	r.write(t, names)
	ctx, cancel := context.WithCancel(t.Context())
	var beside sync.WaitGroup
	defer func() { cancel(); beside.Wait() }()
	beside.Go(func() { r.nodes.restart(ctx, t, r.dice) })
	r.carry(t, r.gate(), false, model.DNS01)
	all := r.issued(t, 1, patient)
	cancel()
	beside.Wait()

	if len(all) != 1 || !slices.Equal(all[0].Names, names) {
		t.Fatalf("%d orders, the first of %v", len(all), all[0].Names)
	}
	if n := r.proxy.Initiated()[string(model.DNS01)]; n != len(names) {
		t.Errorf("the authority was told to look at %d proofs, of %d names", n, len(names))
	}
	if f, o := r.proxy.FailedValidations(), r.proxy.InvalidOrders(); len(f)+len(o) > 0 {
		t.Errorf("failed validations %v, invalid orders %v", f, o)
	}
	r.tx(t, func(tx *store.Tx) error {
		events, err := tx.ListOrderEvents(t.Context(), all[0].ID)
		var states []model.OrderState
		for _, e := range events {
			if len(states) == 0 || states[len(states)-1] != e.State {
				states = append(states, e.State)
			}
		}
		written, initiated := slices.Index(states, model.OrderChallengesWritten), slices.Index(states, model.OrderInitiated)
		if written < 0 || initiated < written || slices.Contains(states[initiated:], model.OrderChallengesWritten) {
			t.Errorf("timeline %v", states)
		}
		c, e := tx.GetCertificate(t.Context(), all[0].Certificate)
		if err = errors.Join(err, e); err != nil {
			return err
		}
		block, _ := pem.Decode(c.ChainPEM)
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err == nil && !slices.Equal(slices.Sorted(slices.Values(leaf.DNSNames)), names) {
			t.Errorf("the certificate is for %v", leaf.DNSNames)
		}
		return err
	})
}

// write makes one order of names, as the planner makes one: by itself it orders none of so many.
func (r *rig) write(t testing.TB, names []string) {
	t.Helper()
	now := time.Now()
	r.tx(t, func(tx *store.Tx) error {
		issuers, err := tx.ListIssuers(t.Context())
		if err != nil {
			return err
		}
		at := slices.IndexFunc(issuers, func(i *model.Issuer) bool { return !i.Internal() })
		m := &model.ManagedCertificate{ID: model.ManagedCertificateID{}.New(), Org: r.org.ID, Names: names, KeyType: model.ECDSA, Wanted: true, NextAttempt: now.Add(time.Hour)}
		if err := tx.CreateManagedCertificate(t.Context(), m); err != nil {
			return err
		}
		_, err = tx.CreateOrders(t.Context(), []*model.Order{{
			ID: model.OrderID{}.New(), Org: r.org.ID, Managed: m.ID, Issuer: issuers[at].ID, Names: names, KeyType: model.ECDSA, Certificate: model.CertificateID{}.New(), NextAttempt: now,
		}}, now)
		return err
	})
}

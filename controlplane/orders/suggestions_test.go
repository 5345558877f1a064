package orders

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

// suggesting is an authority that is only asked when to renew.
type suggesting struct {
	CA
	asked atomic.Int64
	say   func(ctx context.Context) (*acme.RenewalInfo, error)
}

func (s *suggesting) RenewalInfo(ctx context.Context, _ *x509.Certificate) (*acme.RenewalInfo, error) {
	s.asked.Add(1)
	return s.say(ctx)
}

// polled is a database of certificates whose authorities are due to be asked when to renew.
type polled struct {
	*Planner
	db  *store.Store
	org *model.Organization
	now time.Time
}

func newPolled(t *testing.T) *polled {
	t.Helper()
	db := storetest.New(t)
	w := New(Options{Store: db, World: model.NewCurrent(), Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry()})
	x := &polled{NewPlanner(w), db, &model.Organization{ID: model.OrgID{}.New(), Name: "o"}, time.Now().UTC().Truncate(time.Second)}
	x.write(t, func(ctx context.Context, tx *store.Tx) error { return tx.CreateOrganization(ctx, x.org) })
	return x
}

func (x *polled) write(t *testing.T, fn func(ctx context.Context, tx *store.Tx) error) {
	t.Helper()
	if _, err := x.db.Tx(t.Context(), "test", func(tx *store.Tx) error { return fn(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

// add makes an authority, with certificates whose suggestions have been due for a while.
func (x *polled) add(t *testing.T, name string, n int, overdue time.Duration, say func(ctx context.Context) (*acme.RenewalInfo, error)) (*suggesting, *model.Issuer) {
	t.Helper()
	i := &model.Issuer{ID: model.IssuerID{}.New(), Name: name, DirectoryURL: "https://" + name + ".example/dir", Rank: 1, AccountURL: "https://" + name + ".example/1"}
	ca := &suggesting{say: say}
	chain := selfSigned(t, x.now)
	x.write(t, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.CreateIssuer(ctx, i); err != nil {
			return err
		}
		if err := tx.SetAccountURL(ctx, i.ID, i.AccountURL); err != nil {
			return err
		}
		for k := range n {
			m := &model.ManagedCertificate{
				ID: model.ManagedCertificateID{}.New(), Org: x.org.ID, Names: []string{fmt.Sprintf("c%d.%s.test", k, name)}, KeyType: model.ECDSA, Wanted: true, NextAttempt: x.now.Add(60 * 24 * time.Hour),
			}
			c := &model.Certificate{
				ID: model.CertificateID{}.New(), Org: x.org.ID, Names: m.Names, ChainPEM: chain, SealedKey: []byte("x"), NotBefore: x.now.Add(-time.Hour), NotAfter: x.now.Add(90 * 24 * time.Hour),
				Managed: m.ID, Issuer: i.ID, KeyType: model.ECDSA,
			}
			if err := tx.CreateManagedCertificate(ctx, m); err != nil {
				return err
			}
			if err := tx.CreateCertificate(ctx, c); err != nil {
				return err
			}
			m.Certificate, m.RenewAt, m.ARIPollAt = c.ID, m.NextAttempt, x.now.Add(-overdue)
			if err := tx.UpdateManagedCertificate(ctx, m); err != nil {
				return err
			}
		}
		return nil
	})
	x.w.accounts.open[i.ID] = &account{ca: steady{ca, i.ID, x.w.pauses}, url: i.AccountURL, directory: i.DirectoryURL, close: func() {}}
	return ca, i
}

func selfSigned(t *testing.T, now time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(90 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, v, v, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (x *polled) managed(t *testing.T, name string) (out []*model.ManagedCertificate) {
	t.Helper()
	x.write(t, func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.AllManagedCertificates(ctx)
		for _, m := range all {
			var k int
			if _, e := fmt.Sscanf(m.Names[0], "c%d."+name+".test", &k); e == nil {
				out = append(out, m)
			}
		}
		return err
	})
	return out
}

// An authority that hangs when it is asked for renewal information keeps up nobody: the windows of others come in the same round, what it was
// not asked for any more is due again soon, and in the next round it is asked as little.
func TestHangingSuggestionsKeepUpNobody(t *testing.T) {
	x := newPolled(t)
	x.patience = 100 * time.Millisecond
	hanging, _ := x.add(t, "hanging", 40, time.Hour, func(ctx context.Context) (*acme.RenewalInfo, error) {
		<-ctx.Done()
		return nil, &acme.NoRenewalInfo{Reason: ctx.Err(), RetryAfter: x.now.Add(6 * time.Hour)}
	})
	good, _ := x.add(t, "good", 3, time.Minute, func(context.Context) (*acme.RenewalInfo, error) {
		return &acme.RenewalInfo{Start: x.now.Add(time.Hour), End: x.now.Add(2 * time.Hour), RetryAfter: x.now.Add(6 * time.Hour)}, nil
	})
	if err := x.poll(t.Context(), x.now); err != nil {
		t.Fatal(err)
	}
	if n := good.asked.Load(); n != 3 {
		t.Errorf("the other authority was asked %d times", n)
	}
	for _, m := range x.managed(t, "good") {
		if m.RenewAt.Before(x.now.Add(time.Hour)) || m.RenewAt.After(x.now.Add(2*time.Hour)) {
			t.Errorf("%v is renewed at %v", m.Names, m.RenewAt)
		}
	}
	if n := hanging.asked.Load(); n < mostSilence || n > mostSilence+pollAtOnce {
		t.Errorf("the one that hangs was asked %d times", n)
	}
	deferred := 0
	for _, m := range x.managed(t, "hanging") {
		if !m.RenewAt.Equal(x.now.Add(60*24*time.Hour)) || !m.ARIPollAt.After(x.now) {
			t.Errorf("%v is renewed at %v, asked about at %v", m.Names, m.RenewAt, m.ARIPollAt)
		}
		if m.ARIPollAt.Equal(x.now.Add(pollDeferred)) {
			deferred++
		}
	}
	if n := int(hanging.asked.Load()); deferred != 40-n {
		t.Errorf("%d of %d are due again soon", deferred, 40-n)
	}
}

// A Retry-After is the account's: renewal information is asked for no more, by whoever, until then, whereas all else is.
func TestLimitedSuggestions(t *testing.T) {
	x := newPolled(t)
	until := x.now.Add(3 * time.Hour)
	ca, i := x.add(t, "limits", 20, time.Hour, func(context.Context) (*acme.RenewalInfo, error) {
		return nil, &acme.NoRenewalInfo{Reason: &acme.Problem{Status: http.StatusTooManyRequests, RetryAfter: until, Detail: "slow down"}, RetryAfter: until}
	})
	if err := x.poll(t.Context(), x.now); err != nil {
		t.Fatal(err)
	}
	asked := ca.asked.Load()
	if asked > pollAtOnce {
		t.Errorf("asked %d times", asked)
	}
	for _, m := range x.managed(t, "limits") {
		if m.ARIPollAt.Before(until.Add(-time.Second)) {
			t.Errorf("%v is asked about at %v, before %v", m.Names, m.ARIPollAt, until)
		}
	}
	x.write(t, func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.ListIssuers(ctx)
		for _, v := range all {
			if v.ID == i.ID && (!v.Limited[model.AskRenewalInfo].Equal(until) || v.OrdersFrom().After(x.now) || v.LastProblem == "") {
				t.Errorf("the issuer: %+v", v)
			}
		}
		return err
	})
}

package certwatch

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const day = 24 * time.Hour

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Three replicas watch certificates through the last months of their lives: each warning is given once, whoever gives
// it, and none of what has a successor.
func TestEachWarningIsGivenOnce(t *testing.T) {
	db := storetest.New(t)
	org := &model.Organization{ID: model.OrgID{}.New(), Name: "a"}
	hook := &model.Webhook{ID: model.WebhookID{}.New(), Name: "all", URL: "https://hooks.example/", SealedSecret: []byte{1, 0, 0, 0, 0, 1}, Enabled: true}
	cert := func(name string, life time.Duration) *model.Certificate {
		return &model.Certificate{ID: model.CertificateID{}.New(), Org: org.ID, Names: []string{name}, ChainPEM: []byte("x"), SealedKey: []byte("x"), NotBefore: begin, NotAfter: begin.Add(life), Uploaded: true}
	}
	long, short, replaced, successor := cert("long.example", 90*day), cert("short.example", 6*day), cert("replaced.example", 90*day), cert("replaced.example", 200*day)
	_, err := db.Tx(t.Context(), "test", func(tx *store.Tx) error {
		err := errors.Join(tx.CreateOrganization(t.Context(), org), tx.CreateWebhook(t.Context(), hook))
		for _, c := range []*model.Certificate{long, short, replaced, successor} {
			err = errors.Join(err, tx.CreateCertificate(t.Context(), c))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var replicas []*Watcher
	for range 3 {
		replicas = append(replicas, New(db, slog.New(slog.DiscardHandler), prometheus.NewRegistry()))
	}
	look := func(now time.Time) {
		var all sync.WaitGroup
		for _, w := range replicas {
			all.Go(func() {
				if err := w.look(t.Context(), now); err != nil {
					t.Errorf("%v: %v", now, err)
				}
			})
		}
		all.Wait()
	}
	for at := begin; at.Before(begin.Add(6 * day)); at = at.Add(90 * time.Minute) {
		look(at)
	}
	for at := begin.Add(58 * day); at.Before(begin.Add(91 * day)); at = at.Add(12 * time.Hour) {
		look(at)
	}
	got := map[string][]string{}
	if err := db.View(t.Context(), func(tx *store.Tx) error {
		events, err := tx.ListEvents(t.Context(), model.CertificateExpiring)
		for _, e := range events {
			var d model.CertificateEventData
			if err := json.Unmarshal(e.Data, &d); err != nil {
				return err
			}
			got[d.Names[0]] = append(got[d.Names[0]], fmt.Sprint(d.Threshold))
			if waits, err := tx.Undelivered(t.Context(), hook.ID, e.ID); err != nil || !waits || e.Org != org.ID {
				t.Errorf("%+v is not to be told: %v", e, err)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"long.example": "30 14 7 1", "short.example": "30 14 7 1", "replaced.example": ""} {
		if g := strings.Join(got[name], " "); g != want {
			t.Errorf("%s is warned of at %q, want %q", name, g, want)
		}
	}
}

// Series are bounded by states, kinds and issuers, however many certificates there are.
func TestMetrics(t *testing.T) {
	db, reg := storetest.New(t), prometheus.NewRegistry()
	org := &model.Organization{ID: model.OrgID{}.New(), Name: "a"}
	issuer := &model.Issuer{ID: model.IssuerID{}.New(), Name: "le", DirectoryURL: "https://ca.example/dir"}
	now := begin.Add(80 * day)
	_, err := db.Tx(t.Context(), "test", func(tx *store.Tx) error {
		err := errors.Join(tx.CreateOrganization(t.Context(), org), tx.CreateIssuer(t.Context(), issuer))
		for i := range 20 {
			c := &model.Certificate{
				ID: model.CertificateID{}.New(), Org: org.ID, Names: []string{fmt.Sprintf("h%d.example", i)}, ChainPEM: []byte("x"), SealedKey: []byte("x"),
				NotBefore: begin.Add(-30 * day), NotAfter: begin.Add(time.Duration(81+i) * day), Uploaded: true,
			}
			m := &model.ManagedCertificate{
				ID: model.ManagedCertificateID{}.New(), Org: org.ID, Names: []string{fmt.Sprintf("m%d.example", i)}, KeyType: model.ECDSA, Wanted: true, NextAttempt: now,
			}
			err = errors.Join(err, tx.CreateCertificate(t.Context(), c), tx.CreateManagedCertificate(t.Context(), m))
		}
		buckets, e := tx.LockBuckets(t.Context(), issuer.ID, []model.Bucket{{BucketKey: model.BucketKey{Kind: model.BudgetDomain, Key: "h1.example"}, Tokens: 20, At: now}}, now)
		if len(buckets) != 1 {
			e = errors.Join(e, fmt.Errorf("%d buckets", len(buckets)))
		}
		return errors.Join(err, e)
	})
	if err != nil {
		t.Fatal(err)
	}
	w := New(db, slog.New(slog.DiscardHandler), reg)
	if err := w.look(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	want := `
# HELP cp_certificates Certificates, by state.
# TYPE cp_certificates gauge
cp_certificates{state="issuing"} 20
cp_certificates{state="uploaded"} 20
# HELP cp_certificates_ending Certificates without a successor that have passed a warning, by its days of a certificate of 90 days.
# TYPE cp_certificates_ending gauge
cp_certificates_ending{days="1"} 1
cp_certificates_ending{days="14"} 14
cp_certificates_ending{days="30"} 20
cp_certificates_ending{days="7"} 7
# HELP cp_issuer_budget_left What may still be asked of an issuer now, of its kind that is shortest: by anybody (for new), or by renewals.
# TYPE cp_issuer_budget_left gauge
cp_issuer_budget_left{budget="domain",for="new",issuer="le"} 4
cp_issuer_budget_left{budget="domain",for="renewals",issuer="le"} 20
cp_issuer_budget_left{budget="failed_validations",for="new",issuer="le"} 4
cp_issuer_budget_left{budget="failed_validations",for="renewals",issuer="le"} 5
cp_issuer_budget_left{budget="new_orders",for="new",issuer="le"} 200
cp_issuer_budget_left{budget="new_orders",for="renewals",issuer="le"} 300
cp_issuer_budget_left{budget="set",for="new",issuer="le"} 4
cp_issuer_budget_left{budget="set",for="renewals",issuer="le"} 5
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "cp_certificates", "cp_certificates_ending", "cp_issuer_budget_left"); err != nil {
		t.Error(err)
	}
	first := testutil.ToFloat64(w.metrics.first.WithLabelValues("uploaded"))
	if want := float64(begin.Add(81 * day).Unix()); first != want {
		t.Errorf("the first ends at %v, want %v", first, want)
	}
}

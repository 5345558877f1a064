package certwatch

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/budget"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// metrics are the same at each replica with the role worker: what the rows say.
type metrics struct {
	count  *prometheus.GaugeVec
	first  *prometheus.GaugeVec
	ending *prometheus.GaugeVec
	budget *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	return &metrics{
		count: gauge("cp_certificates", "Certificates, by state.", "state"),
		first: gauge("cp_certificates_first_expiry_timestamp_seconds", "When the first certificate of a state ends.", "state"),
		ending: gauge("cp_certificates_ending", "Certificates without a successor that have passed a warning, by its days of a certificate of 90 days.",
			"days"),
		budget: gauge("cp_issuer_budget_left", "What may still be asked of an issuer now, of its kind that is shortest: by anybody (for new), or by renewals.",
			"issuer", "budget", "for"),
	}
}

func (m *metrics) read(ctx context.Context, tx *store.Tx, ending []*store.Ending, now time.Time) error {
	states, err := tx.CertificateStates(ctx, now)
	if err != nil {
		return err
	}
	m.count.Reset()
	m.first.Reset()
	for _, s := range states {
		m.count.WithLabelValues(s.State).Set(float64(s.Count))
		if !s.FirstEnd.IsZero() {
			m.first.WithLabelValues(s.State).Set(float64(s.FirstEnd.Unix()))
		}
	}
	passed := map[int]int{}
	for _, e := range ending {
		days := certs.Warning(certs.Lifetime{NotBefore: e.Certificate.NotBefore, NotAfter: e.Certificate.NotAfter}, now)
		for _, d := range certs.Warnings {
			if days != 0 && days <= d {
				passed[d]++
			}
		}
	}
	for _, d := range certs.Warnings {
		m.ending.WithLabelValues(strconv.Itoa(d)).Set(float64(passed[d]))
	}
	return m.budgets(ctx, tx, now)
}

// budgets are one series for each issuer and kind: what is counted for each name shows the name with the least left.
func (m *metrics) budgets(ctx context.Context, tx *store.Tx, now time.Time) error {
	issuers, err := tx.ListIssuers(ctx)
	if err != nil {
		return err
	}
	m.budget.Reset()
	for _, i := range issuers {
		if i.Internal() {
			continue
		}
		for kind, limit := range budget.Limits(i.Limits) {
			buckets, err := tx.ListBuckets(ctx, i.ID, kind)
			if err != nil {
				return err
			}
			least := limit.Full(model.BucketKey{Kind: kind}, now)
			for _, b := range buckets {
				if b = limit.At(b, now); b.Tokens < least.Tokens {
					least = b
				}
			}
			m.budget.WithLabelValues(i.Name, string(kind), "new").Set(float64(limit.Left(least, false, now)))
			m.budget.WithLabelValues(i.Name, string(kind), "renewals").Set(float64(limit.Left(least, true, now)))
		}
	}
	return nil
}

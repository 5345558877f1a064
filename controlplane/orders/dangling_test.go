package orders

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// parting is a Gate during whose first wait somebody does something.
type parting struct {
	Gate
	once sync.Once
	do   func()
}

func (l *parting) Ready(ctx context.Context, rev model.Revision, all []*model.Challenge) error {
	err := l.Gate.Ready(ctx, rev, all)
	l.once.Do(l.do)
	return err
}

// T42: a domain is removed while an order for it is under way. The authority is not asked to look, nobody answers for the name any
// more, and whoever has the domain next gets a certificate of his own.
func TestT42_OrdersEndWithTheirDomain(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	o := r.options("a")
	o.Gate = &parting{Gate: o.Gate, do: func() {
		_, err := r.db.Tx(context.WithoutCancel(t.Context()), "test", func(tx *store.Tx) error {
			s, err := tx.GetServiceByName(t.Context(), r.org.ID, "gone-test")
			if err != nil {
				return err
			}
			d, err := tx.GetDomainByName(t.Context(), r.org.ID, "gone.test")
			if err != nil {
				return err
			}
			if err := tx.DeleteService(t.Context(), s.ID); err != nil {
				return err
			}
			return tx.DeleteDomain(t.Context(), d.ID)
		})
		if err != nil {
			t.Error(err)
		}
	}}
	r.run(t, o)
	r.publish(t, "gone.test")
	r.until(t, "the end of the order", 30*time.Second, func(tx *store.Tx) (bool, error) {
		all := r.managed(t, tx)
		if len(all) != 1 {
			return false, nil
		}
		of, err := tx.ListOrdersOf(t.Context(), all[0].ID, 1)
		if err != nil || len(of) != 1 || !of[0].State.Final() {
			return false, err
		}
		if of[0].Class != model.OrderAbandoned || !strings.HasSuffix(of[0].Problem, "is in no domain of the organization any more") || !all[0].Certificate.IsZero() {
			t.Errorf("%s, %s: %s", of[0].State, of[0].Class, of[0].Problem)
		}
		left, err := tx.ListChallengesOfOrder(t.Context(), of[0].ID)
		if len(left) != 0 {
			t.Errorf("%d challenges are left", len(left))
		}
		return true, err
	})
	if n := r.proxy.Requests()[acmetest.Initiate]; n != 0 {
		t.Errorf("the authority was asked to look %d times", n)
	}
	r.until(t, "nobody answers", 30*time.Second, func(*store.Tx) (bool, error) {
		in, _, err := (&dns.Client{Net: "tcp"}).ExchangeContext(t.Context(), new(dns.Msg).SetQuestion("_acme-challenge.gone.test.", dns.TypeTXT), r.dns.Addr)
		return err == nil && len(in.Answer) == 0, nil // a name server that is busy is asked again
	})

	next := &model.Organization{ID: model.OrgID{}.New(), Name: "next"}
	r.tx(t, func(tx *store.Tx) error { return tx.CreateOrganization(t.Context(), next) })
	r.org = next
	r.publish(t, "gone.test")
	r.until(t, "a certificate of who has it next", time.Minute, func(tx *store.Tx) (bool, error) {
		for _, m := range r.managed(t, tx) {
			if m.Certificate.IsZero() {
				continue
			}
			c, err := tx.GetCertificate(t.Context(), m.Certificate)
			if err == nil && c.Org != next.ID {
				t.Errorf("a certificate for %v", c.Names)
			}
			return true, err
		}
		return false, nil
	})
}

package orders

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// bound is a Gate that wants nodes to name the account in CAA records at the revision that it is asked about.
type bound struct {
	probing
	world *model.Current
	db    *store.Store
	seen  chan string // the account, or what is wrong
}

func (b bound) Ready(ctx context.Context, rev model.Revision, all []*model.Challenge) error {
	m, err := b.world.Wait(ctx, rev)
	if err != nil {
		return err
	}
	url := ""
	err = b.db.View(ctx, func(tx *store.Tx) error {
		is, err := tx.ListIssuers(ctx)
		for _, i := range is {
			if !i.Internal() {
				url = i.AccountURL
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, p := range m.CAAOf(m.DomainCovering(all[0].Name)) {
		if !strings.Contains(p.Value, "; accounturi="+url+"; ") {
			b.seen <- fmt.Sprintf("nodes that are waited for answer %s %q, the account is %s", p.Tag, p.Value, url)
		}
	}
	b.seen <- url
	return b.probing.Ready(ctx, rev, all)
}

// An order goes on when nodes answer with the account that it is for: the first one, the same with another key, and a new one.
func TestAccountIsInCAABeforeTheAuthorityLooks(t *testing.T) {
	r := newRig(t, acmetest.Config{})
	r.issuer.CAAIdentities = []string{"pebble.test"}
	r.tx(t, func(tx *store.Tx) error { return tx.UpdateIssuer(t.Context(), r.issuer) })
	o := r.options("a")
	gate := bound{probing{r.dns.Addr}, r.world, r.db, make(chan string, 1000)}
	o.Gate = gate
	r.run(t, o)
	publish := func(apex string) {
		t.Helper()
		r.publish(t, apex)
		r.tx(t, func(tx *store.Tx) error {
			d, err := tx.GetDomainByName(t.Context(), r.org.ID, apex)
			if err == nil {
				d.CAAAccount = true
				_, err = tx.UpdateDomain(t.Context(), d)
			}
			return err
		})
	}
	var accounts []string
	served := func(n int) {
		t.Helper()
		r.served(t, n, 30*time.Second)
		accounts = append(accounts, "")
		for {
			select {
			case got := <-gate.seen:
				if !strings.HasPrefix(got, "https://") {
					t.Error(got)
				}
				accounts[len(accounts)-1] = got
				continue
			default:
			}
			return
		}
	}
	publish("a.test")
	served(1)

	before := r.issuerNow(t)
	r.ask(t)
	r.rolled(t, before)
	publish("b.test")
	served(2)

	r.tx(t, func(tx *store.Tx) error {
		if err := tx.SetAccountKeys(t.Context(), r.issuer.ID, nil, nil); err != nil {
			return err
		}
		return tx.SetAccountURL(t.Context(), r.issuer.ID, "")
	})
	publish("c.test")
	served(3)
	if accounts[0] == "" || accounts[1] != accounts[0] || accounts[2] == accounts[0] || slices.Contains(accounts, "") {
		t.Errorf("accounts %q", accounts)
	}
}

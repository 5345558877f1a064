package orders

import (
	"context"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/hostname"
)

// An authority's directory is read when the account is made, and again after a day.
const (
	readAgain = 24 * time.Hour
	mostCAA   = 16 // domains of an authority that are kept
)

// directories reads the directories of issuers that are due.
func (p *Planner) directories(ctx context.Context, now time.Time) error {
	var all []*model.Issuer
	err := p.w.Store.View(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.ListIssuers(ctx)
		return err
	})
	for _, i := range all {
		if i.Internal() || i.AccountURL == "" || now.Sub(i.DirectoryRead) < readAgain || later(i.PausedUntil, p.w.pauses.get(i.ID)).After(now) {
			continue
		}
		a, e := p.w.accounts.of(ctx, i)
		if e == nil {
			e = learn(ctx, p.w.Store, i, a.ca, now)
		}
		if e != nil && ctx.Err() == nil { // it is no trouble yet: what it has said before holds
			p.w.Log.Info("directory of an issuer not read", "issuer", i.Name, "err", e)
		}
	}
	return err
}

// introduce makes sure that an authority's directory was read if pre-flight has no other way to know it in CAA records. All that does not
// depend on who is asked is looked at before that.
func (t *turn) introduce(ctx context.Context) error {
	if len(t.issuer.CAADomains()) > 0 || !t.issuer.DirectoryRead.IsZero() {
		return nil
	}
	if _, err := t.check(ctx); err != nil {
		return err
	}
	if _, err := t.accounts.of(ctx, t.issuer); err != nil {
		return err
	}
	return t.Store.View(ctx, func(tx *store.Tx) (err error) {
		t.issuer, err = tx.GetIssuer(ctx, t.issuer.ID)
		return err
	})
}

// learn reads an authority's directory, and writes under which domains it goes. One that says none any more keeps those that are known:
// zones would let any authority issue.
func learn(ctx context.Context, db *store.Store, i *model.Issuer, ca CA, now time.Time) error {
	d, err := ca.Directory(ctx)
	if err != nil {
		return err
	}
	domains := caaDomains(d.CAAIdentities)
	if len(domains) == 0 {
		domains = i.DirectoryCAA
	}
	_, err = db.Tx(ctx, actor, func(tx *store.Tx) error { return tx.SetDirectory(ctx, i.ID, domains, now) })
	if fault.Of(err) == fault.NotFound {
		return nil
	}
	return err
}

// caaDomains are the texts of a stranger that are domains, sorted.
func caaDomains(said []string) []string {
	var out []string
	for _, s := range said {
		if d, err := hostname.Canonical(s); err == nil && len(out) < mostCAA {
			out = append(out, d)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

package admin

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/budget"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// Budget is what an issuer's account may still ask for, of one kind, of one name where it is counted for each.
type Budget struct {
	Kind      string     `json:"kind" enum:"new_orders,domain,set,failed_validations" doc:"New orders; certificates of a registered domain, or of exactly the same names; failed validations of a name"`
	Key       string     `json:"key,omitempty" doc:"The domain, the names or the name; absent of the whole account, and of names that nothing was used for"`
	Limit     int        `json:"limit" doc:"What may be used at once, and comes back in the window, evenly"`
	Window    string     `json:"window"`
	Used      int        `json:"used" doc:"What has not come back yet"`
	Reserved  int        `json:"reserved" doc:"The part of the limit that only renewals may use"`
	Left      int        `json:"left" doc:"What may be used now, by renewals"`
	Suspended bool       `json:"suspended,omitempty" doc:"None of it is used: the issuer is suspended"`
	LeftNew   int        `json:"left_new" doc:"What may be used now, by what is no renewal"`
	More      *time.Time `json:"more,omitempty" doc:"When one more will have come back; absent: nothing is used"`
}

// shownBudgets is how many names of a kind are shown: those with the least left.
const shownBudgets = 100

// budgetKinds are in the order in which they are shown.
var budgetKinds = []model.BudgetKind{model.BudgetNewOrders, model.BudgetDomain, model.BudgetSet, model.BudgetFailedValidations}

// IssuerBudget returns what an issuer may still be asked for.
func (a *Admin) IssuerBudget(ctx context.Context, p access.Principal, ref string) (out []Budget, err error) {
	err = a.read(ctx, p, func(c *call) error {
		if err := a.Issuers.begin(c, a.Issuers.read, ""); err != nil {
			return err
		}
		i, err := issuerByRef(c, ref)
		if err != nil {
			return err
		}
		if i.Internal() {
			return fault.New(fault.Conflict, "issuer %s is the cluster's own authority: it has no budget", i.Name)
		}
		out, err = c.budgets(i, time.Now())
		return err
	})
	return out, err
}

func (c *call) budgets(i *model.Issuer, now time.Time) ([]Budget, error) {
	var out []Budget
	limits := budget.Limits(i.Limits)
	for _, kind := range budgetKinds {
		l := limits[kind]
		buckets, err := c.tx.ListBuckets(c, i.ID, kind)
		if err != nil {
			return nil, err
		}
		var some []Budget
		for _, b := range buckets {
			if v := viewBudget(l, b, now); v.Used > 0 {
				some = append(some, v)
			}
		}
		if len(some) == 0 { // what the limit is, all the same
			some = append(some, viewBudget(l, l.Full(model.BucketKey{Kind: kind}, now), now))
		}
		slices.SortStableFunc(some, func(a, b Budget) int { return cmp.Or(cmp.Compare(a.Left, b.Left), cmp.Compare(a.Key, b.Key)) })
		for _, v := range some[:min(len(some), shownBudgets)] {
			v.Suspended = i.Suspended
			out = append(out, v)
		}
	}
	return out, nil
}

func viewBudget(l budget.Limit, b model.Bucket, now time.Time) Budget {
	left := l.Left(b, true, now)
	return Budget{
		Kind: string(b.Kind), Key: b.Key, Limit: l.Burst, Window: l.Window.String(), Used: l.Burst - left, Reserved: l.Reserved(), Left: left,
		LeftNew: l.Left(b, false, now), More: when(l.More(b, now)),
	}
}

package orders

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// challenge reads the authorizations, and writes what nodes are to answer.
func (t *turn) challenge(ctx context.Context) (outcome, error) {
	cur, v, err := t.look(ctx)
	if err != nil {
		return outcome{}, err
	}
	if v.State == model.OrderReady {
		return t.ready(), nil // all its authorizations were valid already
	}
	all, err := t.authorizations(ctx, cur)
	if err != nil {
		return outcome{}, err
	}
	methods, err := t.methods(ctx)
	if err != nil {
		return outcome{}, err
	}
	before, err := t.written(ctx)
	if err != nil {
		return outcome{}, err
	}
	var rows []*model.Challenge
	expires := time.Now().Add(model.ChallengeLifetime)
	for _, a := range all {
		if a.Status == acme.StatusValid {
			continue
		}
		c := methods.method(a, typeOf(before, a), t.order.Class == unserved)
		if c == nil {
			return outcome{}, dead{fmt.Errorf("the authority offers no challenge that %s can be proved by", a.Name)}
		}
		proof, err := t.proof(model.ChallengeType(c.Type), c.Token)
		if err != nil {
			return outcome{}, dead{err}
		}
		name := a.Name
		if at := methods[name].At; at != "" && c.Type == acme.DNS01 {
			name = at
		}
		rows = append(rows, &model.Challenge{
			ID: model.ChallengeID{}.New(), Org: t.order.Org, Order: t.order.ID, Type: model.ChallengeType(c.Type), Name: name, Token: c.Token,
			Value: proof, Expires: expires,
		})
	}
	if len(rows) == 0 {
		return t.again(t.patience(cur.RetryAfter)), nil
	}
	out := t.to(model.OrderChallengesWritten, fmt.Sprintf("%d challenges written", len(rows)))
	out.also = func(ctx context.Context, tx *store.Tx, o *model.Order) error {
		if _, err := tx.DeleteChallengesOfOrder(ctx, t.order.ID); err != nil {
			return err
		}
		if err := tx.CreateChallenges(ctx, rows); err != nil {
			return err
		}
		rev, err := tx.Stamp(ctx)
		o.ChallengeRevision = rev
		return err
	}
	return out, nil
}

// proof is what a challenge is answered with.
func (t *turn) proof(kind model.ChallengeType, token string) (model.Authorization, error) {
	text, err := acme.KeyAuthorization(token, t.account.key)
	if err == nil && kind != model.HTTP01 {
		text = acme.TXTValue(text) // the digest that tls-alpn-01 has, too
	}
	return model.Authorization(text), err
}

// answers reports whether what nodes answer is of the key that the account has now.
func (t *turn) answers(r *model.Challenge) bool {
	want, err := t.proof(r.Type, r.Token)
	return err == nil && want == r.Value
}

// gateWait is how long the gate is asked at a time.
const gateWait = 10 * time.Second

func (t *turn) awaitNodes(ctx context.Context) (outcome, error) {
	rows, err := t.written(ctx)
	if err != nil {
		return outcome{}, err
	}
	soon := time.Now().Add(time.Minute)
	if len(rows) == 0 || slices.ContainsFunc(rows, func(c *model.Challenge) bool { return c.Expires.Before(soon) }) {
		return t.to(model.OrderOrdered, "challenges have expired"), nil
	}
	wait, cancel := context.WithTimeout(ctx, gateWait)
	defer cancel()
	err = t.Gate.Ready(wait, t.order.ChallengeRevision, rows)
	if err == nil {
		return t.to(model.OrderNodesAcked, "all nodes answer the challenges"), nil
	}
	if ctx.Err() != nil {
		return outcome{}, context.Cause(ctx)
	}
	if e, ok := errors.AsType[interface {
		error
		Unserved() bool
	}](err); ok && e.Unserved() && t.otherWay(rows, time.Now()) {
		out := t.to(model.OrderOrdered, "nodes do not answer the challenges: another way is tried")
		out.order.Class, out.order.Problem = unserved, err.Error()
		return out, nil
	}
	out := t.delayed("nodes", err.Error(), 0)
	out.wait = nodesAgain(out.order.Attempts)
	return out, nil
}

// unserved is the class of an order whose challenges nodes have, and do not answer: where a name may be proved in several ways, the next one
// is tried.
const unserved = "unserved"

// otherWay reports whether it is time to try another way: some name is not proved in the DNS, and its challenge is as old as a share of
// the order, so that ways that are all closed are tried ever more seldom.
func (t *turn) otherWay(rows []*model.Challenge, now time.Time) bool {
	return slices.ContainsFunc(rows, func(c *model.Challenge) bool {
		return c.Type != model.DNS01 && now.Sub(c.Expires.Add(-model.ChallengeLifetime)) >= now.Sub(t.order.Intent)/4
	})
}

// typeOf is the type of the challenge that is written for an authorization, "" if none is.
func typeOf(written []*model.Challenge, a *acme.Authorization) model.ChallengeType {
	for _, r := range written {
		if slices.ContainsFunc(a.Challenges, func(c acme.Challenge) bool { return c.Type == string(r.Type) && c.Token == r.Token }) {
			return r.Type
		}
	}
	return ""
}

// nodesAgain is when nodes are asked again that did not answer for so many times: soon at first; those that are gone for long leave the
// replica to other orders.
func nodesAgain(attempt int) time.Duration {
	return min(time.Second<<min(max(attempt-1, 0), 10), 20*time.Second)
}

// written are the challenges that nodes answer for the order.
func (t *turn) written(ctx context.Context) (rows []*model.Challenge, err error) {
	err = t.Store.View(ctx, func(tx *store.Tx) (err error) {
		rows, err = tx.ListChallengesOfOrder(ctx, t.order.ID)
		return err
	})
	return rows, err
}

// initiate tells the authority to look at all challenges at once. One that was initiated before is passed over.
func (t *turn) initiate(ctx context.Context) (outcome, error) {
	cur, v, err := t.look(ctx)
	if err != nil {
		return outcome{}, err
	}
	if v.State == model.OrderReady {
		return t.ready(), nil
	}
	all, err := t.authorizations(ctx, cur)
	if err != nil {
		return outcome{}, err
	}
	rows, err := t.written(ctx)
	if err != nil {
		return outcome{}, err
	}
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, a := range all {
		if a.Status != acme.StatusPending {
			continue
		}
		i := slices.IndexFunc(a.Challenges, func(c acme.Challenge) bool {
			return slices.ContainsFunc(rows, func(r *model.Challenge) bool { return string(r.Type) == c.Type && r.Token == c.Token })
		})
		if i < 0 { // it was taken away meanwhile
			return t.to(model.OrderOrdered, "challenges have expired"), g.Wait()
		}
		if !slices.ContainsFunc(rows, func(r *model.Challenge) bool { return r.Token == a.Challenges[i].Token && t.answers(r) }) {
			return t.to(model.OrderOrdered, "the account has another key: challenges are written anew"), g.Wait()
		}
		if c := a.Challenges[i]; c.Status == acme.StatusPending {
			g.Go(func() error {
				err := t.account.ca.Initiate(each, c.URL)
				if acme.Class(err) == acme.Terminal { // it was initiated before, mostly: the authorization tells
					return fmt.Errorf("initiate: %s", err)
				}
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return outcome{}, err
	}
	return t.to(model.OrderInitiated, "the authority was told to look"), nil
}

func (t *turn) validate(ctx context.Context) (outcome, error) {
	cur, v, err := t.look(ctx)
	switch {
	case err != nil:
		return outcome{}, err
	case v.Wait:
		return t.again(t.patience(cur.RetryAfter)), nil
	}
	return t.ready(), nil
}

// ready is the outcome of an authority being convinced: nobody needs the challenges any more.
func (t *turn) ready() outcome {
	out := t.to(model.OrderReady, "the authority is convinced")
	out.also = func(ctx context.Context, tx *store.Tx, _ *model.Order) error {
		_, err := tx.DeleteChallengesOfOrder(ctx, t.order.ID)
		return err
	}
	return out
}

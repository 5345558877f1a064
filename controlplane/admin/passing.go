package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/audit"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// passing are the kinds of which a set that passes may keep objects, in the order in which these can be removed.
func (a *Admin) passing() []passer {
	return []passer{a.Targets, a.Services, a.Policies, a.Connectors, a.Sites}
}

// passer is a collection whose objects may pass.
type passer interface {
	named() string
	pass(c *call, set string) error
}

func (k *Collection[M, S, V]) named() string { return k.kind }

// pass removes what a set keeps of the call's organization.
func (k *Collection[M, S, V]) pass(c *call, set string) error {
	ids, err := c.tx.ManagedBy(c, placeOf(any(new(M))).table, c.org, set)
	if err != nil {
		return err
	}
	for _, id := range ids {
		m, err := k.byID(c, id)
		if err == nil {
			ref, _ := named(any(m))
			err = k.remove(c, ref, Write{})
		}
		if err != nil && fault.Of(err) != fault.NotFound { // it went with another one
			return fmt.Errorf("%s %s: %w", k.kind, id, err)
		}
	}
	return nil
}

// passed forgets a set that passes as soon as it keeps nothing.
func (c *call) passed(set string) error {
	keeps, err := c.tx.SetKeeps(c, c.org, set)
	if err != nil || keeps {
		return err
	}
	return c.tx.DeletePassingSet(c, c.org, set)
}

// kept is a view that says which set keeps it.
type kept interface{ keeper() string }

func (m Meta) keeper() string { return m.ManagedBy }

// PassingSet is a set of manifests that goes, with all it keeps, unless it is renewed.
type PassingSet struct {
	Name      string    `json:"name"`
	ExpiresAt time.Time `json:"expires_at" doc:"When all that the set keeps is removed, unless it is renewed before"`
}

// expire begins a set that passes, or renews it. What is there for good, or is somebody else's, does not become such a set.
func (c *call) expire(set string, lifetime time.Duration) error {
	v := &model.PassingSet{Org: c.org, Name: set, Owner: Actor(c.p).Actor, Lifetime: lifetime, Expires: time.Now().Add(lifetime)}
	if err := v.Validate(); err != nil {
		return err
	}
	if err := c.tx.LockObject(c, "set "+c.org.String()+" "+set); err != nil {
		return err
	}
	have, err := c.tx.GetPassingSet(c, c.org, set)
	switch {
	case err == nil && have.Owner != v.Owner:
		return fault.New(fault.Conflict, "set %q is somebody else's, and passes: take another name", set)
	case err == nil:
	case fault.Of(err) != fault.NotFound:
		return err
	default:
		keeps, err := c.tx.SetKeeps(c, c.org, set)
		if err != nil {
			return err
		}
		if keeps {
			return fault.New(fault.Conflict, "set %q keeps objects that are to stay: take another name", set)
		}
	}
	return c.tx.PutPassingSet(c, v)
}

// mayPass refuses what would not be its set's alone to remove.
func (a *Admin) mayPass(w Wanted, out Outcome, in, org model.OrgID, set string) error {
	if !slices.ContainsFunc(a.passing(), func(k passer) bool { return strings.EqualFold(k.named(), w.Kind) }) {
		return fault.New(fault.Invalid, "objects of kind %s stay: they can't be in a set with a lifetime", w.Kind)
	}
	if in != org {
		return fault.New(fault.Invalid, "it belongs to another organization than its set")
	}
	if before, ok := out.Before.(kept); ok && before.keeper() != set {
		return fault.New(fault.Conflict, "%s %s is there already, and would be removed with the set: take another name", w.Kind, w.Name)
	}
	return nil
}

// RenewSet lets a set that passes live for its lifetime from now on. It is its owner's alone to do.
func (a *Admin) RenewSet(ctx context.Context, p access.Principal, org, set string) (out PassingSet, err error) {
	_, err = a.write(ctx, p, "manifests.renew", func(c *call) error {
		if err := c.enter(org); err != nil {
			return err
		}
		have, err := c.tx.GetPassingSet(c, c.org, set)
		if err != nil {
			return err
		}
		if have.Owner != Actor(p).Actor {
			return fault.New(fault.NotFound, "no set %q of yours passes", set)
		}
		have.Expires = time.Now().Add(have.Lifetime)
		out = PassingSet{have.Name, have.Expires.UTC()}
		return c.tx.PutPassingSet(c, have)
	})
	return out, err
}

// putOff is how long what could not be removed stays until it is tried again.
const putOff = 5 * time.Minute

// RemovePassed removes what the set keeps that is over for the longest, and reports whether there was one. What can't be
// removed, as something else needs it, is tried again later.
func (a *Admin) RemovePassed(ctx context.Context, now time.Time) (set *model.PassingSet, err error) {
	_, err = a.store.Tx(ctx, "", func(tx *store.Tx) (err error) {
		if set, err = tx.OverPassingSet(ctx, now); err != nil {
			return err
		}
		c := a.call(ctx, tx, access.Principal{Name: "set of manifests " + set.Name})
		c.org = set.Org
		for _, k := range a.passing() {
			if err := k.pass(c, set.Name); err != nil {
				return fmt.Errorf("remove what set %s kept: %w", set.Name, err)
			}
		}
		tx.Audit(audit.Entry{ActorName: c.p.Name, Action: "manifests.pass", Object: set.Name, ObjectName: set.Name, Result: audit.Done, Organization: set.Org.String()})
		if err := tx.DeleteManifestSet(ctx, set.Org, set.Name); err != nil {
			return err
		}
		return tx.DeletePassingSet(ctx, set.Org, set.Name)
	})
	if fault.Of(err) == fault.NotFound && set == nil {
		return nil, nil
	}
	if err != nil && set != nil {
		_, later := a.store.Tx(ctx, "", func(tx *store.Tx) error { return tx.PutOffPassingSet(ctx, set.Org, set.Name, now, now.Add(putOff)) })
		if later != nil {
			return nil, later
		}
	}
	return set, err
}

package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// Manifests is a kind whose objects can be described in files, without the types of what describes them.
type Manifests interface {
	// exported lists the objects of the call's organization, or of none, that have all of the labels.
	exported(c *call, org string, with model.Labels, each func(name string, v any)) error
	// spare removes the objects of a set that are not among those to keep.
	spare(c *call, org, set string, keep map[string]bool) ([]Outcome, error)
	// digested is an object's name now, a digest of what is written of it, and the set that keeps it.
	digested(c *call, org, ref string) (name, digest, by string, err error)
}

// Wanted is one object as a file describes it.
type Wanted struct {
	Kind string
	Org  string // by name or id; "" where the kind belongs to none
	Name string
	put  func(c *call) (Outcome, error)
}

// Outcome is what became of one object.
type Outcome struct {
	ID      string
	Name    string
	Org     string // its name
	Created bool
	Changed bool // what is written of it, labels among it
	Before  any  // as it was shown before; nil: it was not there
	After   any  // as it is shown now; nil: it is gone
	digest  string
	keeper  string // the set that keeps it now
}

// Want is what a file wants of an object of the collection.
func (k *Collection[M, S, V]) Want(kind, org, name string, s S, w Write) Wanted {
	return Wanted{kind, org, name, func(c *call) (out Outcome, err error) {
		c.action = action(k.kind, "update")
		if err := k.begin(c, k.write, org); err != nil {
			return out, err
		}
		before, err := k.shown(c, name)
		if err == nil {
			out.Before = before
		} else if fault.Of(err) != fault.NotFound {
			return out, err
		}
		m, did, err := k.written(c, name, s, w)
		if err != nil {
			return out, err
		}
		out.Created, out.Changed, out.After = did.Created, did.Changed, out.Before
		if did.Changed { // of a thousand objects most are as they were: what is known of these is not asked for again
			if out.After, err = k.shown(c, name); err != nil {
				return out, err
			}
		}
		out.digest, out.keeper = k.digest(out.After.(V)), w.keeper(out.Before)
		out.ID, out.Name = named(any(m))
		if k.inOrg {
			out.Org, err = c.orgName(c.org)
		}
		return out, err
	}}
}

func (k *Collection[M, S, V]) identify(c *call, out *Outcome, ref string) error {
	m, err := k.byRef(c, ref)
	if err != nil {
		return err
	}
	out.ID, out.Name = named(any(m))
	if k.inOrg {
		out.Org, err = c.orgName(c.org)
	}
	return err
}

// WantAPIKey is what a file wants of an API key that is good for more than one organization: it has to be there, as its
// secret is shown only to who creates it.
func (a *Admin) WantAPIKey(kind, name string, s APIKeyChange) Wanted {
	return Wanted{kind, "", name, func(c *call) (out Outcome, err error) {
		k := a.APIKeys
		c.action = action(k.kind, "update")
		if err := k.begin(c, k.write, ""); err != nil {
			return out, err
		}
		if before, err := k.shown(c, name); err == nil {
			out.Before = before
		}
		after, changed, err := changeAPIKey(c, k, name, "", s)
		if err != nil {
			return out, err
		}
		out.After, out.Changed = after, changed
		return out, k.identify(c, &out, name)
	}}
}

// WantedError says which of the wanted objects can't be.
type WantedError struct {
	Index int
	Err   error
}

func (e *WantedError) Error() string { return fmt.Sprintf("document %d: %v", e.Index+1, e.Err) }

func (e *WantedError) Unwrap() error { return e.Err }

// Pruning says which objects that a set kept go because no file describes them any more.
type Pruning struct {
	Set   string
	Org   string      // whose objects, beside those that belong to none; the caller has to be in it in any case
	Kinds []Manifests // in the order in which they go; empty: nothing goes
	Names []string    // of the kinds

	Lifetime time.Duration // of a set that passes, with all it keeps, unless it is renewed; 0: it stays
}

// ApplyWanted makes all objects be as wanted and removes what is not wanted any more, or does nothing at all.
func (a *Admin) ApplyWanted(ctx context.Context, p access.Principal, wanted []Wanted, prune Pruning) (done, gone []Outcome, rev model.Revision, err error) {
	rev, err = a.write(ctx, p, "manifests.apply", func(c *call) error {
		if err := c.enter(prune.Org); err != nil {
			return err
		}
		done, gone = make([]Outcome, 0, len(wanted)), []Outcome{}
		if prune.Lifetime != 0 {
			if err := c.expire(prune.Set, prune.Lifetime); err != nil {
				return err
			}
		}
		org, keep := c.org, map[string]map[string]bool{}
		names := map[string]string{}
		for i, w := range wanted {
			part := a.call(c, c.tx, p)
			part.names = names
			out, err := w.put(part)
			if err == nil && prune.Lifetime != 0 {
				err = a.mayPass(w, out, part.org, org, prune.Set)
			}
			c.action, c.org = part.action, part.org // whose refusal is recorded
			if err != nil {
				return &WantedError{i, err}
			}
			done = append(done, out)
			if keep[w.Kind] == nil {
				keep[w.Kind] = map[string]bool{}
			}
			keep[w.Kind][out.ID] = true
		}
		for i, k := range prune.Kinds {
			out, err := k.spare(a.call(c, c.tx, p), prune.Org, prune.Set, keep[prune.Names[i]])
			if err != nil {
				return err
			}
			for n := range out {
				out[n].Before = Pruned{prune.Names[i], out[n].Before}
			}
			gone = append(gone, out...)
		}
		c.org = org
		if err := c.applied(prune, wanted, done, gone); err != nil || len(gone) == 0 {
			return err
		}
		return c.passed(prune.Set)
	})
	return done, gone, rev, err
}

// Pruned is an object that went, with its kind.
type Pruned struct {
	Kind string
	View any
}

func (k *Collection[M, S, V]) spare(c *call, org, set string, keep map[string]bool) (out []Outcome, err error) {
	if k.inOrg {
		if err := c.organization(org, k.read); err != nil {
			return nil, err
		}
	}
	at := placeOf(any(new(M)))
	if at.table == "" {
		return nil, nil
	}
	ids, err := c.tx.ManagedBy(c, at.table, c.org, set)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		one, err := k.spareOne(c, id, org, keep)
		if fault.Of(err) == fault.NotFound { // it went with another one
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("prune %s: %w", k.kind, err)
		}
		if one != nil {
			out = append(out, *one)
		}
	}
	return out, nil
}

func (k *Collection[M, S, V]) spareOne(c *call, id uuid.UUID, org string, keep map[string]bool) (*Outcome, error) {
	m, err := k.byID(c, id)
	if err != nil {
		return nil, err
	}
	out := &Outcome{Changed: true}
	if out.ID, out.Name = named(any(m)); keep[out.ID] {
		return nil, nil
	}
	if err := k.begin(c, k.write, org); err != nil {
		return nil, err
	}
	if k.inOrg {
		if out.Org, err = c.orgName(c.org); err != nil {
			return nil, err
		}
	}
	if out.Before, err = k.shown(c, out.ID); err != nil {
		return nil, err
	}
	return out, k.remove(c, out.ID, Write{})
}

// exported implements Manifests.
func (k *Collection[M, S, V]) exported(c *call, org string, with model.Labels, each func(name string, v any)) error {
	if err := k.begin(c, k.read, org); err != nil {
		return err
	}
	for after := ""; ; {
		rows, err := k.page(c, after, scanned, with)
		if err != nil {
			return err
		}
		views, err := k.views(c, rows)
		if err != nil {
			return err
		}
		for i, m := range rows {
			_, name := named(any(m))
			each(name, views[i])
		}
		if len(rows) < scanned {
			return nil
		}
		after = k.after(rows[len(rows)-1])
	}
}

// Export shows each object of some kinds, all at one moment, that has all of the labels. Of kinds that the caller may not
// read, none is shown unless strict.
func (a *Admin) Export(ctx context.Context, p access.Principal, org string, kinds []Manifests, strict bool, with model.Labels, each func(kind int, name string, v any)) error {
	return a.read(ctx, p, func(c *call) error {
		if err := c.enter(org); err != nil {
			return err
		}
		for i, k := range kinds {
			err := k.exported(a.call(c, c.tx, p), org, with, func(name string, v any) { each(i, name, v) })
			if fault.Of(err) == fault.Denied && !strict {
				continue
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// byID finds a row by the bare id.
func (k *Collection[M, S, V]) byID(c *call, id uuid.UUID) (*M, error) {
	ref, err := typed(any(new(M)), id)
	if err != nil {
		return nil, err
	}
	return k.byRef(c, ref)
}

// typed is an id as callers write it.
func typed(row any, id uuid.UUID) (string, error) {
	switch row.(type) {
	case *model.Organization:
		return model.OrgID{UUID: id}.String(), nil
	case *model.Region:
		return model.RegionID{UUID: id}.String(), nil
	case *model.Pool:
		return model.PoolID{UUID: id}.String(), nil
	case *model.Node:
		return model.NodeID{UUID: id}.String(), nil
	case *model.Domain:
		return model.DomainID{UUID: id}.String(), nil
	case *model.Site:
		return model.SiteID{UUID: id}.String(), nil
	case *model.Connector:
		return model.ConnectorID{UUID: id}.String(), nil
	case *model.Policy:
		return model.PolicyID{UUID: id}.String(), nil
	case *model.Service:
		return model.ServiceID{UUID: id}.String(), nil
	case *model.Target:
		return model.TargetID{UUID: id}.String(), nil
	case *model.Issuer:
		return model.IssuerID{UUID: id}.String(), nil
	case *model.Role:
		return model.RoleID{UUID: id}.String(), nil
	case *model.User, *model.Membership:
		return model.UserID{UUID: id}.String(), nil
	case *model.IdentityProvider:
		return model.IdentityProviderID{UUID: id}.String(), nil
	case *model.Group:
		return model.GroupID{UUID: id}.String(), nil
	case *model.ServiceAccount:
		return model.AccountID{UUID: id}.String(), nil
	case *model.Webhook:
		return model.WebhookID{UUID: id}.String(), nil
	case *model.AlertRule:
		return model.AlertRuleID{UUID: id}.String(), nil
	}
	return "", fault.New(fault.NotFound, "objects of this kind are in no files")
}

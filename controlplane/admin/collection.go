package admin

import (
	"context"
	"maps"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Collection is all objects of a kind: M is the row, S what a caller writes, V what a caller sees.
type Collection[M, S, V any] struct {
	a     *Admin
	kind  string // "site", for messages
	inOrg bool
	apart bool // no configuration of nodes: writes make no revision
	read  access.Permission
	write access.Permission

	byRef  func(c *call, ref string) (*M, error) // by name or id, in the call's organization
	list   func(c *call, page store.Page) ([]*M, error)
	after  func(v *M) string                                   // what a page ends with
	build  func(c *call, old *M, name string, s S) (*M, error) // the row that is wanted, checked; old is nil for a new one
	create func(c *call, v *M) error
	update func(c *call, v *M) (bool, error)
	drop   func(c *call, v *M) error
	view   func(c *call, v *M) (V, error)
}

// Permissions says what reading and writing need.
func (k *Collection[M, S, V]) Permissions() (read, write access.Permission) { return k.read, k.write }

// Apart reports whether the objects are no configuration of nodes, so that writing them makes no revision.
func (k *Collection[M, S, V]) Apart() bool { return k.apart }

// begin checks the caller and finds the organization.
func (k *Collection[M, S, V]) begin(c *call, need access.Permission, org string) error {
	if k.inOrg {
		return c.organization(org, need)
	}
	if !c.p.Can(need, model.OrgID{}) {
		return access.Refused(need)
	}
	return nil
}

// do runs an action that a verb names, which needs the permission to write.
func (k *Collection[M, S, V]) do(ctx context.Context, p access.Principal, org, verb string, fn func(c *call) error) (model.Revision, error) {
	return k.with(ctx, p, org, verb, k.write, fn)
}

// with is do for what needs a permission of its own.
func (k *Collection[M, S, V]) with(ctx context.Context, p access.Principal, org, verb string, need access.Permission, fn func(c *call) error) (model.Revision, error) {
	return k.a.write(ctx, p, action(k.kind, verb), func(c *call) error {
		if err := k.begin(c, need, org); err != nil {
			return err
		}
		return fn(c)
	})
}

// did records what was done to a row.
func (k *Collection[M, S, V]) did(c *call, verb string, m *M) {
	c.action = action(k.kind, verb)
	id, name := named(any(m))
	c.did(id, name)
}

// Create makes an object; a name that is taken is a Conflict.
func (k *Collection[M, S, V]) Create(ctx context.Context, p access.Principal, org, name string, s S) (v V, rev model.Revision, err error) {
	return k.CreateWith(ctx, p, org, name, s, Write{})
}

// CreateWith is Create with labels.
func (k *Collection[M, S, V]) CreateWith(ctx context.Context, p access.Principal, org, name string, s S, w Write) (v V, rev model.Revision, err error) {
	rev, err = k.do(ctx, p, org, "create", func(c *call) error {
		v, err = k.make(c, name, s, w)
		return err
	})
	return v, rev, err
}

func (k *Collection[M, S, V]) make(c *call, name string, s S, w Write) (v V, err error) {
	if _, err := k.made(c, name, s, w); err != nil {
		return v, err
	}
	return k.shown(c, name)
}

func (k *Collection[M, S, V]) made(c *call, name string, s S, w Write) (*M, error) {
	m, err := k.build(c, nil, name, s)
	if err != nil {
		return nil, err
	}
	if err := k.create(c, m); err != nil {
		return nil, err
	}
	if _, err := label(c, m, w); err != nil {
		return nil, err
	}
	k.did(c, "create", m)
	return m, nil
}

// Put makes an object be as wanted: it is made when it is not there, and not written when it is so already;
// then the revision is 0. Its labels stay.
func (k *Collection[M, S, V]) Put(ctx context.Context, p access.Principal, org, name string, s S) (v V, did Did, rev model.Revision, err error) {
	return k.PutWith(ctx, p, org, name, s, Write{})
}

// PutWith is Put with labels, or of an object that has to be as the caller knows it.
func (k *Collection[M, S, V]) PutWith(ctx context.Context, p access.Principal, org, name string, s S, w Write) (v V, did Did, rev model.Revision, err error) {
	rev, err = k.do(ctx, p, org, "update", func(c *call) error {
		v, did, err = k.put(c, name, s, w)
		return err
	})
	return v, did, rev, err
}

func (k *Collection[M, S, V]) put(c *call, name string, s S, w Write) (v V, did Did, err error) {
	if _, did, err = k.written(c, name, s, w); err != nil {
		return v, did, err
	}
	v, err = k.shown(c, name)
	return v, did, err
}

// written is put without a look at what came of it.
func (k *Collection[M, S, V]) written(c *call, name string, s S, w Write) (m *M, did Did, err error) {
	old, err := k.held(c, name, w.IfMatch)
	if err != nil && (fault.Of(err) != fault.NotFound || isID(name) || w.IfMatch != "") {
		return nil, did, err
	}
	did = Did{Created: err != nil, Changed: true}
	if did.Created {
		m, err = k.made(c, name, s, w)
		return m, did, err
	}
	if m, err = k.build(c, old, name, s); err != nil {
		return nil, did, err
	}
	if did.Changed, err = k.update(c, m); err != nil {
		return nil, did, err
	}
	relabelled, err := label(c, m, w)
	if err != nil {
		return nil, did, err
	}
	if did.Changed = did.Changed || relabelled; did.Changed {
		k.did(c, "update", m)
	}
	return m, did, nil
}

// Label changes an object's labels and nothing else, and returns them. Of change, an empty pointer takes a label away.
func (k *Collection[M, S, V]) Label(ctx context.Context, p access.Principal, org, ref string, change map[string]*string) (is model.Labels, changed bool, err error) {
	_, err = k.do(ctx, p, org, "label", func(c *call) error {
		m, err := k.held(c, ref, "")
		if err != nil {
			return err
		}
		all, err := labels(c, []*M{m})
		if err != nil {
			return err
		}
		is = model.Labels{}
		maps.Copy(is, all[placeOf(any(m)).id].Labels)
		for key, value := range change {
			if delete(is, key); value != nil {
				is[key] = *value
			}
		}
		if changed, err = label(c, m, Write{Labels: &is}); err != nil {
			return err
		}
		if changed {
			k.did(c, "label", m)
		}
		return nil
	})
	return is, changed, err
}

// Did is what a Put came to.
type Did struct{ Created, Changed bool }

// Head returns the newest revision of the database: whatever a caller has seen written is in it.
func (a *Admin) Head(ctx context.Context) (rev model.Revision, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) error {
		rev, err = tx.Head(ctx)
		return err
	})
	return rev, err
}

func (k *Collection[M, S, V]) shown(c *call, ref string) (v V, err error) {
	m, err := k.byRef(c, ref)
	if err != nil {
		return v, err
	}
	out, err := k.views(c, []*M{m})
	if err != nil {
		return v, err
	}
	return out[0], nil
}

// Delete removes an object; one that others need is a Conflict.
func (k *Collection[M, S, V]) Delete(ctx context.Context, p access.Principal, org, ref string) (model.Revision, error) {
	return k.DeleteWith(ctx, p, org, ref, Write{})
}

// DeleteWith is Delete of an object that has to be as the caller knows it.
func (k *Collection[M, S, V]) DeleteWith(ctx context.Context, p access.Principal, org, ref string, w Write) (model.Revision, error) {
	return k.do(ctx, p, org, "delete", func(c *call) error { return k.remove(c, ref, w) })
}

func (k *Collection[M, S, V]) remove(c *call, ref string, w Write) error {
	m, err := k.held(c, ref, w.IfMatch)
	if err != nil {
		return err
	}
	k.did(c, "delete", m)
	return k.drop(c, m)
}

// change alters one object by a function that sees the row; the verb names the action.
func (k *Collection[M, S, V]) change(ctx context.Context, p access.Principal, org, ref, verb string, need access.Permission, fn func(c *call, m *M) error) (v V, rev model.Revision, err error) {
	rev, err = k.with(ctx, p, org, verb, need, func(c *call) error {
		m, err := k.held(c, ref, "")
		if err != nil {
			return err
		}
		if err := fn(c, m); err != nil {
			return err
		}
		if _, err := k.update(c, m); err != nil {
			return err
		}
		k.did(c, verb, m)
		v, err = k.shown(c, ref)
		return err
	})
	return v, rev, err
}

// Get returns an object by name or id.
func (k *Collection[M, S, V]) Get(ctx context.Context, p access.Principal, org, ref string) (v V, err error) {
	err = k.a.read(ctx, p, func(c *call) error {
		if err := k.begin(c, k.read, org); err != nil {
			return err
		}
		v, err = k.shown(c, ref)
		return err
	})
	return v, err
}

// List returns objects after a mark, at most limit, and the mark for the next page, "" at the end.
func (k *Collection[M, S, V]) List(ctx context.Context, p access.Principal, org, after string, limit int) (items []V, next string, err error) {
	return k.ListWith(ctx, p, org, after, limit, nil)
}

// ListWith is List of those objects that have all of the labels.
func (k *Collection[M, S, V]) ListWith(ctx context.Context, p access.Principal, org, after string, limit int, with model.Labels) (items []V, next string, err error) {
	err = k.a.read(ctx, p, func(c *call) error {
		items, next = []V{}, ""
		if err := k.begin(c, k.read, org); err != nil {
			return err
		}
		rows, err := k.page(c, after, limit+1, with)
		if err != nil {
			return err
		}
		if len(rows) > limit {
			rows = rows[:limit]
			next = k.after(rows[limit-1])
		}
		items, err = k.views(c, rows)
		return err
	})
	return items, next, err
}

// page reads the rows after a mark, of those that have all of the labels.
func (k *Collection[M, S, V]) page(c *call, after string, limit int, with model.Labels) ([]*M, error) {
	if len(with) == 0 {
		return k.list(c, store.Page{After: after, Limit: limit})
	}
	at := placeOf(any(new(M)))
	if at.table == "" {
		return nil, fault.Field("label", "objects of this kind have none")
	}
	chosen, err := c.tx.LabelledWith(c, at.table, c.org, with)
	if err != nil || len(chosen) == 0 {
		return nil, err
	}
	var out []*M
	for {
		rows, err := k.list(c, store.Page{After: after, Limit: scanned})
		if err != nil {
			return nil, err
		}
		for _, m := range rows {
			if at := placeOf(any(m)); chosen[at.id] && at.org == c.org {
				if out = append(out, m); len(out) == limit {
					return out, nil
				}
			}
		}
		if len(rows) < scanned {
			return out, nil
		}
		after = k.after(rows[len(rows)-1])
	}
}

// scanned is how many rows are read at once to find those with labels.
const scanned = 1000

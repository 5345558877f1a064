package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Write is how an object is written, beside what.
type Write struct {
	Labels  *model.Labels // nil: they stay
	Set     string        // set of manifests that keeps the object from now on; "": as before
	Adopt   bool          // Set counts only for what no set keeps
	IfMatch string        // tag that the object has to have; "": any
}

// keeper is the set that keeps an object once it is written, of which before is what was shown of it; nil: it was not there.
func (w Write) keeper(before any) string {
	if was, ok := before.(kept); ok && was.keeper() != "" && (w.Adopt || w.Set == "") {
		return was.keeper()
	}
	return w.Set
}

// place is where labels of a row are kept; the zero place is that of kinds that have none.
type place struct {
	table string
	id    uuid.UUID
	org   model.OrgID
}

// placeOf knows the kinds that have labels: those that manifests describe.
func placeOf(row any) place {
	switch v := row.(type) {
	case *model.Organization:
		return place{"organizations", v.ID.UUID, model.OrgID{}}
	case *model.Region:
		return place{"regions", v.ID.UUID, model.OrgID{}}
	case *model.Pool:
		return place{"pools", v.ID.UUID, model.OrgID{}}
	case *model.Node:
		return place{"nodes", v.ID.UUID, model.OrgID{}}
	case *model.Domain:
		return place{"domains", v.ID.UUID, v.Org}
	case *model.Site:
		return place{"sites", v.ID.UUID, v.Org}
	case *model.Connector:
		return place{"connectors", v.ID.UUID, v.Org}
	case *model.Policy:
		return place{"policies", v.ID.UUID, v.Org}
	case *model.Service:
		return place{"services", v.ID.UUID, v.Org}
	case *model.Target:
		return place{"targets", v.ID.UUID, v.Org}
	case *model.Issuer:
		return place{"issuers", v.ID.UUID, model.OrgID{}}
	case *model.Role:
		return place{"roles", v.ID.UUID, v.Org}
	case *model.User:
		return place{"users", v.ID.UUID, model.OrgID{}}
	case *model.Membership:
		return place{"memberships", v.User.UUID, v.Org}
	case *model.IdentityProvider:
		return place{"identity_providers", v.ID.UUID, v.Org}
	case *model.Group:
		return place{"user_groups", v.ID.UUID, v.Org}
	case *model.ServiceAccount:
		return place{"service_accounts", v.ID.UUID, v.Org}
	case *model.Webhook:
		return place{"webhooks", v.ID.UUID, v.Org}
	case *model.AlertRule:
		return place{"alert_rules", v.ID.UUID, v.Org}
	}
	return place{}
}

// labels reads what there is of rows that stand in one organization, or in none.
func labels[M any](c *call, rows []*M) (map[uuid.UUID]store.Labelling, error) {
	var ids []uuid.UUID
	var at place
	for _, m := range rows {
		one := placeOf(any(m))
		if one.table == "" {
			return nil, nil
		}
		if ids = append(ids, one.id); !one.org.IsZero() || at.table == "" { // roles that are built in have no labels
			at = one
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return c.tx.Labels(c, at.table, at.org, ids)
}

// label writes labels and set of a row, if they differ, and reports whether the labels do.
func label[M any](c *call, m *M, w Write) (changed bool, err error) {
	at := placeOf(any(m))
	if w.Labels == nil && w.Set == "" {
		return false, nil
	}
	if at.table == "" {
		if w.Labels != nil && len(*w.Labels) > 0 {
			return false, fault.Field("labels", "objects of this kind have none")
		}
		return false, nil
	}
	all, err := labels(c, []*M{m})
	if err != nil {
		return false, err
	}
	have := all[at.id]
	want := have
	if w.Labels != nil {
		if err := w.Labels.Validate(); err != nil {
			return false, err
		}
		want.Labels = *w.Labels
	}
	if w.Set != "" && (have.ManagedBy == "" || !w.Adopt) {
		want.ManagedBy = w.Set
	}
	changed = !maps.Equal(have.Labels, want.Labels)
	if !changed && want.ManagedBy == have.ManagedBy {
		return false, nil
	}
	return changed, c.tx.PutLabels(c, at.table, at.org, at.id, want)
}

// labelled is a view that shows labels: all that have Meta.
type labelled interface {
	attach(l store.Labelling, tag string)
}

func (m *Meta) attach(l store.Labelling, tag string) {
	m.Labels, m.ManagedBy, m.tag = l.Labels, l.ManagedBy, tag
}

// Tag is what the object is as a whole: another one as soon as anything that is written of it has changed.
func (m Meta) Tag() string { return m.tag }

// tagOf is the same for the same row with the same labels, whatever was true of it in between.
func tagOf(row any, l store.Labelling) string {
	b, err := json.Marshal([]any{row, l.Labels, l.ManagedBy})
	if err != nil {
		return "" // no row has what JSON can't say; without a tag nobody can ask for one
	}
	sum := sha256.Sum256(b)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:15]) + `"`
}

// views shows rows with their labels.
func (k *Collection[M, S, V]) views(c *call, rows []*M) ([]V, error) {
	all, err := labels(c, rows)
	if err != nil {
		return nil, err
	}
	out := make([]V, 0, len(rows))
	for _, m := range rows {
		v, err := k.view(c, m)
		if err != nil {
			return nil, err
		}
		if to, ok := any(&v).(labelled); ok {
			l := all[placeOf(any(m)).id]
			to.attach(l, tagOf(m, l))
		}
		out = append(out, v)
	}
	return out, nil
}

// held finds a row that nobody else writes until the call ends, if it is as the caller says.
func (k *Collection[M, S, V]) held(c *call, ref, tag string) (*M, error) {
	m, err := k.byRef(c, ref)
	if err != nil {
		return nil, err
	}
	id, _ := named(any(m))
	if err := c.tx.LockObject(c, k.kind+" "+id); err != nil {
		return nil, err
	}
	if m, err = k.byRef(c, ref); err != nil || tag == "" { // somebody may have been faster
		return m, err
	}
	all, err := labels(c, []*M{m})
	if err != nil {
		return nil, err
	}
	if is := tagOf(m, all[placeOf(any(m)).id]); is != tag {
		return nil, fault.New(fault.Stale, "the %s was changed meanwhile: read it again", k.kind)
	}
	return m, nil
}

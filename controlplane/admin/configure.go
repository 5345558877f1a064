package admin

import (
	"context"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// ConfigureManaged says of what kind the certificates of a set of names are to be, and of which types of key there is to be
// one; what there is of another kind gets replaced.
func (a *Admin) ConfigureManaged(ctx context.Context, p access.Principal, org, ref string, s ManagedSpec) (out Managed, rev model.Revision, err error) {
	rev, err = a.Managed.do(ctx, p, org, "update", func(c *call) error {
		types, err := s.keyTypes()
		if err != nil {
			return err
		}
		v, err := managedByRef(c, ref)
		if err != nil {
			return err
		}
		kind, err := c.kindOf(s)
		if err != nil {
			return err
		}
		rows, err := c.lockSet(v)
		if err != nil {
			return err
		}
		id, err := c.arrange(rows, types, kind)
		if err != nil {
			return err
		}
		if err := c.tx.PlanCertificates(c); err != nil {
			return err
		}
		a.Managed.did(c, "update", v)
		if out, err = a.Managed.shown(c, id.String()); err != nil {
			return err
		}
		out.Keys, err = c.keysOf(v)
		return err
	})
	return out, rev, err
}

// keyTypes are the types of key that are asked for, the one that is preferred first.
func (s ManagedSpec) keyTypes() ([]model.KeyType, error) {
	if len(s.Keys) > 0 && s.KeyType != "" {
		return nil, fault.Field("key_type", "keys says it, too")
	}
	field, keys := "keys", s.Keys
	if s.KeyType != "" {
		field, keys = "key_type", []string{s.KeyType}
	}
	var out []model.KeyType
	for _, k := range keys {
		switch t := model.KeyType(k); {
		case !slices.Contains(model.KeyTypes, t):
			return nil, fault.Field(field, "%q, want ecdsa or rsa", k)
		case slices.Contains(out, t):
			return nil, fault.Field(field, "%s is there twice", k)
		default:
			out = append(out, t)
		}
	}
	if len(out) == 0 {
		return model.KeyTypes[:1], nil
	}
	slices.Sort(out)
	return out, nil
}

// kind is what the certificates of a set of names have in common.
type kind struct {
	profile string
	issuer  model.IssuerID
}

func (c *call) kindOf(s ManagedSpec) (kind, error) {
	out := kind{profile: s.Profile}
	if s.Issuer == "" {
		return out, c.someIssuerKnows(s.Profile)
	}
	i, err := issuerByRef(c, s.Issuer)
	if err != nil {
		return out, missing("issuer", s.Issuer, err)
	}
	if i.Internal() {
		return out, fault.Field("issuer", "%s signs only while there is no other issuer", i.Name)
	}
	if _, known := i.Profiles[s.Profile]; s.Profile != "" && !known {
		return out, fault.Field("profile", "issuer %s knows no %q", i.Name, s.Profile)
	}
	out.issuer = i.ID
	return out, nil
}

func (c *call) someIssuerKnows(profile string) error {
	if profile == "" {
		return nil
	}
	all, err := c.tx.ListIssuers(c)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(i *model.Issuer) bool { _, ok := i.Profiles[profile]; return ok }) {
		return fault.Field("profile", "no issuer knows %q", profile)
	}
	return nil
}

// sameNames returns the managed certificates of exactly the names that one has, itself among them.
func (c *call) sameNames(v *model.ManagedCertificate) ([]*model.ManagedCertificate, error) {
	all, err := c.tx.FindManagedCertificates(c, v.Org, v.Names[0])
	return slices.DeleteFunc(all, func(o *model.ManagedCertificate) bool { return !slices.Equal(o.Names, v.Names) }), err
}

// keysOf returns the types of key of which the names of a managed certificate have one.
func (c *call) keysOf(v *model.ManagedCertificate) (out []string, err error) {
	all, err := c.sameNames(v)
	for _, o := range all {
		out = append(out, string(o.KeyType))
	}
	slices.Sort(out)
	return out, err
}

// lockSet lets nobody else write the managed certificates of the names that one has.
func (c *call) lockSet(v *model.ManagedCertificate) ([]*model.ManagedCertificate, error) {
	all, err := c.sameNames(v)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b *model.ManagedCertificate) int { return a.ID.Compare(b.ID) }) // as everybody who locks several
	for i, o := range all {
		if all[i], err = c.tx.LockManagedCertificate(c, o.ID); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// arrange makes the managed certificates of a set of names those of some types of key, all of one kind. It returns the one of
// the first type.
func (c *call) arrange(have []*model.ManagedCertificate, types []model.KeyType, k kind) (first model.ManagedCertificateID, err error) {
	if len(types) == 1 {
		if have, err = c.merge(have, types[0]); err != nil {
			return first, err
		}
		return have[0].ID, c.configure(have[0], types[0], k)
	}
	for i, t := range types {
		at := slices.IndexFunc(have, func(v *model.ManagedCertificate) bool { return v.KeyType == t })
		v := &model.ManagedCertificate{
			ID: model.ManagedCertificateID{}.New(), Org: have[0].Org, Names: have[0].Names, KeyType: t, Profile: k.profile, Issuer: k.issuer, NextAttempt: time.Now().UTC(),
		}
		if at >= 0 {
			v, err = have[at], c.configure(have[at], t, k)
		} else {
			err = c.tx.CreateManagedCertificate(c, v)
		}
		if err != nil {
			return first, err
		}
		if i == 0 {
			first = v.ID
		}
	}
	return first, nil
}

func (c *call) configure(v *model.ManagedCertificate, t model.KeyType, k kind) error {
	if v.KeyType == t && v.Profile == k.profile && v.Issuer == k.issuer {
		return nil
	}
	want := *v
	want.KeyType, want.Profile, want.Issuer = t, k.profile, k.issuer
	return c.tx.ConfigureManagedCertificate(c, &want, time.Now())
}

// merge leaves one of the managed certificates of a set of names, which is to be of a type of key. That is the one of this type,
// unless only another has a certificate to serve with until there is a new one. What the others have goes to it.
func (c *call) merge(have []*model.ManagedCertificate, t model.KeyType) ([]*model.ManagedCertificate, error) {
	heir, best := have[0], -1
	for _, v := range have {
		serves, err := c.serves(v)
		if err != nil {
			return nil, err
		}
		rank := 0
		if serves {
			rank += 2
		}
		if v.KeyType == t {
			rank++
		}
		if rank > best {
			heir, best = v, rank
		}
	}
	for _, v := range have {
		if v == heir {
			continue
		}
		var by model.CertificateID
		if best >= 2 {
			by = heir.Certificate
		}
		if err := c.tx.AdoptCertificates(c, v.ID, heir.ID, by); err != nil {
			return nil, err
		}
		if err := c.tx.DeleteManagedCertificate(c, v.ID); err != nil {
			return nil, err
		}
	}
	return []*model.ManagedCertificate{heir}, nil
}

// serves reports whether the certificate of a managed one is served, and is still good.
func (c *call) serves(v *model.ManagedCertificate) (bool, error) {
	if v.Certificate.IsZero() {
		return false, nil
	}
	cert, err := c.tx.GetCertificate(c, v.Certificate)
	if fault.Of(err) == fault.NotFound { // somebody removed it by hand
		return false, nil
	}
	return err == nil && cert.SupersededBy.IsZero() && time.Now().Before(cert.NotAfter), err
}

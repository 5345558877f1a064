package admin

import (
	"net/netip"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// shown is when the caller has shown a second factor: in this session, or in the one that his key was made with.
func (c *call) shown() (time.Time, error) {
	if !c.p.Session.IsZero() {
		v, err := c.tx.GetSession(c, c.p.Session)
		if err != nil {
			return time.Time{}, err
		}
		return v.SecondFactor, nil
	}
	v, err := c.tx.GetAPIKey(c, c.p.Key)
	if err != nil {
		return time.Time{}, err
	}
	return v.SecondFactor, nil
}

// permissions brings a list of permissions into its one form. None, which is all, stays none.
func permissions(names []string, cluster bool) ([]string, error) {
	if names == nil {
		return nil, nil
	}
	for i, n := range names {
		field := "permissions[" + itoa(i) + "]"
		switch p := access.Permission(n); {
		case !p.Known():
			return nil, fault.Field(field, "there is no permission %q", n)
		case !cluster && !p.InOrganization():
			return nil, fault.Field(field, "%s is of the whole cluster: no organization can give it", n)
		}
	}
	return access.NewSet(names).Names(), nil
}

// give checks that the caller has all that he gives away.
func (c *call) give(what access.Grants) error {
	for org, s := range what.Orgs {
		if err := c.p.CheckGive(s, org); err != nil {
			return err
		}
	}
	return c.p.CheckGive(what.Cluster, model.OrgID{})
}

// bound holds a key that is made or changed by another one to when that ends, and to where that is good: whoever finds a key
// that was meant for an hour, or for one network, does not make himself a better one with it.
func (c *call) bound(v *model.APIKey) error {
	if c.p.Key.IsZero() {
		return nil
	}
	by, err := c.tx.GetAPIKey(c, c.p.Key)
	if err != nil {
		return err
	}
	if !by.Expires.IsZero() && (v.Expires.IsZero() || v.Expires.After(by.Expires)) {
		return fault.Field("expires_at", "the key that asks ends at %s: this one can't be good for longer", by.Expires.UTC().Format(time.RFC3339))
	}
	if len(by.Allow) == 0 {
		return nil
	}
	if len(v.Allow) == 0 {
		return fault.Field("allow", "missing: the key that asks is not good from everywhere")
	}
	for i, n := range v.Allow {
		if !slices.ContainsFunc(by.Allow, func(has netip.Prefix) bool { return has.Bits() <= n.Bits() && has.Contains(n.Addr()) }) {
			return fault.Field("allow["+itoa(i)+"]", "%s: the key that asks is not good from all of it", n)
		}
	}
	return nil
}

// self is the calling user, who acts for himself: signed in, or by a key that may all that he may.
func (c *call) self() (model.UserID, error) {
	if c.p.User.IsZero() {
		return model.UserID{}, fault.New(fault.Denied, "this is for users: the key has no user")
	}
	if !c.p.Session.IsZero() {
		return c.p.User, nil
	}
	k, err := c.tx.GetAPIKey(c, c.p.Key)
	if err != nil {
		return model.UserID{}, err
	}
	if k.Permissions != nil || !k.Org.IsZero() {
		return model.UserID{}, fault.New(fault.Denied, "this key does not stand for all of its user")
	}
	return c.p.User, nil
}

// expiry is the end of a key as it is stored, zero for never. A key that has ended already is a mistake.
func expiry(at *time.Time, now time.Time) (time.Time, error) {
	switch {
	case at == nil:
		return time.Time{}, nil
	case !at.After(now):
		return time.Time{}, fault.Field("expires_at", "%s is over", at.UTC().Format(time.RFC3339))
	}
	return at.UTC().Truncate(time.Microsecond), nil
}

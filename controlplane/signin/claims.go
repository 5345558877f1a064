package signin

import (
	"context"
	"slices"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// held is what a user has: his role in the cluster, and his roles in organizations.
type held struct {
	cluster model.RoleID
	orgs    map[model.OrgID][]model.RoleID
}

func (h *held) has(v store.Claimed) bool {
	if v.Org.IsZero() {
		return h.cluster == v.Role
	}
	return slices.Contains(h.orgs[v.Org], v.Role)
}

func (h *held) give(v store.Claimed) {
	if v.Org.IsZero() {
		h.cluster = v.Role
		return
	}
	h.orgs[v.Org] = append(slices.Clone(h.orgs[v.Org]), v.Role)
}

func (h *held) take(v store.Claimed) {
	if v.Org.IsZero() {
		h.cluster = model.RoleID{}
		return
	}
	h.orgs[v.Org] = slices.DeleteFunc(slices.Clone(h.orgs[v.Org]), func(r model.RoleID) bool { return r == v.Role })
}

// change says which roles to give and to take, as a provider's rules gave some before and give others now. What somebody has
// by other means stays, and is not the provider's to take later.
func change(h *held, before, now []store.Claimed) (give, take []store.Claimed) {
	for _, v := range before {
		if !slices.Contains(now, v) {
			take = append(take, v)
		}
	}
	for _, v := range now {
		if v.Org.IsZero() && !h.cluster.IsZero() && !slices.Contains(before, store.Claimed{Role: h.cluster}) {
			continue // one role in the cluster is all that there is, and it was given by hand
		}
		if !h.has(v) {
			give = append(give, v)
		}
	}
	return give, take
}

// claims are the roles that a provider's rules give, as it speaks of somebody.
func claims(p *model.IdentityProvider, said map[string]any, u model.UserID) (out []store.Claimed) {
	probe := &model.User{ID: u}
	for _, m := range given(p, said, probe) {
		for _, r := range m.Roles {
			out = append(out, store.Claimed{Org: m.Org, Role: r})
		}
	}
	if !probe.ClusterRole.IsZero() {
		out = append(out, store.Claimed{Role: probe.ClusterRole})
	}
	return out
}

// refuse leaves of what a provider's rules give what nobody has taken from the user by hand. What was taken and is not given any
// more is over: if the rules come to give it again, they do.
func refuse(given, refused []store.Claimed) (now, over []store.Claimed) {
	for _, v := range given {
		if !slices.Contains(refused, v) && !slices.Contains(refused, store.Claimed{Org: v.Org}) {
			now = append(now, v)
		}
	}
	for _, r := range refused {
		if !slices.ContainsFunc(given, func(v store.Claimed) bool { return v == r || r.Role.IsZero() && v.Org == r.Org }) {
			over = append(over, r)
		}
	}
	return now, over
}

// restate gives a user whom a provider has just spoken of the roles that its rules give him now, and takes those that they
// gave him before and do not any more. The last owner of an organization stays it.
func (s *Service) restate(ctx context.Context, tx *store.Tx, p *model.IdentityProvider, said map[string]any, id model.UserID) error {
	if err := tx.LockUser(ctx, id); err != nil {
		return err
	}
	u, err := tx.GetUser(ctx, id)
	if err != nil {
		return err
	}
	members, err := tx.ListMembershipsOfUser(ctx, id)
	if err != nil {
		return err
	}
	before, err := tx.ListClaimed(ctx, id, p.ID)
	if err != nil {
		return err
	}
	refused, err := tx.ListRefused(ctx, id, p.ID)
	if err != nil {
		return err
	}
	now, over := refuse(claims(p, said, id), refused)
	for _, v := range over {
		if err := tx.ForgetRefused(ctx, id, p.ID, v); err != nil {
			return err
		}
	}
	h := &held{u.ClusterRole, map[model.OrgID][]model.RoleID{}}
	for _, m := range members {
		h.orgs[m.Org] = m.Roles
	}
	give, take := change(h, before, now)
	if len(give)+len(take) == 0 {
		return nil
	}
	for _, v := range take {
		if last, err := lastOwner(ctx, tx, v, id); err != nil {
			return err
		} else if last {
			continue
		}
		if h.has(v) {
			h.take(v)
		}
		if err := tx.Unclaim(ctx, id, p.ID, v); err != nil {
			return err
		}
	}
	for _, v := range give {
		h.give(v)
	}
	if err := s.write(ctx, tx, u, members, h); err != nil {
		return err
	}
	for _, v := range give {
		if err := tx.Claim(ctx, id, p.ID, v); err != nil {
			return err
		}
	}
	return nil
}

func lastOwner(ctx context.Context, tx *store.Tx, v store.Claimed, u model.UserID) (bool, error) {
	if v.Org.IsZero() || v.Role != model.RoleOwner {
		return false, nil
	}
	owners, err := tx.LockOwners(ctx, v.Org)
	return len(owners) == 1 && owners[0] == u, err
}

// write makes a user have what he is to have. Who has no role in an organization any more is no member.
func (s *Service) write(ctx context.Context, tx *store.Tx, u *model.User, members []*model.Membership, h *held) error {
	u.ClusterRole = h.cluster
	if _, err := tx.UpdateUser(ctx, u); err != nil {
		return err
	}
	for org, roles := range h.orgs {
		m := &model.Membership{Org: org, User: u.ID, Email: u.Email, Roles: roles}
		is := slices.ContainsFunc(members, func(o *model.Membership) bool { return o.Org == org })
		var err error
		switch {
		case is && len(roles) == 0:
			err = tx.DeleteMembership(ctx, org, u.ID)
		case is:
			_, err = tx.UpdateMembership(ctx, m)
		case len(roles) > 0:
			err = tx.CreateMembership(ctx, m)
		}
		if err != nil && fault.Of(err) != fault.NotFound {
			return err
		}
	}
	return s.Admin.Restated(ctx, tx, model.OrgID{}, u.ID) // what nodes were given says what he was
}

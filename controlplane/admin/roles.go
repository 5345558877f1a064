package admin

import (
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// RoleSpec is what is written of a role.
type RoleSpec struct {
	Permissions []string `json:"permissions" maxItems:"200" doc:"What the role permits: only what its author may himself"`
}

// Role is a named set of permissions.
type Role struct {
	Meta
	Organization string   `json:"organization,omitempty" readOnly:"true" doc:"Absent for roles of the cluster, and for those that are built in"`
	Builtin      bool     `json:"builtin"`
	Permissions  []string `json:"permissions"`
}

// roles is those that may be given in an organization, or to users of the cluster.
func roles(a *Admin, inOrg bool) *Collection[model.Role, RoleSpec, Role] {
	return &Collection[model.Role, RoleSpec, Role]{
		a: a, kind: "role", inOrg: inOrg, read: access.RolesRead, write: access.RolesManage,
		byRef:  func(c *call, ref string) (*model.Role, error) { return c.role(c.org, ref) },
		list:   func(c *call, p store.Page) ([]*model.Role, error) { return c.tx.ListRoles(c, c.org, p) },
		after:  func(v *model.Role) string { return v.Name },
		build:  buildRole,
		create: func(c *call, v *model.Role) error { return c.tx.CreateRole(c, v) },
		update: func(c *call, v *model.Role) (bool, error) { return c.tx.UpdateRole(c, v) },
		drop: func(c *call, v *model.Role) error {
			if _, err := c.mayManageRole(v); err != nil {
				return err
			}
			return c.tx.DeleteRole(c, v.ID)
		},
		view: func(c *call, v *model.Role) (out Role, err error) {
			out = Role{Meta: meta(v.ID.String(), v.Name, v.Meta), Builtin: v.Builtin, Permissions: access.Of(v).Names()}
			if !v.Org.IsZero() {
				out.Organization, err = c.orgName(v.Org)
			}
			return out, err
		},
	}
}

// role finds a role that may be given in an organization, or, where that is zero, in the cluster.
func (c *call) role(org model.OrgID, ref string) (*model.Role, error) {
	id, err := (model.RoleID{}).Parse(ref)
	if err != nil {
		return c.tx.GetRoleByName(c, org, ref)
	}
	r, err := c.tx.GetRole(c, id)
	if err == nil && (r.Cluster != org.IsZero() || !r.Builtin && r.Org != org) {
		return nil, notHere("role")
	}
	return r, err
}

func buildRole(c *call, old *model.Role, name string, s RoleSpec) (v *model.Role, err error) {
	v = &model.Role{ID: model.RoleID{}.New(), Org: c.org, Cluster: c.org.IsZero(), Name: name}
	if old != nil {
		v, err = c.mayManageRole(old)
	} else if err = c.fresh(); err == nil {
		err = builtinName(name)
	}
	if err != nil {
		return nil, err
	}
	if v.Permissions, err = permissions(s.Permissions, v.Cluster); err != nil {
		return nil, err
	}
	if err := c.p.CheckGive(access.NewSet(v.Permissions), v.Org); err != nil {
		return nil, err
	}
	return v, v.Validate()
}

// builtinName keeps the names of built-in roles for them: one who is called owner is one.
func builtinName(name string) error {
	switch name {
	case "owner", "admin", "member", "viewer", "cluster-admin", "cluster-viewer":
		return fault.New(fault.Conflict, "role %s is built in", name)
	}
	return nil
}

// mayManageRole locks a role that the caller changes or removes, which must not permit more than he may.
func (c *call) mayManageRole(v *model.Role) (*model.Role, error) {
	if v.Builtin {
		return nil, fault.New(fault.Conflict, "role %s is built in", v.Name)
	}
	if err := c.tx.LockRole(c, v.ID); err != nil {
		return nil, err
	}
	if err := c.fresh(); err != nil {
		return nil, err
	}
	now, err := c.tx.GetRole(c, v.ID)
	if err != nil {
		return nil, err
	}
	if c.p.CheckGive(access.Of(now), now.Org) != nil {
		return nil, fault.New(fault.Denied, "role %s permits what you may not", now.Name)
	}
	return now, nil
}

// roleToGive finds a role that a field names, and that the caller may give: he has all that it permits, until the
// transaction ends.
func (c *call) roleToGive(field string, org model.OrgID, ref string) (*model.Role, error) {
	r, err := c.role(org, ref)
	if err != nil {
		return nil, missing(field, ref, err)
	}
	if err := c.tx.ShareRoles(c, []model.RoleID{r.ID}); err != nil {
		return nil, err
	}
	if r, err = c.tx.GetRole(c, r.ID); err != nil {
		return nil, missing(field, ref, err)
	}
	return r, c.p.CheckGive(access.Of(r), org)
}

func (c *call) roleName(id model.RoleID) (string, error) {
	return c.name(id.String(), func() (string, error) {
		r, err := c.tx.GetRole(c, id)
		if err != nil {
			return "", err
		}
		return r.Name, nil
	})
}

func (c *call) roleNames(ids []model.RoleID) ([]string, error) {
	out := []string{}
	for _, id := range ids {
		n, err := c.roleName(id)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// ServiceAccountSpec is what is written of a service account.
type ServiceAccountSpec struct {
	Roles    []string `json:"roles" minItems:"1" maxItems:"32" doc:"Roles in the organization, by name or id"`
	Disabled bool     `json:"disabled,omitempty" doc:"Its keys are good for nothing"`
}

// ServiceAccount is a program that acts in an organization.
type ServiceAccount struct {
	OrgMeta
	Roles      []string   `json:"roles"`
	Disabled   bool       `json:"disabled"`
	DisabledAt *time.Time `json:"disabled_at,omitempty"`
}

func serviceAccounts(a *Admin) *Collection[model.ServiceAccount, ServiceAccountSpec, ServiceAccount] {
	return &Collection[model.ServiceAccount, ServiceAccountSpec, ServiceAccount]{
		a: a, kind: "service account", inOrg: true, read: access.ServiceAccountsRead, write: access.ServiceAccountsManage,
		byRef: accountByRef,
		list: func(c *call, p store.Page) ([]*model.ServiceAccount, error) {
			return c.tx.ListServiceAccounts(c, c.org, p)
		},
		after:  func(v *model.ServiceAccount) string { return v.Name },
		build:  buildServiceAccount,
		create: func(c *call, v *model.ServiceAccount) error { return c.tx.CreateServiceAccount(c, v) },
		update: func(c *call, v *model.ServiceAccount) (bool, error) { return c.tx.UpdateServiceAccount(c, v) },
		drop: func(c *call, v *model.ServiceAccount) error {
			if _, err := c.mayManageAccount(v); err != nil {
				return err
			}
			return c.tx.DeleteServiceAccount(c, v.ID)
		},
		view: func(c *call, v *model.ServiceAccount) (out ServiceAccount, err error) {
			out.Disabled, out.DisabledAt = !v.Disabled.IsZero(), when(v.Disabled)
			if out.Roles, err = c.roleNames(v.Roles); err != nil {
				return out, err
			}
			out.OrgMeta, err = c.orgMeta(v.ID.String(), v.Name, v.Org, v.Meta)
			return out, err
		},
	}
}

func accountByRef(c *call, ref string) (*model.ServiceAccount, error) {
	if id, err := (model.AccountID{}).Parse(ref); err == nil {
		v, err := c.tx.GetServiceAccount(c, id)
		if err == nil && v.Org != c.org {
			return nil, notHere("service account")
		}
		return v, err
	}
	return c.tx.GetServiceAccountByName(c, c.org, ref)
}

func buildServiceAccount(c *call, old *model.ServiceAccount, name string, s ServiceAccountSpec) (v *model.ServiceAccount, err error) {
	v = &model.ServiceAccount{ID: model.AccountID{}.New(), Org: c.org, Name: name}
	if old != nil {
		v, err = c.mayManageAccount(old)
	} else {
		err = c.fresh()
	}
	if err != nil {
		return nil, err
	}
	v.Roles = nil
	for i, ref := range s.Roles {
		r, err := c.roleToGive("roles["+itoa(i)+"]", c.org, ref)
		if err != nil {
			return nil, err
		}
		v.Roles = append(v.Roles, r.ID)
	}
	switch {
	case !s.Disabled:
		v.Disabled = time.Time{}
	case v.Disabled.IsZero():
		v.Disabled = time.Now().UTC().Truncate(time.Microsecond)
	}
	return v, v.Validate()
}

// mayManageAccount locks a service account that the caller changes or removes, which must not be able to do more
// than he.
func (c *call) mayManageAccount(v *model.ServiceAccount) (*model.ServiceAccount, error) {
	if err := c.tx.LockServiceAccount(c, v.ID); err != nil {
		return nil, err
	}
	if err := c.fresh(); err != nil {
		return nil, err
	}
	roles, err := c.tx.GrantsOfServiceAccount(c, v.ID)
	if err != nil {
		return nil, err
	}
	if c.give(access.Collect(roles)) != nil {
		return nil, fault.New(fault.Denied, "this service account may do what you may not")
	}
	return c.tx.GetServiceAccount(c, v.ID)
}

package admin

import (
	"context"
	"net/netip"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// UserSpec is what is written of a user; his name is his mail address.
type UserSpec struct {
	DisplayName string `json:"display_name,omitempty" maxLength:"100" doc:"As the user wants to be called"`
	ClusterRole string `json:"cluster_role,omitempty" doc:"Role in the whole cluster, by name or id; none if absent"`
	Disabled    bool   `json:"disabled,omitempty" doc:"Sessions and keys end at once, and nobody signs in"`
}

// User is a person.
type User struct {
	Meta
	DisplayName string     `json:"display_name,omitempty"`
	ClusterRole string     `json:"cluster_role,omitempty"`
	Disabled    bool       `json:"disabled"`
	DisabledAt  *time.Time `json:"disabled_at,omitempty"`
}

func users(a *Admin) *Collection[model.User, UserSpec, User] {
	return &Collection[model.User, UserSpec, User]{
		a: a, kind: "user", read: access.UsersRead, write: access.UsersManage,
		byRef:  userByRef,
		list:   func(c *call, p store.Page) ([]*model.User, error) { return c.tx.ListUsers(c, p) },
		after:  func(v *model.User) string { return v.Email },
		build:  buildUser,
		create: func(c *call, v *model.User) error { return c.tx.CreateUser(c, v) },
		update: updateUser,
		drop: func(c *call, v *model.User) error {
			if _, err := c.mayManage(v.ID); err != nil {
				return err
			}
			if err := c.leaveOwners(v.ID); err != nil {
				return err
			}
			if err := c.a.ended(c, c.tx, v.ID); err != nil {
				return err
			}
			return c.tx.DeleteUser(c, v.ID)
		},
		view: func(c *call, v *model.User) (out User, err error) {
			out = User{Meta: meta(v.ID.String(), v.Email, v.Meta), DisplayName: v.Name, Disabled: !v.Disabled.IsZero(), DisabledAt: when(v.Disabled)}
			if !v.ClusterRole.IsZero() {
				out.ClusterRole, err = c.roleName(v.ClusterRole)
			}
			return out, err
		},
	}
}

func userByRef(c *call, ref string) (*model.User, error) {
	if id, err := (model.UserID{}).Parse(ref); err == nil {
		return c.tx.GetUser(c, id)
	}
	email, err := model.CanonicalEmail(ref)
	if err != nil {
		return nil, notHere("user")
	}
	return c.tx.GetUserByEmail(c, email)
}

func buildUser(c *call, old *model.User, name string, s UserSpec) (v *model.User, err error) {
	v = &model.User{ID: model.UserID{}.New()}
	if old != nil {
		if v, err = c.mayManage(old.ID); err != nil {
			return nil, err
		}
	} else {
		if v.Email, err = model.CanonicalEmail(name); err != nil {
			return nil, renamed("name", err)
		}
		if err := c.fresh(); err != nil {
			return nil, err
		}
	}
	v.Name = s.DisplayName
	v.ClusterRole = model.RoleID{}
	if s.ClusterRole != "" {
		r, err := c.roleToGive("cluster_role", model.OrgID{}, s.ClusterRole)
		if err != nil {
			return nil, err
		}
		v.ClusterRole = r.ID
	}
	switch {
	case !s.Disabled:
		v.Disabled = time.Time{}
	case v.Disabled.IsZero():
		v.Disabled = time.Now().UTC().Truncate(time.Microsecond)
	}
	return v, renamed("display_name", v.Validate())
}

func updateUser(c *call, v *model.User) (bool, error) {
	if !v.Disabled.IsZero() {
		if err := c.leaveOwners(v.ID); err != nil {
			return false, err
		}
	}
	old, err := c.tx.GetUser(c, v.ID)
	if err != nil {
		return false, err
	}
	if !old.ClusterRole.IsZero() && old.ClusterRole != v.ClusterRole {
		if err := c.tx.RefuseClaims(c, v.ID, model.OrgID{}, old.ClusterRole); err != nil {
			return false, err
		}
	}
	if !v.ClusterRole.IsZero() {
		if err := c.tx.AcceptClaims(c, v.ID, model.OrgID{}, v.ClusterRole); err != nil {
			return false, err
		}
	}
	changed, err := c.tx.UpdateUser(c, v)
	if err != nil || !changed {
		return changed, err
	}
	if v.Disabled.IsZero() {
		return true, c.a.Restated(c, c.tx, model.OrgID{}, v.ID)
	}
	if _, err := c.tx.DeleteSessions(c, v.ID, model.SessionID{}); err != nil {
		return false, err
	}
	c.a.forgetUser(v.ID)
	return true, c.a.ended(c, c.tx, v.ID)
}

// mayManage locks a user whom the caller changes or removes, who must not be able to do more than he: whoever writes
// another address down for an administrator becomes one.
func (c *call) mayManage(id model.UserID) (*model.User, error) {
	if err := c.tx.LockUser(c, id); err != nil {
		return nil, err
	}
	if err := c.fresh(); err != nil {
		return nil, err
	}
	roles, err := c.tx.GrantsOfUser(c, id)
	if err != nil {
		return nil, err
	}
	if err := c.give(access.Collect(roles)); err != nil {
		return nil, fault.New(fault.Denied, "this user may do what you may not")
	}
	return c.tx.GetUser(c, id)
}

// SignOutUser ends all sessions of a user.
func (a *Admin) SignOutUser(ctx context.Context, p access.Principal, ref string) (User, error) {
	v, _, err := a.Users.change(ctx, p, "", ref, "sign-out", access.UsersManage, func(c *call, v *model.User) error {
		if _, err := c.mayManage(v.ID); err != nil {
			return err
		}
		return a.EndSessions(c, c.tx, v.ID, model.SessionID{})
	})
	return v, err
}

// Me is what the caller is and may do.
type Me struct {
	User          *User          `json:"user,omitempty" doc:"Absent for a key that has no user"`
	Key           string         `json:"key,omitempty" doc:"Id of the API key, if it is one that calls"`
	Session       string         `json:"session,omitempty" doc:"Id of the session, if it is one that calls"`
	Permissions   []string       `json:"permissions" doc:"In the cluster, and in all organizations"`
	Organizations []MyMembership `json:"organizations" doc:"Those in which the caller may do more"`
}

// MyMembership is what the caller may do in an organization.
type MyMembership struct {
	Name        string   `json:"name"`
	ID          string   `json:"id"`
	Permissions []string `json:"permissions"`
}

// Me says who the caller is.
func (a *Admin) Me(ctx context.Context, p access.Principal) (out Me, err error) {
	err = a.read(ctx, p, func(c *call) error {
		out = Me{Key: p.Key.String(), Session: p.Session.String(), Permissions: p.Grants.Cluster.Names(), Organizations: []MyMembership{}}
		for _, id := range p.Organizations() {
			name, err := c.orgName(id)
			if err != nil {
				return err
			}
			out.Organizations = append(out.Organizations, MyMembership{name, id.String(), p.Grants.Orgs[id].Names()})
		}
		if p.User.IsZero() {
			return nil
		}
		u, err := c.tx.GetUser(c, p.User)
		if err != nil {
			return err
		}
		v, err := a.Users.view(c, u)
		out.User = &v
		return err
	})
	return out, err
}

// Session is a browser or command line in which a user is signed in.
type Session struct {
	ID           string     `json:"id"`
	Current      bool       `json:"current" doc:"It is the one that asks"`
	Address      string     `json:"address,omitempty" doc:"From where it was last used"`
	UserAgent    string     `json:"user_agent,omitempty"`
	Methods      []string   `json:"methods" doc:"How the user signed in (RFC 8176)"`
	SecondFactor *time.Time `json:"second_factor_at,omitempty"`
	CreatedAt    time.Time  `json:"created_at"`
	SeenAt       time.Time  `json:"seen_at" doc:"When it was last used, to the minute"`
	ExpiresAt    time.Time  `json:"expires_at" doc:"Earlier if it is not used"`
}

// MySessions lists where the calling user is signed in.
func (a *Admin) MySessions(ctx context.Context, p access.Principal) (out []Session, err error) {
	err = a.read(ctx, p, func(c *call) error {
		out = []Session{}
		id, err := c.self()
		if err != nil {
			return err
		}
		rows, err := c.tx.ListSessions(c, id)
		now := time.Now()
		for _, s := range rows {
			if !s.Ended(now) {
				out = append(out, viewSession(s, p.Session))
			}
		}
		return err
	})
	return out, err
}

func viewSession(s *model.Session, current model.SessionID) Session {
	v := Session{
		ID: s.ID.String(), Current: s.ID == current, UserAgent: s.UserAgent, Methods: s.AMR, SecondFactor: when(s.SecondFactor), CreatedAt: s.Created.UTC(), SeenAt: s.Seen.UTC(), ExpiresAt: s.Expires.UTC(),
	}
	if v.Methods == nil {
		v.Methods = []string{}
	}
	if s.Address != (netip.Addr{}) {
		v.Address = s.Address.String()
	}
	return v
}

// EndMySession ends one of the calling user's sessions.
func (a *Admin) EndMySession(ctx context.Context, p access.Principal, ref string) error {
	_, err := a.write(ctx, p, action("session", "end"), func(c *call) error {
		user, err := c.self()
		if err != nil {
			return err
		}
		id, err := model.SessionID{}.Parse(ref)
		if err != nil {
			return notHere("session")
		}
		v, err := c.tx.GetSession(c, id)
		if err == nil && v.User != user {
			return notHere("session")
		} else if err != nil {
			return err
		}
		c.did(v.ID.String(), "")
		return a.EndSession(c, c.tx, v)
	})
	a.forgetUser(p.User)
	return err
}

// EndMySessions ends all of the calling user's sessions but the one that asks.
func (a *Admin) EndMySessions(ctx context.Context, p access.Principal) error {
	_, err := a.write(ctx, p, action("session", "end-others"), func(c *call) error {
		user, err := c.self()
		if err != nil {
			return err
		}
		c.did("", "")
		return a.EndSessions(c, c.tx, user, p.Session)
	})
	a.forgetUser(p.User)
	return err
}

// renamed puts a fault of a field under the name that the field has where it was written.
func renamed(field string, err error) error {
	if fe, ok := asField(err); ok {
		return fault.Field(field, "%s", fe.Msg)
	}
	return err
}

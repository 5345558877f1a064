package admin

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// InvitationSpec is what is written of an invitation; its name is the mail address.
type InvitationSpec struct {
	Roles []string `json:"roles" minItems:"1" maxItems:"32" doc:"Roles in the organization, by name or id"`
}

// Invitation lets whoever gets its link join an organization.
type Invitation struct {
	OrgMeta
	Roles     []string  `json:"roles"`
	By        string    `json:"invited_by"`
	ExpiresAt time.Time `json:"expires_at"`
	Mailed    bool      `json:"mailed,omitempty" doc:"The link is on its way; shown when it is made"`
	Link      string    `json:"link,omitempty" readOnly:"true" doc:"The link itself; shown once, when it is made"`
}

// Inviter makes links of invitations, and mails them where there is mail.
type Inviter interface {
	NewInvitation(ctx context.Context, tx *store.Tx, v *model.Invitation) (link string, err error)
	MailInvitation(v *model.Invitation, organization, link string) error
}

func invitations(a *Admin) *Collection[model.Invitation, InvitationSpec, Invitation] {
	return &Collection[model.Invitation, InvitationSpec, Invitation]{
		a: a, kind: "invitation", inOrg: true, read: access.InvitationsRead, write: access.InvitationsManage,
		byRef: func(c *call, ref string) (*model.Invitation, error) {
			id, err := (model.InvitationID{}).Parse(ref)
			if err != nil {
				return nil, notHere("invitation")
			}
			v, err := c.tx.GetInvitation(c, id)
			if err == nil && v.Org != c.org {
				return nil, notHere("invitation")
			}
			return v, err
		},
		list:  func(c *call, p store.Page) ([]*model.Invitation, error) { return c.tx.ListInvitations(c, c.org, p) },
		after: func(v *model.Invitation) string { return v.Email },
		drop:  func(c *call, v *model.Invitation) error { return c.tx.DeleteInvitation(c, v.ID) },
		view: func(c *call, v *model.Invitation) (out Invitation, err error) {
			if out.OrgMeta, err = c.orgMeta(v.ID.String(), v.Email, v.Org, v.Meta); err != nil {
				return out, err
			}
			out.By, out.ExpiresAt, out.Roles = v.By, v.Expires.UTC(), []string{}
			roles, err := c.tx.GetRoles(c, v.Roles)
			for _, r := range roles {
				out.Roles = append(out.Roles, r.Name)
			}
			return out, err
		},
	}
}

// Invite makes an invitation for a mail address, and mails its link where there is mail. An earlier one for the same
// address is void. Whether there is such a user is not told.
func (a *Admin) Invite(ctx context.Context, p access.Principal, org, email string, s InvitationSpec) (out Invitation, err error) {
	v := &model.Invitation{By: p.Name}
	var link, name string
	_, err = a.Invitations.do(ctx, p, org, "create", func(c *call) error {
		if a.Inviter == nil {
			return fault.New(fault.Conflict, "nobody can sign in here: the control plane's settings have no url")
		}
		if err := c.fresh(); err != nil {
			return err
		}
		if v.Email, err = model.CanonicalEmail(email); err != nil {
			return err
		}
		v.ID, v.Org, v.Roles = model.InvitationID{}.New(), c.org, nil
		for i, ref := range s.Roles {
			r, err := c.roleToGive("roles["+itoa(i)+"]", c.org, ref)
			if err != nil {
				return err
			}
			v.Roles = append(v.Roles, r.ID)
		}
		if len(v.Roles) == 0 {
			return fault.Field("roles", "want one at least")
		}
		if name, err = c.orgName(c.org); err != nil {
			return err
		}
		if link, err = a.Inviter.NewInvitation(c, c.tx, v); err != nil {
			return err
		}
		a.Invitations.did(c, "create", v)
		out, err = a.Invitations.shown(c, v.ID.String())
		return err
	})
	if err != nil {
		return Invitation{}, err
	}
	out.Link, out.Mailed = link, a.Inviter.MailInvitation(v, name, link) == nil
	return out, nil
}

// SecuritySpec is what an organization wants of a session before it counts there.
type SecuritySpec struct {
	RequireSecondFactor bool   `json:"require_second_factor,omitempty" doc:"Sessions, and keys that users make of their own in them, count in the organization only after a code, a backup code or a passkey"`
	MaxSessionAge       string `json:"max_session_age,omitempty" maxLength:"20" doc:"How old a session may be that counts there, such as 12h; from 5m to 168h, as old as any if absent"`
}

// Security returns what an organization wants of sessions.
func (a *Admin) Security(ctx context.Context, p access.Principal, org string) (out SecuritySpec, err error) {
	err = a.read(ctx, p, func(c *call) error {
		if err := c.organization(org, access.SecurityRead); err != nil {
			return err
		}
		v, err := c.tx.GetSecurity(c, c.org)
		out = SecuritySpec{RequireSecondFactor: v.RequireSecondFactor}
		if v.MaxSession > 0 {
			out.MaxSessionAge = v.MaxSession.String()
		}
		return err
	})
	return out, err
}

// SetSecurity writes what an organization wants of sessions. It holds from the next call on, of whoever is signed in.
func (a *Admin) SetSecurity(ctx context.Context, p access.Principal, org string, s SecuritySpec) (SecuritySpec, error) {
	v := model.Security{RequireSecondFactor: s.RequireSecondFactor}
	_, err := a.write(ctx, p, action("security", "update"), func(c *call) error {
		if err := c.organization(org, access.SecurityManage); err != nil {
			return err
		}
		if s.MaxSessionAge != "" {
			d, err := time.ParseDuration(s.MaxSessionAge)
			if err != nil || d < model.MinSessionAge || d > model.SessionLife {
				return fault.Field("max_session_age", "%q, want a duration from %s to %s", s.MaxSessionAge, model.MinSessionAge, model.SessionLife)
			}
			v.MaxSession = d.Truncate(time.Second)
		}
		v.Org = c.org
		c.did(c.org.String(), org)
		if err := c.tx.LockOrganization(c, c.org); err != nil {
			return err
		}
		if err := c.tx.SetSecurity(c, v); err != nil || a.Changed == nil {
			return err
		}
		return a.Changed(c, c.tx, c.org, nil) // sessions that counted may not any more
	})
	if err != nil {
		return SecuritySpec{}, err
	}
	return a.Security(ctx, p, org)
}

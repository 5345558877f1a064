package admin

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/policy"
)

// ShareLinkSpec is what is said of a link that is to be made.
type ShareLinkSpec struct {
	Title     string     `json:"title,omitempty" maxLength:"255" doc:"For whom it is, say"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Never, if absent"`
	MaxUses   uint32     `json:"max_uses,omitempty" maximum:"1000000" doc:"How often it can be opened, at all nodes together; any number if absent. What a browser does after it has opened it is not counted. A link with a limit can't be opened while the control plane is away"`
}

// ShareLink opens what a policy guards to whoever has it.
type ShareLink struct {
	ID        string     `json:"id"`
	Title     string     `json:"title,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	MaxUses   uint32     `json:"max_uses,omitempty"`
	Uses      uint32     `json:"uses,omitempty" doc:"Of a link with a limit: how often it was opened"`
	CreatedAt time.Time  `json:"created_at"`
	Path      string     `json:"path,omitempty" doc:"What to put behind https://<hostname of a service>, or its parameter behind any of its pages; shown once, when the link is made"`
}

// ServiceTokenSpec is what is said of a token that is to be made.
type ServiceTokenSpec struct {
	Name      string     `json:"name" maxLength:"63" doc:"Lower-case letters, digits and inner hyphens"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Never, if absent"`
}

// ServiceToken opens what a policy guards to a program, which sends it in two header fields.
type ServiceToken struct {
	ID        string     `json:"id" doc:"What the program sends as Warren-Token-Id"`
	Name      string     `json:"name"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	Secret    string     `json:"secret,omitempty" doc:"What the program sends as Warren-Token-Secret; shown once, when the token is made"`
}

// newSecret is 256 random bits as text, and what is kept of it.
func newSecret() (text string, hash [32]byte) {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails since Go 1.24
	text = base64.RawURLEncoding.EncodeToString(b)
	return text, policy.HashSecret(text)
}

// ShareLinks lists the links of a policy, the oldest first.
func (a *Admin) ShareLinks(ctx context.Context, p access.Principal, org, ref string) (out []ShareLink, err error) {
	err = a.beside(ctx, p, org, ref, func(c *call, v *model.Policy) error {
		uses, err := c.tx.ShareLinkUses(c, v.ID)
		out = []ShareLink{}
		for _, l := range v.ShareLinks {
			shown := viewLink(l)
			shown.Uses = uses[l.ID]
			out = append(out, shown)
		}
		return err
	})
	return out, err
}

// ServiceTokens lists the tokens of a policy, the oldest first.
func (a *Admin) ServiceTokens(ctx context.Context, p access.Principal, org, ref string) (out []ServiceToken, err error) {
	err = a.beside(ctx, p, org, ref, func(_ *call, v *model.Policy) error {
		out = []ServiceToken{}
		for _, t := range v.ServiceTokens {
			out = append(out, viewServiceToken(t))
		}
		return nil
	})
	return out, err
}

// beside reads what belongs to a policy.
func (a *Admin) beside(ctx context.Context, p access.Principal, org, ref string, fn func(*call, *model.Policy) error) error {
	k := a.Policies
	return a.read(ctx, p, func(c *call) error {
		if err := k.begin(c, k.read, org); err != nil {
			return err
		}
		v, err := k.byRef(c, ref)
		if err != nil {
			return err
		}
		return fn(c, v)
	})
}

// within changes what belongs to a policy, which nobody else does meanwhile; the verb names it in the audit log.
func (a *Admin) within(ctx context.Context, p access.Principal, org, ref, verb string, fn func(*call, *model.Policy) error) (model.Revision, error) {
	k := a.Policies
	return k.do(ctx, p, org, verb, func(c *call) error {
		v, err := k.byRef(c, ref)
		if err != nil {
			return err
		}
		if err := c.tx.LockPolicy(c, v.ID); err != nil {
			return err
		}
		if v, err = k.byRef(c, v.ID.String()); err != nil {
			return err
		}
		if err := fn(c, v); err != nil {
			return err
		}
		k.did(c, verb, v)
		return nil
	})
}

// CreateShareLink makes a link and returns it with its secret, once.
func (a *Admin) CreateShareLink(ctx context.Context, p access.Principal, org, ref string, s ShareLinkSpec) (out ShareLink, rev model.Revision, err error) {
	rev, err = a.within(ctx, p, org, ref, "create-link", func(c *call, v *model.Policy) error {
		text, hash := newSecret()
		l := &model.ShareLink{ID: model.ShareLinkID{}.New(), Policy: v.ID, Title: s.Title, Hash: hash, MaxUses: s.MaxUses}
		var err error
		if l.Expires, err = expiry(s.ExpiresAt, time.Now()); err != nil {
			return err
		}
		v.ShareLinks = append(v.ShareLinks, l)
		if err := v.Validate(); err != nil {
			return err
		}
		if err := c.tx.CreateShareLink(c, l); err != nil {
			return err
		}
		l.Created = time.Now()
		out = viewLink(l)
		out.Path = "/?" + policy.ShareParam + "=" + text
		return nil
	})
	return out, rev, err
}

// RevokeShareLink ends a link, and what was opened with it.
func (a *Admin) RevokeShareLink(ctx context.Context, p access.Principal, org, ref, link string) (model.Revision, error) {
	return a.within(ctx, p, org, ref, "revoke-link", func(c *call, v *model.Policy) error {
		id, err := model.ShareLinkID{}.Parse(link)
		if err != nil {
			return notHere("share link")
		}
		return c.tx.DeleteShareLink(c, v.ID, id)
	})
}

// CreateServiceToken makes a token and returns it with its secret, once.
func (a *Admin) CreateServiceToken(ctx context.Context, p access.Principal, org, ref string, s ServiceTokenSpec) (out ServiceToken, rev model.Revision, err error) {
	rev, err = a.within(ctx, p, org, ref, "create-token", func(c *call, v *model.Policy) error {
		text, hash := newSecret()
		t := &model.ServiceToken{ID: model.ServiceTokenID{}.New(), Policy: v.ID, Name: s.Name, Hash: hash}
		var err error
		if t.Expires, err = expiry(s.ExpiresAt, time.Now()); err != nil {
			return err
		}
		v.ServiceTokens = append(v.ServiceTokens, t)
		if err := v.Validate(); err != nil {
			return err
		}
		if err := c.tx.CreateServiceToken(c, t); err != nil {
			return err
		}
		t.Created = time.Now()
		out = viewServiceToken(t)
		out.Secret = text
		return nil
	})
	return out, rev, err
}

// RevokeServiceToken ends a token, by its name or id.
func (a *Admin) RevokeServiceToken(ctx context.Context, p access.Principal, org, ref, token string) (model.Revision, error) {
	return a.within(ctx, p, org, ref, "revoke-token", func(c *call, v *model.Policy) error {
		for _, t := range v.ServiceTokens {
			if t.Name == token || t.ID.String() == token {
				return c.tx.DeleteServiceToken(c, v.ID, t.ID)
			}
		}
		return notHere("service token")
	})
}

func viewLink(l *model.ShareLink) ShareLink {
	return ShareLink{ID: l.ID.String(), Title: l.Title, ExpiresAt: when(l.Expires), MaxUses: l.MaxUses, CreatedAt: l.Created.UTC()}
}

func viewServiceToken(t *model.ServiceToken) ServiceToken {
	return ServiceToken{ID: t.ID.String(), Name: t.Name, ExpiresAt: when(t.Expires), CreatedAt: t.Created.UTC()}
}

// servicePolicy finds the policy that a service is to have. One of another organization is not there.
func (c *call) servicePolicy(v *model.Service, ref string) error {
	v.Policy = model.PolicyID{}
	if ref == "" {
		return nil
	}
	p, err := policyByRef(c, ref)
	if err != nil {
		return missing("policy", ref, err)
	}
	if err := c.tx.LockPolicy(c, p.ID); err != nil { // it may just be changed into what this service can't have
		return err
	}
	if p, err = c.tx.GetPolicy(c, p.ID); err != nil {
		return missing("policy", ref, err)
	}
	v.Policy = p.ID
	return model.CheckPolicyServices(p, []*model.Service{v})
}

func (c *call) policyName(id model.PolicyID) (string, error) {
	if id.IsZero() {
		return "", nil
	}
	return c.name(id.String(), func() (string, error) {
		p, err := c.tx.GetPolicy(c, id)
		if err != nil {
			return "", err
		}
		return p.Name, nil
	})
}

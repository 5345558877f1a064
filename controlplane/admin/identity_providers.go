package admin

import (
	"fmt"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// IdentityProviderSpec is what is written of an identity provider.
type IdentityProviderSpec struct {
	Title        string      `json:"title,omitempty" maxLength:"60" doc:"On the button of the sign-in page; the name if absent"`
	Issuer       string      `json:"issuer" minLength:"1" maxLength:"1024" doc:"As the provider's tokens say it, https; what else there is to know it says itself (OpenID Connect Discovery)"`
	ClientID     string      `json:"client_id" minLength:"1" maxLength:"255"`
	ClientSecret string      `json:"client_secret,omitempty" writeOnly:"true" maxLength:"1024" doc:"Never shown. Of a provider that is there, what it has stays if this is absent"`
	Scopes       []string    `json:"scopes,omitempty" maxItems:"20" doc:"What is asked for beside openid; email and profile if absent"`
	Provision    bool        `json:"provision,omitempty" doc:"Who is not known yet, and to whom a rule gives a role, becomes a user"`
	Rules        []ClaimRule `json:"rules,omitempty" maxItems:"100" doc:"What a new user may do, by what the provider says of him"`
}

// ClaimRule gives a role to those of whom a provider says something.
type ClaimRule struct {
	Claim        string `json:"claim,omitempty" maxLength:"255" doc:"Name of a claim, with dots on the way to what is inside; everybody if absent"`
	Value        string `json:"value,omitempty" maxLength:"255" doc:"What the claim is, or has in it; * for anything"`
	Organization string `json:"organization,omitempty" maxLength:"64" doc:"Where the role is given; the whole cluster if absent, or the organization of the provider"`
	Role         string `json:"role" minLength:"1" maxLength:"64" doc:"By name or id"`
}

// IdentityProvider is where else people sign in, by OpenID Connect.
type IdentityProvider struct {
	Meta
	Organization string      `json:"organization,omitempty" readOnly:"true" doc:"Absent of those for everybody"`
	Title        string      `json:"title,omitempty"`
	Issuer       string      `json:"issuer"`
	ClientID     string      `json:"client_id"`
	Confidential bool        `json:"confidential" readOnly:"true" doc:"It has a client secret"`
	Scopes       []string    `json:"scopes,omitempty"`
	Provision    bool        `json:"provision"`
	Rules        []ClaimRule `json:"rules,omitempty"`
}

func identityProviders(a *Admin, inOrg bool) *Collection[model.IdentityProvider, IdentityProviderSpec, IdentityProvider] {
	k := &Collection[model.IdentityProvider, IdentityProviderSpec, IdentityProvider]{
		a: a, kind: "identity provider", inOrg: inOrg, read: access.ClusterManage, write: access.ClusterManage,
		byRef: func(c *call, ref string) (*model.IdentityProvider, error) {
			id, err := (model.IdentityProviderID{}).Parse(ref)
			if err != nil {
				return c.tx.GetIdentityProviderByName(c, c.org, ref)
			}
			v, err := c.tx.GetIdentityProvider(c, id)
			if err == nil && v.Org != c.org {
				return nil, notHere("identity provider")
			}
			return v, err
		},
		list: func(c *call, p store.Page) ([]*model.IdentityProvider, error) {
			return c.tx.ListIdentityProviders(c, c.org, p)
		},
		after:  func(v *model.IdentityProvider) string { return v.Name },
		build:  buildIdentityProvider,
		create: func(c *call, v *model.IdentityProvider) error { return c.tx.CreateIdentityProvider(c, v) },
		update: func(c *call, v *model.IdentityProvider) (bool, error) { return c.tx.UpdateIdentityProvider(c, v) },
		drop:   func(c *call, v *model.IdentityProvider) error { return c.tx.DeleteIdentityProvider(c, v.ID) },
		view:   viewIdentityProvider,
	}
	if inOrg {
		k.read, k.write = access.SecurityRead, access.SecurityManage
	}
	return k
}

func buildIdentityProvider(c *call, old *model.IdentityProvider, name string, s IdentityProviderSpec) (*model.IdentityProvider, error) {
	if err := c.fresh(); err != nil {
		return nil, err
	}
	v := &model.IdentityProvider{ID: model.IdentityProviderID{}.New(), Org: c.org, Name: name}
	if old != nil {
		*v = *old
		if old.Issuer != s.Issuer {
			return nil, fault.Field("issuer", "who is known by %s would be somebody else there: create another provider", old.Issuer)
		}
	}
	v.Title, v.Issuer, v.ClientID, v.Scopes, v.Provision = s.Title, s.Issuer, s.ClientID, s.Scopes, s.Provision
	v.Rules = nil
	for i, r := range s.Rules {
		rule, err := c.claimRule(fmt.Sprintf("rules[%d]", i), r)
		if err != nil {
			return nil, err
		}
		v.Rules = append(v.Rules, rule)
	}
	if err := v.Validate(); err != nil || s.ClientSecret == "" {
		return v, err
	}
	var err error
	v.SealedClientSecret, err = c.a.sealed(v.SealedClientSecret, []byte(s.ClientSecret), v.ID.String())
	return v, err
}

// claimRule reads a rule. Whoever writes one gives what it gives.
func (c *call) claimRule(field string, r ClaimRule) (out model.ClaimRule, err error) {
	out = model.ClaimRule{Claim: r.Claim, Value: r.Value, Org: c.org}
	if err := out.Validate(field); err != nil {
		return out, err
	}
	if r.Organization != "" {
		o, err := c.tx.GetOrganizationByName(c, r.Organization)
		if id, perr := (model.OrgID{}).Parse(r.Organization); perr == nil {
			o, err = c.tx.GetOrganization(c, id)
		}
		if err == nil {
			err = c.p.CheckOrg(o.ID)
		}
		if err != nil {
			return out, missing(field+".organization", r.Organization, err)
		}
		if !c.org.IsZero() && o.ID != c.org {
			return out, fault.Field(field+".organization", "an organization's provider gives roles there alone")
		}
		out.Org = o.ID
	}
	role, err := c.roleToGive(field+".role", out.Org, r.Role)
	if err != nil {
		return out, err
	}
	out.Role = role.ID
	return out, nil
}

func viewIdentityProvider(c *call, v *model.IdentityProvider) (out IdentityProvider, err error) {
	out = IdentityProvider{
		Meta: meta(v.ID.String(), v.Name, v.Meta), Title: v.Title, Issuer: v.Issuer, ClientID: v.ClientID, Confidential: v.SealedClientSecret != nil,
		Scopes: v.Scopes, Provision: v.Provision,
	}
	if !v.Org.IsZero() {
		if out.Organization, err = c.orgName(v.Org); err != nil {
			return out, err
		}
	}
	for _, r := range v.Rules {
		rule := ClaimRule{Claim: r.Claim, Value: r.Value}
		if !r.Org.IsZero() {
			if rule.Organization, err = c.orgName(r.Org); fault.Of(err) == fault.NotFound {
				rule.Organization, err = r.Org.String(), nil // it is gone: the rule gives nothing
			}
			if err != nil {
				return out, err
			}
		}
		role, err := c.tx.GetRole(c, r.Role)
		switch {
		case err == nil:
			rule.Role = role.Name
		case fault.Of(err) == fault.NotFound:
			rule.Role = r.Role.String()
		default:
			return out, err
		}
		out.Rules = append(out.Rules, rule)
	}
	return out, nil
}

package signin

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/signin/oidc"
	"github.com/warrenedge/warren/controlplane/store"
)

// PathOIDC is where browsers come back from providers.
const PathOIDC = "/sign-in/oidc/callback"

// What somebody is told who comes back from a provider.
var (
	ErrUnknown = fault.New(fault.Denied, "nobody here is known by that account. Sign in as ever and add it on your account page, or ask to be invited")
	ErrTaken   = fault.New(fault.Conflict, "there is a user with the mail address that the provider says. Sign in as ever and add this account on your account page")
	ErrNoMail  = fault.New(fault.Denied, "the provider does not vouch for a mail address of yours: a new user needs one")
	ErrNoRole  = fault.New(fault.Denied, "nothing that the provider says of you lets you in")
	ErrOutside = fault.New(fault.Denied, "an organization's provider signs in people of this organization alone: you belong to others, too, or to the cluster. Sign in as ever")
)

// Providers returns where people can sign in besides: everybody's, and those of an organization if it is named.
func (s *Service) Providers(ctx context.Context, org string) (out []*model.IdentityProvider, err error) {
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		if out, err = tx.ListIdentityProviders(ctx, model.OrgID{}, store.Page{}); err != nil || org == "" {
			return err
		}
		o, err := tx.GetOrganizationByName(ctx, org)
		if fault.Of(err) == fault.NotFound && err != nil {
			return nil // which organizations there are is told to nobody
		} else if err != nil {
			return err
		}
		theirs, err := tx.ListIdentityProviders(ctx, o.ID, store.Page{})
		out = append(out, theirs...)
		return err
	})
	return out, err
}

// away is what is kept while a browser is at a provider.
type away struct {
	Flow     oidc.Flow `json:"flow"`
	Provider string    `json:"provider"`
	Next     string    `json:"next"`
}

func (s *Service) config(p *model.IdentityProvider) (oidc.Config, error) {
	cfg := oidc.Config{Issuer: p.Issuer, ClientID: p.ClientID, Scopes: p.Scopes, RedirectURL: s.page(PathOIDC, "")}
	if len(cfg.Scopes) == 0 {
		cfg.Scopes = []string{"email", "profile"}
	}
	if p.SealedClientSecret == nil {
		return cfg, nil
	}
	secret, err := s.Sealer.Open(p.SealedClientSecret, p.ID.String())
	cfg.ClientSecret = string(secret)
	return cfg, err
}

func (s *Service) provider(ctx context.Context, id string) (p *model.IdentityProvider, err error) {
	pid, err := model.IdentityProviderID{}.Parse(id)
	if err != nil {
		return nil, fault.New(fault.NotFound, "no such provider")
	}
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		p, err = tx.GetIdentityProvider(ctx, pid)
		return err
	})
	return p, err
}

// BeginOIDC returns where to send a browser that is to sign in at a provider. Who is signed in already adds what he is
// there to what he signs in with.
func (s *Service) BeginOIDC(ctx context.Context, c Client, id, next string, add *Who) (to, flow string, err error) {
	if err := s.take(ctx, limits.NewKey(perClient, "client", limits.Client(c.Address))); err != nil {
		return "", "", err
	}
	p, err := s.provider(ctx, id)
	if err != nil {
		return "", "", err
	}
	cfg, err := s.config(p)
	if err != nil {
		return "", "", err
	}
	to, f, err := s.OIDC.Begin(ctx, cfg)
	if err != nil {
		return "", "", err
	}
	data, err := json.Marshal(away{f, p.ID.String(), next})
	if err != nil {
		return "", "", err
	}
	var u model.UserID
	if add != nil {
		if s.Now().Sub(add.Session.Created) > recent {
			return "", "", fault.New(fault.Denied, "sign in anew first: this changes what you sign in with")
		}
		u = add.User.ID
	}
	flow, err = s.begin(ctx, model.FlowOIDC, u, data, oidc.Life)
	return to, flow, err
}

// FinishOIDC takes what a browser came back with from a provider. who is who is signed in in it, nil: nobody.
func (s *Service) FinishOIDC(ctx context.Context, c Client, flow string, said url.Values, who *Who) (out Outcome, err error) {
	var f *model.Flow
	if _, err := s.Store.Tx(ctx, "sign-in", func(tx *store.Tx) (err error) {
		f, err = tx.TakeFlow(ctx, tokenHash(flow), model.FlowOIDC, s.Now())
		return err
	}); err != nil {
		return out, over(err, ErrOver)
	}
	var a away
	if err := json.Unmarshal(f.Data, &a); err != nil {
		return out, err
	}
	p, err := s.provider(ctx, a.Provider)
	if err != nil {
		return out, over(err, ErrOver)
	}
	cfg, err := s.config(p)
	if err != nil {
		return out, err
	}
	id, err := s.OIDC.Finish(ctx, cfg, a.Flow, said)
	if err != nil {
		s.attempt(ctx, "oidc", model.UserID{}, c, err)
		return out, err
	}
	mine := model.Identity{Provider: p.ID, Issuer: id.Issuer, Subject: id.Subject, Used: s.Now()}
	if !f.User.IsZero() {
		if who == nil || who.User.ID != f.User {
			return out, ErrOver
		}
		out.Next = "/account"
		return out, s.doing(ctx, who, c, "identity.add", func(tx *store.Tx) error {
			if err := s.belongs(ctx, tx, p, who.User); err != nil {
				return err
			}
			return tx.CreateIdentity(ctx, who.User.ID, mine)
		})
	}
	var u model.UserID
	_, err = s.Store.Tx(ctx, "sign-in", func(tx *store.Tx) error {
		out = Outcome{}
		if u, err = s.known(ctx, tx, p, id, mine); err != nil {
			return err
		}
		return s.newSession(ctx, tx, c, u, append([]string{amrProvider}, providerAMR(id.Claims)...), secondFactor(id.Claims, s.Now()), &out)
	})
	s.attempt(ctx, "oidc", u, c, err)
	if err != nil {
		return Outcome{}, err
	}
	out.Next = a.Next
	return out, nil
}

// known returns the user of an identity, or makes one where the provider may.
func (s *Service) known(ctx context.Context, tx *store.Tx, p *model.IdentityProvider, id oidc.Identity, mine model.Identity) (model.UserID, error) {
	uid, err := tx.UseIdentity(ctx, p.ID, id.Issuer, id.Subject, s.Now())
	if err == nil {
		u, err := tx.GetUser(ctx, uid)
		if err != nil {
			return uid, err
		}
		// The provider's own rules may have left him no member: nobody else's then.
		if err := s.belongs(ctx, tx, p, u); err != nil && !(err == ErrOutside && s.nobodys(ctx, tx, u)) {
			return uid, err
		}
		return uid, s.restate(ctx, tx, p, id.Claims, uid)
	}
	if fault.Of(err) != fault.NotFound {
		return uid, err
	}
	if !p.Provision {
		return uid, ErrUnknown
	}
	return s.provision(ctx, tx, p, id, mine)
}

// belongs makes sure that an organization's provider speaks of people of this organization alone: whoever runs it
// could else be anybody.
func (s *Service) belongs(ctx context.Context, tx *store.Tx, p *model.IdentityProvider, u *model.User) error {
	if p.Org.IsZero() {
		return nil
	}
	all, err := tx.ListMembershipsOfUser(ctx, u.ID)
	if err != nil {
		return err
	}
	if !u.ClusterRole.IsZero() || len(all) != 1 || all[0].Org != p.Org {
		return ErrOutside
	}
	return nil
}

// nobodys reports whether a user has no role anywhere.
func (s *Service) nobodys(ctx context.Context, tx *store.Tx, u *model.User) bool {
	all, err := tx.ListMembershipsOfUser(ctx, u.ID)
	return err == nil && len(all) == 0 && u.ClusterRole.IsZero()
}

// provision makes a user of somebody whom a provider vouches for, with the roles that its rules give.
func (s *Service) provision(ctx context.Context, tx *store.Tx, p *model.IdentityProvider, id oidc.Identity, mine model.Identity) (uid model.UserID, err error) {
	email, err := model.CanonicalEmail(id.Email)
	if err != nil {
		return uid, ErrNoMail
	}
	if _, err := tx.GetUserByEmail(ctx, email); err == nil {
		return uid, ErrTaken
	} else if fault.Of(err) != fault.NotFound {
		return uid, err
	}
	u := &model.User{ID: model.UserID{}.New(), Email: email, Name: id.Name}
	if u.Validate() != nil {
		u.Name = ""
	}
	members := given(p, id.Claims, u)
	if len(members) == 0 && u.ClusterRole.IsZero() {
		return uid, ErrNoRole
	}
	if err := tx.CreateUser(ctx, u); err != nil {
		return uid, err
	}
	for _, m := range members {
		if err := tx.CreateMembership(ctx, m); err != nil {
			return uid, err
		}
	}
	for _, v := range claims(p, id.Claims, u.ID) {
		if err := tx.Claim(ctx, u.ID, p.ID, v); err != nil {
			return uid, err
		}
	}
	return u.ID, tx.CreateIdentity(ctx, u.ID, mine)
}

// given is what a provider's rules give a user. Those of an organization's provider give nothing elsewhere.
func given(p *model.IdentityProvider, claims map[string]any, u *model.User) (out []*model.Membership) {
	for _, r := range p.Rules {
		if len(oidc.Matching([]oidc.Rule{{Claim: r.Claim, Value: r.Value}}, claims)) == 0 || !p.Org.IsZero() && r.Org != p.Org {
			continue
		}
		if r.Org.IsZero() {
			if u.ClusterRole.IsZero() {
				u.ClusterRole = r.Role
			}
			continue
		}
		i := slices.IndexFunc(out, func(m *model.Membership) bool { return m.Org == r.Org })
		if i < 0 {
			out = append(out, &model.Membership{Org: r.Org, User: u.ID, Email: u.Email})
			i = len(out) - 1
		}
		if !slices.Contains(out[i].Roles, r.Role) {
			out[i].Roles = append(out[i].Roles, r.Role)
		}
	}
	return out
}

// providerAMR is how the provider says that it has looked at somebody.
func providerAMR(claims map[string]any) (out []string) {
	list, _ := claims["amr"].([]any)
	for _, v := range list {
		if s, ok := v.(string); ok && s != "" && len(s) <= 32 && len(out) < 8 && model.CheckTitle("amr", s) == nil {
			out = append(out, s)
		}
	}
	return out
}

// secondFactor is when somebody has shown one at a provider that says so (RFC 8176).
func secondFactor(claims map[string]any, now time.Time) time.Time {
	if slices.Contains(providerAMR(claims), "mfa") {
		return now
	}
	return noTime
}

// RemoveIdentity removes who a user is at a provider, which is meant by its id or name, unless he could not sign in any more then.
func (s *Service) RemoveIdentity(ctx context.Context, w *Who, c Client, text, ref string) error {
	if err := s.himself(ctx, w, c, text); err != nil {
		return err
	}
	return s.doing(ctx, w, c, "identity.remove", func(tx *store.Tx) error {
		hash, err := tx.PasswordHash(ctx, w.User.ID)
		if err != nil {
			return err
		}
		keys, err := tx.ListPasskeys(ctx, w.User.ID)
		if err != nil {
			return err
		}
		all, err := tx.ListIdentities(ctx, w.User.ID)
		if err != nil {
			return err
		}
		provider, err := meant(all, ref)
		if err != nil {
			return err
		}
		if hash == "" && len(keys) == 0 && len(all) <= 1 {
			return fault.New(fault.Conflict, "there is nothing else that you sign in with: add a passkey first")
		}
		return tx.DeleteIdentity(ctx, w.User.ID, provider)
	})
}

// meant finds the provider that an id or a name means. Providers of several organizations may have the same name.
func meant(all []model.Identity, ref string) (found model.IdentityProviderID, err error) {
	for _, i := range all {
		switch {
		case i.Provider.String() == ref:
			return i.Provider, nil
		case i.Name == ref && !found.IsZero():
			return found, fault.New(fault.Conflict, "several providers are named %s: say which one by its id", ref)
		case i.Name == ref:
			found = i.Provider
		}
	}
	if found.IsZero() {
		return found, fault.New(fault.NotFound, "no such provider")
	}
	return found, nil
}

package store

import (
	"context"
	"encoding/json"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateIdentityProvider adds a row; its ID is the caller's to make.
func (t *Tx) CreateIdentityProvider(ctx context.Context, v *model.IdentityProvider) error {
	rules, err := rulesJSON(v.Rules)
	if err != nil {
		return err
	}
	return classify(t.q.InsertIdentityProvider(ctx, db.InsertIdentityProviderParams{
		ID: v.ID.UUID, OrgID: nullID(v.Org.UUID), Name: v.Name, Title: v.Title, Issuer: v.Issuer, ClientID: v.ClientID, SealedClientSecret: v.SealedClientSecret,
		Scopes: notNil(v.Scopes), Rules: rules, Provision: v.Provision,
	}), "create identity provider")
}

// UpdateIdentityProvider writes a row and reports whether anything but the time of the update was different.
func (t *Tx) UpdateIdentityProvider(ctx context.Context, v *model.IdentityProvider) (changed bool, err error) {
	old, err := t.GetIdentityProvider(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta = old.Meta
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	rules, err := rulesJSON(v.Rules)
	if err != nil {
		return false, err
	}
	n, err := t.q.UpdateIdentityProvider(ctx, db.UpdateIdentityProviderParams{
		ID: v.ID.UUID, Name: v.Name, Title: v.Title, Issuer: v.Issuer, ClientID: v.ClientID, SealedClientSecret: v.SealedClientSecret,
		Scopes: notNil(v.Scopes), Rules: rules, Provision: v.Provision,
	})
	return true, affected(n, err, "update identity provider")
}

// DeleteIdentityProvider removes a row; nobody signs in there any more.
func (t *Tx) DeleteIdentityProvider(ctx context.Context, id model.IdentityProviderID) error {
	n, err := t.q.DeleteIdentityProvider(ctx, id.UUID)
	return affected(n, err, "delete identity provider")
}

// GetIdentityProvider returns a row by its ID.
func (t *Tx) GetIdentityProvider(ctx context.Context, id model.IdentityProviderID) (*model.IdentityProvider, error) {
	r, err := t.q.GetIdentityProvider(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "identity provider")
	}
	return identityProvider(r), nil
}

// GetIdentityProviderByName returns a row of an organization, or, if that is zero, of everybody.
func (t *Tx) GetIdentityProviderByName(ctx context.Context, org model.OrgID, name string) (*model.IdentityProvider, error) {
	r, err := t.q.GetIdentityProviderByName(ctx, db.GetIdentityProviderByNameParams{OrgID: nullID(org.UUID), Name: name})
	if err != nil {
		return nil, classify(err, "identity provider")
	}
	return identityProvider(r), nil
}

// ListIdentityProviders returns a page of an organization's rows, or, if that is zero, of everybody's, by name.
func (t *Tx) ListIdentityProviders(ctx context.Context, org model.OrgID, page Page) ([]*model.IdentityProvider, error) {
	rows, err := t.q.ListIdentityProviders(ctx, db.ListIdentityProvidersParams{OrgID: nullID(org.UUID), After: page.After, Most: page.limit()})
	return convert(rows, identityProvider), classify(err, "list identity providers")
}

// rulesJSON writes rules; those that are read back are the same.
func rulesJSON(rules []model.ClaimRule) ([]byte, error) {
	type row struct {
		Claim string    `json:"claim,omitempty"`
		Value string    `json:"value,omitempty"`
		Org   uuid.UUID `json:"org"`
		Role  uuid.UUID `json:"role"`
	}
	out := make([]row, len(rules))
	for i, r := range rules {
		out[i] = row{r.Claim, r.Value, r.Org.UUID, r.Role.UUID}
	}
	return json.Marshal(out)
}

func identityProvider(r db.IdentityProvider) *model.IdentityProvider {
	var rules []struct {
		Claim, Value string
		Org, Role    uuid.UUID
	}
	_ = json.Unmarshal(r.Rules, &rules) // what can't be read gives nobody anything
	out := &model.IdentityProvider{
		ID: model.IdentityProviderID{UUID: r.ID}, Org: model.OrgID{UUID: idOrZero(r.OrgID)}, Name: r.Name, Title: r.Title, Issuer: r.Issuer, ClientID: r.ClientID,
		SealedClientSecret: r.SealedClientSecret, Scopes: orNil(r.Scopes), Provision: r.Provision, Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
	for _, v := range rules {
		out.Rules = append(out.Rules, model.ClaimRule{Claim: v.Claim, Value: v.Value, Org: model.OrgID{UUID: v.Org}, Role: model.RoleID{UUID: v.Role}})
	}
	return out
}

// UseIdentity returns whose identity at a provider this is, and writes that it was used.
func (t *Tx) UseIdentity(ctx context.Context, p model.IdentityProviderID, issuer, subject string, now time.Time) (model.UserID, error) {
	id, err := t.q.UseIdentity(ctx, db.UseIdentityParams{ProviderID: p.UUID, Issuer: issuer, Subject: subject, Now: now})
	return model.UserID{UUID: id}, classify(err, "identity")
}

// Claimed is a role that a provider's rules have given a user; zero Org: in the cluster.
type Claimed struct {
	Org  model.OrgID
	Role model.RoleID
}

// ListClaimed returns what a provider's rules have given a user.
func (t *Tx) ListClaimed(ctx context.Context, u model.UserID, p model.IdentityProviderID) ([]Claimed, error) {
	rows, err := t.q.ListClaimedRoles(ctx, db.ListClaimedRolesParams{UserID: u.UUID, ProviderID: p.UUID})
	out := make([]Claimed, len(rows))
	for i, r := range rows {
		out[i] = Claimed{model.OrgID{UUID: idOrZero(r.OrgID)}, model.RoleID{UUID: r.RoleID}}
	}
	return out, classify(err, "list roles of a provider")
}

// Claim writes down that a provider's rules have given a user a role.
func (t *Tx) Claim(ctx context.Context, u model.UserID, p model.IdentityProviderID, v Claimed) error {
	return classify(t.q.InsertClaimedRole(ctx, db.InsertClaimedRoleParams{UserID: u.UUID, ProviderID: p.UUID, OrgID: nullID(v.Org.UUID), RoleID: v.Role.UUID}), "claim role")
}

// Unclaim forgets that.
func (t *Tx) Unclaim(ctx context.Context, u model.UserID, p model.IdentityProviderID, v Claimed) error {
	return classify(t.q.DeleteClaimedRole(ctx, db.DeleteClaimedRoleParams{UserID: u.UUID, ProviderID: p.UUID, OrgID: nullID(v.Org.UUID), RoleID: v.Role.UUID}), "claim role")
}

// RefuseClaims has the providers at which a user has an account give him roles no more that somebody has taken from him: in an
// organization, or, where that is zero, in the cluster. Without a role they give him none there.
func (t *Tx) RefuseClaims(ctx context.Context, u model.UserID, org model.OrgID, roles ...model.RoleID) error {
	ids := make([]*uuid.UUID, max(len(roles), 1))
	for i, r := range roles {
		ids[i] = nullID(r.UUID)
	}
	_, err := t.tx.Exec(ctx, "SELECT refuse_claims($1, $2, $3)", u.UUID, nullID(org.UUID), ids) // sqlc knows no arrays with nulls
	return classify(err, "refuse roles of providers")
}

// AcceptClaims lets providers give roles again, because somebody has given them.
func (t *Tx) AcceptClaims(ctx context.Context, u model.UserID, org model.OrgID, roles ...model.RoleID) error {
	ids := make([]uuid.UUID, len(roles))
	for i, r := range roles {
		ids[i] = r.UUID
	}
	return classify(t.q.AcceptClaims(ctx, db.AcceptClaimsParams{UserID: u.UUID, OrgID: nullID(org.UUID), RoleIds: ids}), "accept roles of providers")
}

// ListRefused returns what a provider is not to give a user; zero Role: any in Org.
func (t *Tx) ListRefused(ctx context.Context, u model.UserID, p model.IdentityProviderID) ([]Claimed, error) {
	rows, err := t.q.ListRefusedClaims(ctx, db.ListRefusedClaimsParams{UserID: u.UUID, ProviderID: p.UUID})
	out := make([]Claimed, len(rows))
	for i, r := range rows {
		out[i] = Claimed{model.OrgID{UUID: idOrZero(r.OrgID)}, model.RoleID{UUID: idOrZero(r.RoleID)}}
	}
	return out, classify(err, "list refused roles of a provider")
}

// ForgetRefused lets a provider give again what it is not to give.
func (t *Tx) ForgetRefused(ctx context.Context, u model.UserID, p model.IdentityProviderID, v Claimed) error {
	return classify(t.q.DeleteRefusedClaim(ctx, db.DeleteRefusedClaimParams{UserID: u.UUID, ProviderID: p.UUID, OrgID: nullID(v.Org.UUID), RoleID: nullID(v.Role.UUID)}), "forget refused role")
}

// CreateIdentity says whose identity at a provider something is. It is one user's for good.
func (t *Tx) CreateIdentity(ctx context.Context, u model.UserID, v model.Identity) error {
	return classify(t.q.InsertIdentity(ctx, db.InsertIdentityParams{ProviderID: v.Provider.UUID, Issuer: v.Issuer, Subject: v.Subject, UserID: u.UUID, UsedAt: v.Used}), "create identity")
}

// ListIdentities returns a user's, by provider.
func (t *Tx) ListIdentities(ctx context.Context, u model.UserID) ([]model.Identity, error) {
	rows, err := t.q.ListIdentities(ctx, u.UUID)
	out := make([]model.Identity, len(rows))
	for i, r := range rows {
		out[i] = model.Identity{Provider: model.IdentityProviderID{UUID: r.ProviderID}, Name: r.Name, Title: r.Title, Issuer: r.Issuer, Subject: r.Subject, Used: r.UsedAt}
	}
	return out, classify(err, "list identities")
}

// DeleteIdentity removes who a user is at a provider.
func (t *Tx) DeleteIdentity(ctx context.Context, u model.UserID, p model.IdentityProviderID) error {
	n, err := t.q.DeleteIdentity(ctx, db.DeleteIdentityParams{UserID: u.UUID, ProviderID: p.UUID})
	return affected(n, err, "delete identity")
}

// CreateInvitation adds a row; its ID is the caller's to make. What was sent to the same address before is void.
func (t *Tx) CreateInvitation(ctx context.Context, v *model.Invitation) error {
	if err := t.q.DeleteInvitationOf(ctx, db.DeleteInvitationOfParams{OrgID: v.Org.UUID, Email: v.Email}); err != nil {
		return classify(err, "delete invitation")
	}
	err := t.q.InsertInvitation(ctx, db.InsertInvitationParams{ID: v.ID.UUID, OrgID: v.Org.UUID, Email: v.Email, Hash: v.Hash, InvitedBy: v.By, ExpiresAt: v.Expires})
	if err != nil {
		return classify(err, "create invitation")
	}
	roles := make([]uuid.UUID, len(v.Roles))
	for i, r := range v.Roles {
		roles[i] = r.UUID
	}
	return classify(t.q.InsertInvitationRoles(ctx, db.InsertInvitationRolesParams{InvitationID: v.ID.UUID, RoleIds: roles}), "create invitation")
}

// GetInvitation returns a row by its ID.
func (t *Tx) GetInvitation(ctx context.Context, id model.InvitationID) (*model.Invitation, error) {
	r, err := t.q.GetInvitation(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "invitation")
	}
	return invitation(db.ListInvitationsRow(r)), nil
}

// GetInvitationByHash returns a row by the SHA-256 of its token, if it is not over.
func (t *Tx) GetInvitationByHash(ctx context.Context, hash []byte, now time.Time) (*model.Invitation, error) {
	r, err := t.q.GetInvitationByHash(ctx, db.GetInvitationByHashParams{Hash: hash, Now: now})
	if err != nil {
		return nil, classify(err, "invitation")
	}
	return invitation(db.ListInvitationsRow(r)), nil
}

// ListInvitations returns a page of an organization's rows, those that are over as well, by address.
func (t *Tx) ListInvitations(ctx context.Context, org model.OrgID, page Page) ([]*model.Invitation, error) {
	rows, err := t.q.ListInvitations(ctx, db.ListInvitationsParams{OrgID: org.UUID, After: page.After, Most: page.limit()})
	return convert(rows, invitation), classify(err, "list invitations")
}

// DeleteInvitation removes a row: of two who accept it at once, one does.
func (t *Tx) DeleteInvitation(ctx context.Context, id model.InvitationID) error {
	n, err := t.q.DeleteInvitation(ctx, id.UUID)
	return affected(n, err, "delete invitation")
}

func invitation(r db.ListInvitationsRow) *model.Invitation {
	out := &model.Invitation{
		ID: model.InvitationID{UUID: r.ID}, Org: model.OrgID{UUID: r.OrgID}, Email: r.Email, Hash: r.Hash, By: r.InvitedBy, Expires: r.ExpiresAt,
		Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
	for _, id := range r.Roles {
		out.Roles = append(out.Roles, model.RoleID{UUID: id})
	}
	return out
}

// GetSecurity returns what an organization wants of sessions; the zero value if it wants nothing.
func (t *Tx) GetSecurity(ctx context.Context, org model.OrgID) (model.Security, error) {
	r, err := t.q.GetOrganizationSecurity(ctx, org.UUID)
	if err = classify(err, "security"); fault.Of(err) == fault.NotFound {
		return model.Security{Org: org}, nil
	}
	return model.Security{Org: org, RequireSecondFactor: r.RequireSecondFactor, MaxSession: time.Duration(r.MaxSessionSeconds) * time.Second}, err
}

// SetSecurity writes what an organization wants of sessions.
func (t *Tx) SetSecurity(ctx context.Context, v model.Security) error {
	return classify(t.q.PutOrganizationSecurity(ctx, db.PutOrganizationSecurityParams{
		OrgID: v.Org.UUID, RequireSecondFactor: v.RequireSecondFactor, MaxSessionSeconds: int32(v.MaxSession / time.Second),
	}), "write security")
}

// SecurityOfUser returns what the organizations want that a user is a member of, of those that want anything.
func (t *Tx) SecurityOfUser(ctx context.Context, u model.UserID) ([]model.Security, error) {
	rows, err := t.q.ListSecurityOfUser(ctx, u.UUID)
	out := make([]model.Security, len(rows))
	for i, r := range rows {
		out[i] = model.Security{Org: model.OrgID{UUID: r.OrgID}, RequireSecondFactor: r.RequireSecondFactor, MaxSession: time.Duration(r.MaxSessionSeconds) * time.Second}
	}
	return out, classify(err, "security")
}

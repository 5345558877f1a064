package store

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
	"github.com/warrenedge/warren/shared/policy"
)

// policyRow is a policy as its column has it. Fields are only added; one that is not known makes the policy unreadable: a
// condition that was passed over would let others in.
type policyRow struct {
	Rules             []policy.Rule   `json:"rules,omitempty"`
	Otherwise         policy.Action   `json:"otherwise"`
	SignIn            *signInRow      `json:"sign_in,omitempty"`
	Mail              []string        `json:"mail_code,omitempty"`
	PINHash           string          `json:"pin_hash,omitempty"`
	PasswordHash      string          `json:"password_hash,omitempty"`
	Basic             []basicRow      `json:"basic,omitempty"`
	ClientCertificate *certificateRow `json:"client_certificate,omitempty"`
}

type signInRow struct {
	Members bool     `json:"members,omitempty"`
	Users   []string `json:"users,omitempty"`
	Roles   []string `json:"roles,omitempty"`
	Groups  []string `json:"groups,omitempty"`
}

type basicRow struct {
	User         string `json:"user"`
	PasswordHash string `json:"password_hash"`
}

type certificateRow struct {
	AuthoritiesPEM string   `json:"authorities_pem"`
	Names          []string `json:"names,omitempty"`
}

func policyDocument(v *model.Policy) ([]byte, error) {
	r := policyRow{Rules: v.Rules, Otherwise: v.Otherwise, Mail: v.Mail, PINHash: v.PINHash, PasswordHash: v.PasswordHash}
	if !v.SignIn.IsZero() {
		s := signInRow(v.SignIn)
		r.SignIn = &s
	}
	for _, b := range v.Basic {
		r.Basic = append(r.Basic, basicRow(b))
	}
	if v.ClientCertificate.AuthoritiesPEM != "" {
		c := certificateRow(v.ClientCertificate)
		r.ClientCertificate = &c
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Internal, Msg: "policy", Err: err}
	}
	return b, nil
}

// CreatePolicy adds a row; its ID is the caller's to make.
func (t *Tx) CreatePolicy(ctx context.Context, v *model.Policy) error {
	doc, err := policyDocument(v)
	if err != nil {
		return err
	}
	return classify(t.q.InsertPolicy(ctx, db.InsertPolicyParams{ID: v.ID.UUID, OrgID: v.Org.UUID, Name: v.Name, Document: doc}), "create policy")
}

// UpdatePolicy writes a row, without what is beside it, and reports whether anything but the time of the update was
// different.
func (t *Tx) UpdatePolicy(ctx context.Context, v *model.Policy) (changed bool, err error) {
	old, err := t.GetPolicy(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta, same.ShareLinks, same.ServiceTokens = old.Meta, old.ShareLinks, old.ServiceTokens
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	doc, err := policyDocument(v)
	if err != nil {
		return false, err
	}
	n, err := t.q.UpdatePolicy(ctx, db.UpdatePolicyParams{ID: v.ID.UUID, Name: v.Name, Document: doc})
	return true, affected(n, err, "update policy")
}

// DeletePolicy removes a row with its links and tokens; one that services name is a conflict.
func (t *Tx) DeletePolicy(ctx context.Context, id model.PolicyID) error {
	n, err := t.q.DeletePolicy(ctx, id.UUID)
	return affected(n, err, "delete policy")
}

// LockPolicy lets nobody else change a policy, or what is beside it, until the transaction ends.
func (t *Tx) LockPolicy(ctx context.Context, id model.PolicyID) error {
	return classify(t.q.LockPolicy(ctx, id.UUID), "policy")
}

// GetPolicy returns a policy by its ID.
func (t *Tx) GetPolicy(ctx context.Context, id model.PolicyID) (*model.Policy, error) {
	rows, err := t.getPolicies(ctx, []uuid.UUID{id.UUID})
	if err != nil {
		return nil, classify(err, "policy")
	}
	if len(rows) == 0 {
		return nil, missing("policy")
	}
	return rows[0], nil
}

// GetPolicyByName returns a policy by its name in an organization.
func (t *Tx) GetPolicyByName(ctx context.Context, org model.OrgID, name string) (*model.Policy, error) {
	r, err := t.q.GetPolicyByName(ctx, db.GetPolicyByNameParams{OrgID: org.UUID, Name: name})
	if err != nil {
		return nil, classify(err, "policy")
	}
	rows, err := t.withSecrets(ctx, []db.Policy{r})
	if err != nil {
		return nil, classify(err, "policy")
	}
	return rows[0], nil
}

// ListPolicies returns a page of policies ordered by name.
func (t *Tx) ListPolicies(ctx context.Context, org model.OrgID, page Page) ([]*model.Policy, error) {
	rows, err := t.q.ListPolicies(ctx, db.ListPoliciesParams{OrgID: org.UUID, After: page.After, Most: page.limit()})
	if err != nil {
		return nil, classify(err, "list policies")
	}
	out, err := t.withSecrets(ctx, rows)
	return out, classify(err, "list policies")
}

// ListServicesOfPolicy returns the services that name a policy, by name.
func (t *Tx) ListServicesOfPolicy(ctx context.Context, id model.PolicyID) ([]*model.Service, error) {
	rows, err := t.q.ListServicesOfPolicy(ctx, id.UUID)
	return convert(rows, service), classify(err, "list services of policy")
}

// CreateShareLink adds a link to a policy; its ID is the caller's to make.
func (t *Tx) CreateShareLink(ctx context.Context, v *model.ShareLink) error {
	return classify(t.q.InsertShareLink(ctx, db.InsertShareLinkParams{
		ID: v.ID.UUID, PolicyID: v.Policy.UUID, Title: v.Title, SecretSha256: v.Hash[:], ExpiresAt: nullTime(v.Expires), MaxUses: int32(v.MaxUses),
	}), "create share link")
}

// DeleteShareLink removes a link of a policy.
func (t *Tx) DeleteShareLink(ctx context.Context, of model.PolicyID, id model.ShareLinkID) error {
	n, err := t.q.DeleteShareLink(ctx, db.DeleteShareLinkParams{ID: id.UUID, PolicyID: of.UUID})
	return affected(n, err, "delete share link")
}

// ShareLinkUses says how often the links of a policy were opened that have a limit.
func (t *Tx) ShareLinkUses(ctx context.Context, of model.PolicyID) (map[model.ShareLinkID]uint32, error) {
	rows, err := t.q.ShareLinkUses(ctx, of.UUID)
	out := make(map[model.ShareLinkID]uint32, len(rows))
	for _, r := range rows {
		out[model.ShareLinkID{UUID: r.ShareLinkID}] = uint32(r.Uses)
	}
	return out, classify(err, "uses of share links")
}

// UseShareLink counts one use of a link that services of a pool know, and reports whether it was within the limit.
func (t *Tx) UseShareLink(ctx context.Context, id model.ShareLinkID, pool model.PoolID) (bool, error) {
	n, err := t.q.UseShareLink(ctx, db.UseShareLinkParams{ID: id.UUID, PoolID: pool.UUID})
	return n > 0, classify(err, "use share link")
}

// CreateServiceToken adds a token to a policy; its ID is the caller's to make.
func (t *Tx) CreateServiceToken(ctx context.Context, v *model.ServiceToken) error {
	return classify(t.q.InsertServiceToken(ctx, db.InsertServiceTokenParams{
		ID: v.ID.UUID, PolicyID: v.Policy.UUID, Name: v.Name, SecretSha256: v.Hash[:], ExpiresAt: nullTime(v.Expires),
	}), "create service token")
}

// DeleteServiceToken removes a token of a policy.
func (t *Tx) DeleteServiceToken(ctx context.Context, of model.PolicyID, id model.ServiceTokenID) error {
	n, err := t.q.DeleteServiceToken(ctx, db.DeleteServiceTokenParams{ID: id.UUID, PolicyID: of.UUID})
	return affected(n, err, "delete service token")
}

// getPolicies reads policies with what is beside them.
func (t *Tx) getPolicies(ctx context.Context, ids []uuid.UUID) ([]*model.Policy, error) {
	rows, err := t.q.GetPolicies(ctx, ids)
	if err != nil {
		return nil, err
	}
	return t.withSecrets(ctx, rows)
}

func (t *Tx) withSecrets(ctx context.Context, rows []db.Policy) ([]*model.Policy, error) {
	ids := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	links, err := t.q.ShareLinksOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	tokens, err := t.q.ServiceTokensOf(ctx, ids)
	return assemble(rows, links, tokens), err
}

func (t *Tx) allPolicies(ctx context.Context) ([]*model.Policy, error) {
	rows, err := t.q.AllPolicies(ctx)
	if err != nil {
		return nil, err
	}
	links, err := t.q.AllShareLinks(ctx)
	if err != nil {
		return nil, err
	}
	tokens, err := t.q.AllServiceTokens(ctx)
	return assemble(rows, links, tokens), err
}

// assemble puts links and tokens, in their order, to their policies.
func assemble(rows []db.Policy, links []db.ShareLink, tokens []db.ServiceToken) []*model.Policy {
	out := convert(rows, policyOf)
	byID := make(map[uuid.UUID]*model.Policy, len(out))
	for _, p := range out {
		byID[p.ID.UUID] = p
	}
	for _, l := range links {
		if p := byID[l.PolicyID]; p != nil {
			p.ShareLinks = append(p.ShareLinks, &model.ShareLink{
				ID: model.ShareLinkID{UUID: l.ID}, Policy: p.ID, Title: l.Title, Hash: [32]byte(l.SecretSha256), Expires: timeOrZero(l.ExpiresAt).UTC(),
				MaxUses: uint32(l.MaxUses), Meta: model.Meta{Created: l.CreatedAt, Updated: l.UpdatedAt},
			})
		}
	}
	for _, k := range tokens {
		if p := byID[k.PolicyID]; p != nil {
			p.ServiceTokens = append(p.ServiceTokens, &model.ServiceToken{
				ID: model.ServiceTokenID{UUID: k.ID}, Policy: p.ID, Name: k.Name, Hash: [32]byte(k.SecretSha256), Expires: timeOrZero(k.ExpiresAt).UTC(),
				Meta: model.Meta{Created: k.CreatedAt, Updated: k.UpdatedAt},
			})
		}
	}
	return out
}

// policyOf reads a row. What was written by hand and can't be read admits nobody; it must not stop the feed.
func policyOf(r db.Policy) *model.Policy {
	v := &model.Policy{
		ID: model.PolicyID{UUID: r.ID}, Org: model.OrgID{UUID: r.OrgID}, Name: r.Name,
		Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
	var doc policyRow
	d := json.NewDecoder(bytes.NewReader(r.Document))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		v.Broken = "document: " + err.Error()
		return v
	}
	v.Rules, v.Otherwise, v.Mail, v.PINHash, v.PasswordHash = doc.Rules, doc.Otherwise, doc.Mail, doc.PINHash, doc.PasswordHash
	if doc.SignIn != nil {
		v.SignIn = policy.SignIn(*doc.SignIn)
	}
	for _, b := range doc.Basic {
		v.Basic = append(v.Basic, policy.Basic(b))
	}
	if doc.ClientCertificate != nil {
		v.ClientCertificate = policy.ClientCertificate(*doc.ClientCertificate)
	}
	return v
}

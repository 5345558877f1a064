package store

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateIssuer adds a row; its ID is the caller's to make.
func (t *Tx) CreateIssuer(ctx context.Context, v *model.Issuer) error {
	return classify(t.q.InsertIssuer(ctx, db.InsertIssuerParams{
		ID: v.ID.UUID, Name: v.Name, DirectoryUrl: v.DirectoryURL, Contacts: notNil(v.Contacts), EabKeyID: v.EABKeyID, SealedEabKey: v.SealedEABKey,
		RootsPem: v.RootsPEM, Rank: int32(v.Rank), Profiles: profilesJSON(v.Profiles), CaaIdentities: notNil(v.CAAIdentities), Limits: limitsJSON(v.Limits), Suspended: v.Suspended,
	}), "create issuer")
}

// UpdateIssuer writes what an operator says of an issuer. Its directory can't change: the account would be
// elsewhere.
func (t *Tx) UpdateIssuer(ctx context.Context, v *model.Issuer) error {
	n, err := t.q.UpdateIssuer(ctx, db.UpdateIssuerParams{
		ID: v.ID.UUID, Name: v.Name, DirectoryUrl: v.DirectoryURL, Contacts: notNil(v.Contacts), EabKeyID: v.EABKeyID, SealedEabKey: v.SealedEABKey,
		RootsPem: v.RootsPEM, Rank: int32(v.Rank), Profiles: profilesJSON(v.Profiles), CaaIdentities: notNil(v.CAAIdentities), Limits: limitsJSON(v.Limits), Suspended: v.Suspended,
	})
	return affected(n, err, "update issuer")
}

// DeleteIssuer removes a row, with what has ended of its certificates and revocations; one that is still needed is a conflict. What is
// told of orders stays. The cluster's own stays.
func (t *Tx) DeleteIssuer(ctx context.Context, id model.IssuerID, now time.Time) error {
	_, e0 := t.q.DeleteEndedCertificates(ctx, db.DeleteEndedCertificatesParams{IssuerID: &id.UUID, Now: now})
	_, e1 := t.q.DeleteEndedRevocations(ctx, db.DeleteEndedRevocationsParams{IssuerID: id.UUID, Now: now})
	_, e2 := t.q.UnpinUnwanted(ctx, &id.UUID)
	if err := cmp.Or(e0, e1, e2); err != nil {
		return classify(err, "delete issuer")
	}
	n, err := t.q.DeleteIssuer(ctx, id.UUID)
	return affected(n, err, "delete issuer")
}

// IssuerUse is what an issuer is still needed for.
type IssuerUse struct {
	Orders       int       // under way
	Certificates int       // that are valid
	ValidUntil   time.Time // the last of them
	Revocations  int       // that it has not confirmed
	Pinned       int       // managed certificates that are ordered from nobody else
	PinnedName   string    // of one of them
}

// IssuerUse says what an issuer is needed for at a moment.
func (t *Tx) IssuerUse(ctx context.Context, id model.IssuerID, now time.Time) (IssuerUse, error) {
	r, err := t.q.IssuerUse(ctx, db.IssuerUseParams{ID: &id.UUID, Now: now})
	return IssuerUse{int(r.Orders), int(r.Certificates), r.ValidUntil, int(r.Revocations), int(r.Pinned), r.PinnedName}, classify(err, "issuer")
}

// GetIssuer returns a row by its ID.
func (t *Tx) GetIssuer(ctx context.Context, id model.IssuerID) (*model.Issuer, error) {
	r, err := t.q.GetIssuer(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "issuer")
	}
	return issuer(r), nil
}

// LockIssuer returns a row and lets nobody else write it until the transaction ends.
func (t *Tx) LockIssuer(ctx context.Context, id model.IssuerID) (*model.Issuer, error) {
	r, err := t.q.LockIssuer(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "issuer")
	}
	return issuer(r), nil
}

// ListIssuers returns all rows, in the order in which they are asked, with what their authorities have limited.
func (t *Tx) ListIssuers(ctx context.Context) ([]*model.Issuer, error) {
	rows, err := t.q.ListIssuers(ctx)
	if err != nil {
		return nil, classify(err, "list issuers")
	}
	limits, err := t.q.ListIssuerLimits(ctx)
	all := convert(rows, issuer)
	for _, l := range limits {
		for _, i := range all {
			if i.ID.UUID != l.IssuerID {
				continue
			}
			if i.Limited == nil {
				i.Limited = map[model.AskedFor]time.Time{}
			}
			i.Limited[model.AskedFor(l.Request)] = l.Until
		}
	}
	return all, classify(err, "list limits of issuers")
}

// HasIssuers reports whether certificates are ordered: there is an issuer besides the cluster's own authority, which is not suspended.
func (t *Tx) HasIssuers(ctx context.Context) (bool, error) {
	ok, err := t.q.HasIssuers(ctx)
	return ok, classify(err, "issuers")
}

// SetAccountKeys writes the sealed keys of the account; pending is that of a rollover which has begun.
func (t *Tx) SetAccountKeys(ctx context.Context, id model.IssuerID, key, pending []byte) error {
	n, err := t.q.SetAccountKeys(ctx, db.SetAccountKeysParams{ID: id.UUID, SealedAccountKey: key, SealedPendingKey: pending})
	return affected(n, err, "update issuer")
}

// SetAccountURL writes where the account is.
func (t *Tx) SetAccountURL(ctx context.Context, id model.IssuerID, url string) error {
	n, err := t.q.SetAccountURL(ctx, db.SetAccountURLParams{ID: id.UUID, AccountUrl: url})
	return affected(n, err, "update issuer")
}

// SetDirectory writes what the authority says of itself.
func (t *Tx) SetDirectory(ctx context.Context, id model.IssuerID, caa []string, now time.Time) error {
	n, err := t.q.SetDirectory(ctx, db.SetDirectoryParams{ID: id.UUID, DirectoryCaa: notNil(caa), At: &now})
	return affected(n, err, "update issuer")
}

// SetIssuerHealth writes until when nothing is asked of the issuer, and why.
func (t *Tx) SetIssuerHealth(ctx context.Context, v *model.Issuer) error {
	n, err := t.q.SetIssuerHealth(ctx, db.SetIssuerHealthParams{
		ID: v.ID.UUID, PausedUntil: nullTime(v.PausedUntil), Failures: int32(v.Failures), FailingSince: nullTime(v.FailingSince), LastProblem: v.LastProblem,
	})
	return affected(n, err, "update issuer")
}

// PauseIssuer lets nothing be asked of an issuer before a time.
func (t *Tx) PauseIssuer(ctx context.Context, id model.IssuerID, until time.Time) error {
	n, err := t.q.PauseIssuer(ctx, db.PauseIssuerParams{ID: id.UUID, Until: until})
	return affected(n, err, "pause issuer")
}

// Heeded is what stands between an issuer and a request at a moment.
type Heeded struct {
	PausedUntil time.Time
	Limited     map[model.AskedFor]time.Time
}

// HeedIssuer says what has been committed of an issuer by now. The request may be for an order that somebody carries: ErrLeaseLost when that is
// somebody else by now. The zero order is none.
func (s *Store) HeedIssuer(ctx context.Context, id model.IssuerID, order model.OrderID, fence int64) (Heeded, error) {
	rows, err := db.New(s.pool).HeedIssuer(ctx, db.HeedIssuerParams{ID: id.UUID, OrderID: order.UUID, Fence: fence})
	switch {
	case err != nil:
		return Heeded{}, classify(err, "issuer")
	case len(rows) == 0:
		return Heeded{}, fault.New(fault.NotFound, "the issuer is gone")
	case !order.IsZero() && !rows[0].Held:
		return Heeded{}, ErrLeaseLost
	}
	out := Heeded{PausedUntil: timeOrZero(rows[0].PausedUntil), Limited: map[model.AskedFor]time.Time{}}
	for _, r := range rows {
		if r.Request != "" {
			out.Limited[model.AskedFor(r.Request)] = r.Until
		}
	}
	return out, nil
}

// LimitIssuer lets no request of a kind be sent to an issuer before a time, and says why.
func (t *Tx) LimitIssuer(ctx context.Context, id model.IssuerID, r model.AskedFor, until time.Time, why string) error {
	v, err := t.LockIssuer(ctx, id)
	if err != nil {
		return err
	}
	if err := t.q.LimitIssuer(ctx, db.LimitIssuerParams{IssuerID: id.UUID, Request: string(r), Until: until}); err != nil {
		return classify(err, "limit issuer")
	}
	v.LastProblem = why
	return t.SetIssuerHealth(ctx, v)
}

// DeletePastLimits forgets limits that are over.
func (t *Tx) DeletePastLimits(ctx context.Context, now time.Time) error {
	return classify(t.q.DeletePastLimits(ctx, now), "delete limits of issuers")
}

// LockBuckets returns the buckets of an account, and lets nobody else write them until the transaction ends.
// Those that are not there are made as given.
func (t *Tx) LockBuckets(ctx context.Context, id model.IssuerID, want []model.Bucket, now time.Time) ([]model.Bucket, error) {
	fill := db.FillBucketsParams{IssuerID: id.UUID, At: now}
	for _, b := range want {
		fill.Kinds, fill.Keys, fill.Tokens = append(fill.Kinds, string(b.Kind)), append(fill.Keys, b.Key), append(fill.Tokens, b.Tokens)
	}
	if err := t.q.FillBuckets(ctx, fill); err != nil {
		return nil, classify(err, "budget")
	}
	rows, err := t.q.LockBuckets(ctx, db.LockBucketsParams{IssuerID: id.UUID, Kinds: fill.Kinds, Keys: fill.Keys})
	if err != nil {
		return nil, classify(err, "budget")
	}
	out := make([]model.Bucket, len(rows))
	for i, r := range rows {
		out[i] = model.Bucket{BucketKey: model.BucketKey{Kind: model.BudgetKind(r.Kind), Key: r.Key}, Tokens: r.Tokens, At: r.UpdatedAt}
	}
	return out, nil
}

// ListBuckets returns the buckets of one kind that something was taken from.
func (t *Tx) ListBuckets(ctx context.Context, id model.IssuerID, kind model.BudgetKind) ([]model.Bucket, error) {
	rows, err := t.q.ListBuckets(ctx, db.ListBucketsParams{IssuerID: id.UUID, Kind: string(kind)})
	var out []model.Bucket
	for _, r := range rows {
		out = append(out, model.Bucket{BucketKey: model.BucketKey{Kind: model.BudgetKind(r.Kind), Key: r.Key}, Tokens: r.Tokens, At: r.UpdatedAt})
	}
	return out, classify(err, "list budgets")
}

// SetBucket writes a bucket that LockBuckets has returned.
func (t *Tx) SetBucket(ctx context.Context, id model.IssuerID, b model.Bucket) error {
	return classify(t.q.SetBucket(ctx, db.SetBucketParams{IssuerID: id.UUID, Kind: string(b.Kind), Key: b.Key, Tokens: b.Tokens, At: b.At}), "update budget")
}

// DeleteFullBuckets forgets buckets that nothing was taken from since a moment.
func (t *Tx) DeleteFullBuckets(ctx context.Context, before time.Time) error {
	_, err := t.q.DeleteFullBuckets(ctx, before)
	return classify(err, "delete budget")
}

func profilesJSON(m map[string]string) []byte {
	if m == nil {
		return []byte("{}")
	}
	b, _ := json.Marshal(m) // strings only: it can't fail
	return b
}

func limitsJSON(l model.IssuerLimits) []byte {
	b, _ := json.Marshal(l)
	return b
}

// issuer reads a row. What somebody wrote by hand into its documents and can't be read counts as empty.
func issuer(r db.Issuer) *model.Issuer {
	v := &model.Issuer{
		ID: model.IssuerID{UUID: r.ID}, Name: r.Name, DirectoryURL: r.DirectoryUrl, Contacts: orNil(r.Contacts), EABKeyID: r.EabKeyID, SealedEABKey: r.SealedEabKey,
		RootsPEM: r.RootsPem, Rank: int(r.Rank), CAAIdentities: orNil(r.CaaIdentities), Suspended: r.Suspended,
		DirectoryCAA: orNil(r.DirectoryCaa), DirectoryRead: timeOrZero(r.DirectoryReadAt),
		AccountURL: r.AccountUrl, SealedAccountKey: r.SealedAccountKey, SealedPendingKey: r.SealedPendingKey,
		RolloverNext: timeOrZero(r.RolloverNextAt), RolloverProblem: r.RolloverProblem, RolledOver: timeOrZero(r.RolledOverAt),
		PausedUntil: timeOrZero(r.PausedUntil), Failures: int(r.Failures), FailingSince: timeOrZero(r.FailingSince), LastProblem: r.LastProblem,
		Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
	if json.Unmarshal(r.Profiles, &v.Profiles) != nil || len(v.Profiles) == 0 {
		v.Profiles = nil
	}
	if json.Unmarshal(r.Limits, &v.Limits) != nil {
		v.Limits = model.IssuerLimits{}
	}
	return v
}

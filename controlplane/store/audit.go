package store

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/warrenedge/warren/controlplane/audit"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// Audit records an action with the transaction: both are there, or neither. Seq, At, Revision and Hash are the
// database's to say. The entries of a transaction are written last, so that others wait for no more than its commit.
func (t *Tx) Audit(e audit.Entry) { t.entries = append(t.entries, e) }

func (t *Tx) writeEntries(ctx context.Context, rev model.Revision) error {
	for _, e := range t.entries {
		org, _ := model.OrgID{}.Parse(e.Organization)
		err := t.q.InsertAuditEntry(ctx, db.InsertAuditEntryParams{
			Actor: e.Actor, ActorName: e.ActorName, Credential: e.Credential, Address: e.Address, Action: e.Action, OrgID: nullID(org.UUID),
			Object: e.Object, ObjectName: e.ObjectName, Result: e.Result, Detail: e.Detail, Revision: int64(rev),
		})
		if err != nil {
			return fmt.Errorf("audit %s: %w", e.Action, err)
		}
	}
	return nil
}

// ListAudit returns entries after a number, at most limit, of an organization or, where that is zero, all.
func (t *Tx) ListAudit(ctx context.Context, org model.OrgID, after uint64, limit int) ([]*audit.Entry, error) {
	rows, err := t.q.ListAuditEntries(ctx, db.ListAuditEntriesParams{After: int64(min(after, math.MaxInt64)), OrgID: nullID(org.UUID), Most: int32(limit)})
	return convert(rows, auditEntry), classify(err, "list audit entries")
}

// RecentAudit returns the last entries of an organization, or of all if it is zero, the newest first.
func (t *Tx) RecentAudit(ctx context.Context, org model.OrgID, limit int) ([]*audit.Entry, error) {
	rows, err := t.q.ListRecentAuditEntries(ctx, db.ListRecentAuditEntriesParams{OrgID: nullID(org.UUID), Most: int32(limit)})
	return convert(rows, auditEntry), classify(err, "list recent audit entries")
}

// SearchAudit returns entries of an organization, or of all if it is zero, that a filter selects, the newest first.
func (t *Tx) SearchAudit(ctx context.Context, org model.OrgID, f audit.Filter, limit int) ([]*audit.Entry, error) {
	before := int64(math.MaxInt64)
	if f.Before > 0 {
		before = int64(min(f.Before, math.MaxInt64))
	}
	rows, err := t.q.SearchAuditEntries(ctx, db.SearchAuditEntriesParams{
		OrgID: nullID(org.UUID), Before: before, Who: f.Who, Action: f.Action, Object: f.Object, Result: f.Result, Since: nullTime(f.Since), Until: nullTime(f.Until), Most: int32(limit),
	})
	return convert(rows, auditEntry), classify(err, "search audit entries")
}

// AuditHead returns the end of the chain.
func (t *Tx) AuditHead(ctx context.Context) (audit.Head, error) {
	r, err := t.q.GetAuditHead(ctx)
	return audit.Head{Seq: uint64(r.Seq), Hash: audit.Hash(r.Hash), At: r.At}, classify(err, "audit head")
}

// CreateAuditAnchor stores a signed head. One that is stored already is left as it is.
func (t *Tx) CreateAuditAnchor(ctx context.Context, a audit.Anchor) error {
	return classify(t.q.InsertAuditAnchor(ctx, db.InsertAuditAnchorParams{Seq: int64(a.Seq), Hash: a.Hash[:], At: a.At, Signature: a.Signature}), "create audit anchor")
}

// ListAuditAnchors returns the signed heads after a number, at most limit; their cluster is the caller's to fill in.
func (t *Tx) ListAuditAnchors(ctx context.Context, after uint64, limit int) ([]*audit.Anchor, error) {
	rows, err := t.q.ListAuditAnchors(ctx, db.ListAuditAnchorsParams{After: int64(min(after, math.MaxInt64)), Most: int32(limit)})
	return convert(rows, func(r db.AuditAnchor) *audit.Anchor {
		return &audit.Anchor{Head: audit.Head{Seq: uint64(r.Seq), Hash: audit.Hash(r.Hash), At: r.At}, Signature: r.Signature}
	}), classify(err, "list audit anchors")
}

// LastAuditAnchor returns the newest signed head; NotFound when there is none.
func (t *Tx) LastAuditAnchor(ctx context.Context) (seq uint64, at time.Time, err error) {
	r, err := t.q.LastAuditAnchor(ctx)
	return uint64(r.Seq), r.At, classify(err, "audit anchor")
}

func auditEntry(r db.AuditLog) *audit.Entry {
	e := &audit.Entry{
		Seq: uint64(r.Seq), At: r.At, Actor: r.Actor, ActorName: r.ActorName, Credential: r.Credential, Address: r.Address, Action: r.Action,
		Object: r.Object, ObjectName: r.ObjectName, Result: r.Result, Detail: r.Detail, Revision: uint64(r.Revision),
	}
	copy(e.Hash[:], r.Hash)
	if r.OrgID != nil {
		e.Organization = model.OrgID{UUID: *r.OrgID}.String()
	}
	return e
}

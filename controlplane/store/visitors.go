package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateVisitor adds a row; its ID is the caller's to make.
func (t *Tx) CreateVisitor(ctx context.Context, v *model.Visitor) error {
	return classify(t.q.InsertVisitor(ctx, db.InsertVisitorParams{
		ID: v.ID.UUID, OrgID: v.Org.UUID, ServiceID: v.Service.UUID, Mail: v.Mail, Address: nullAddr(v.Address), ExpiresAt: v.Expires,
	}), "create visitor")
}

// GetVisitor returns a row by its ID, one whose time is over as well.
func (t *Tx) GetVisitor(ctx context.Context, id model.VisitorID) (*model.Visitor, error) {
	r, err := t.q.GetVisitor(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "visitor")
	}
	return visitor(r), nil
}

// ShareVisitor is GetVisitor of a row that nobody removes until the transaction ends.
func (t *Tx) ShareVisitor(ctx context.Context, id model.VisitorID) (*model.Visitor, error) {
	r, err := t.q.ShareVisitor(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "visitor")
	}
	return visitor(r), nil
}

// ListVisitors returns a page of an organization's rows whose time is not over, by age. A page ends with an ID.
func (t *Tx) ListVisitors(ctx context.Context, org model.OrgID, now time.Time, page Page) ([]*model.Visitor, error) {
	after := uuid.Nil
	if id, err := (model.VisitorID{}).Parse(page.After); err == nil {
		after = id.UUID
	}
	rows, err := t.q.ListVisitors(ctx, db.ListVisitorsParams{OrgID: org.UUID, After: after, Now: now, Most: page.limit()})
	return convert(rows, visitor), classify(err, "list visitors")
}

// EndVisitor removes a row, and takes back what nodes were given for it.
func (t *Tx) EndVisitor(ctx context.Context, id model.VisitorID) error {
	n, err := t.q.DeleteVisitor(ctx, id.UUID)
	if err := affected(n, err, "end visit"); err != nil {
		return err
	}
	return t.Revoke(ctx, id.String(), "")
}

func visitor(r db.Visitor) *model.Visitor {
	return &model.Visitor{
		ID: model.VisitorID{UUID: r.ID}, Org: model.OrgID{UUID: r.OrgID}, Service: model.ServiceID{UUID: r.ServiceID}, Mail: r.Mail, Address: addrOrZero(r.Address),
		Expires: r.ExpiresAt, Meta: model.Meta{Created: r.CreatedAt, Updated: r.CreatedAt},
	}
}

package store

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// EventMark is a place in a list of events, the newest first.
type EventMark struct {
	At time.Time
	ID model.EventID
}

// endless is later than all events.
var endless = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// ListOrganizationEvents returns events of an organization, of some types or, if there are none, all: those before one place and
// after another, unless they are zero; the newest first, at most limit.
func (t *Tx) ListOrganizationEvents(ctx context.Context, org model.OrgID, types []model.EventType, before, after EventMark, limit int) ([]*model.Event, error) {
	if before.At.IsZero() {
		before.At = endless
	}
	rows, err := t.q.ListOrganizationEvents(ctx, db.ListOrganizationEventsParams{
		OrgID: nullID(org.UUID), Types: typeNames(types), BeforeAt: before.At, BeforeID: before.ID.UUID, AfterAt: after.At, AfterID: after.ID.UUID, Most: int32(limit),
	})
	return convert(rows, event), classify(err, "list events")
}

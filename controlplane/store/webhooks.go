package store

import (
	"context"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateWebhook adds a row; its ID is the caller's to make.
func (t *Tx) CreateWebhook(ctx context.Context, v *model.Webhook) error {
	return classify(t.q.InsertWebhook(ctx, db.InsertWebhookParams{
		ID: v.ID.UUID, OrgID: nullID(v.Org.UUID), Name: v.Name, Url: v.URL, Events: typeNames(v.Events), SealedSecret: v.SealedSecret, Enabled: v.Enabled,
	}), "create webhook")
}

// UpdateWebhook writes a row and reports whether anything but the time of the update was different.
func (t *Tx) UpdateWebhook(ctx context.Context, v *model.Webhook) (changed bool, err error) {
	old, err := t.GetWebhook(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta = old.Meta
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	n, err := t.q.UpdateWebhook(ctx, db.UpdateWebhookParams{
		ID: v.ID.UUID, Name: v.Name, Url: v.URL, Events: typeNames(v.Events), SealedSecret: v.SealedSecret, Enabled: v.Enabled,
	})
	return true, affected(n, err, "update webhook")
}

// DisableWebhook stops telling a receiver of events, those that wait for it included.
func (t *Tx) DisableWebhook(ctx context.Context, id model.WebhookID) error {
	if _, err := t.q.DeleteDeliveries(ctx, id.UUID); err != nil {
		return classify(err, "webhook")
	}
	n, err := t.q.DisableWebhook(ctx, id.UUID)
	return affected(n, err, "update webhook")
}

// DeleteWebhook removes a row, and what is remembered of its deliveries.
func (t *Tx) DeleteWebhook(ctx context.Context, id model.WebhookID) error {
	n, err := t.q.DeleteWebhook(ctx, id.UUID)
	return affected(n, err, "delete webhook")
}

// GetWebhook returns a row by its ID.
func (t *Tx) GetWebhook(ctx context.Context, id model.WebhookID) (*model.Webhook, error) {
	r, err := t.q.GetWebhook(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "webhook")
	}
	return webhook(r), nil
}

// GetWebhookByName returns a row of an organization, or of the cluster if that is zero.
func (t *Tx) GetWebhookByName(ctx context.Context, org model.OrgID, name string) (*model.Webhook, error) {
	r, err := t.q.GetWebhookByName(ctx, db.GetWebhookByNameParams{OrgID: nullID(org.UUID), Name: name})
	if err != nil {
		return nil, classify(err, "webhook")
	}
	return webhook(r), nil
}

// ListWebhooks returns a page of the rows of an organization, or of the cluster if that is zero, ordered by name.
func (t *Tx) ListWebhooks(ctx context.Context, org model.OrgID, page Page) ([]*model.Webhook, error) {
	rows, err := t.q.ListWebhooks(ctx, db.ListWebhooksParams{OrgID: nullID(org.UUID), After: page.After, Most: page.limit()})
	return convert(rows, webhook), classify(err, "list webhooks")
}

// CountWebhooks counts the rows of an organization, or of the cluster if that is zero.
func (t *Tx) CountWebhooks(ctx context.Context, org model.OrgID) (int, error) {
	n, err := t.q.CountWebhooks(ctx, nullID(org.UUID))
	return int(n), classify(err, "count webhooks")
}

// RaiseEvent writes what has happened and has it told to all who want to hear of it, as soon as the transaction is
// committed. It reports false if it had been written before.
func (t *Tx) RaiseEvent(ctx context.Context, e *model.Event) (bool, error) {
	made, err := t.insertEvent(ctx, e)
	if err != nil || !made {
		return false, err
	}
	to, err := t.q.AddDeliveries(ctx, db.AddDeliveriesParams{EventID: e.ID.UUID, OrgID: nullID(e.Org.UUID), Type: string(e.Type), Undelivered: model.MaxUndelivered})
	if err != nil {
		return false, classify(err, "create event")
	}
	return true, t.enqueue(ctx, e, to)
}

// RaiseEventFor writes what has happened and has it told to one receiver, whatever that wants to hear of.
func (t *Tx) RaiseEventFor(ctx context.Context, e *model.Event, to model.WebhookID) error {
	if _, err := t.insertEvent(ctx, e); err != nil {
		return err
	}
	if err := t.q.AddDelivery(ctx, db.AddDeliveryParams{WebhookID: to.UUID, EventID: e.ID.UUID}); err != nil {
		return classify(err, "create event")
	}
	return t.enqueue(ctx, e, []uuid.UUID{to.UUID})
}

func (t *Tx) insertEvent(ctx context.Context, e *model.Event) (made bool, err error) {
	n, err := t.q.InsertEvent(ctx, db.InsertEventParams{
		ID: e.ID.UUID, Type: string(e.Type), OrgID: nullID(e.Org.UUID), Object: e.Object, Once: e.Once, Data: e.Data, At: e.At,
	})
	return n > 0, classify(err, "create event")
}

// GetEvent returns what has happened.
func (t *Tx) GetEvent(ctx context.Context, id model.EventID) (*model.Event, error) {
	r, err := t.q.GetEvent(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "event")
	}
	return event(r), nil
}

// ListEvents returns what has happened of a type, the oldest first.
func (t *Tx) ListEvents(ctx context.Context, typ model.EventType) ([]*model.Event, error) {
	rows, err := t.q.ListEvents(ctx, string(typ))
	return convert(rows, event), classify(err, "list events")
}

func event(r db.Event) *model.Event {
	return &model.Event{
		ID: model.EventID{UUID: r.ID}, Type: model.EventType(r.Type), Org: model.OrgID{UUID: idOrZero(r.OrgID)}, Object: r.Object, Once: r.Once, Data: r.Data, At: r.At,
	}
}

// PruneEvents forgets what happened before a moment, and whom it was told.
func (t *Tx) PruneEvents(ctx context.Context, before time.Time) error {
	_, err := t.q.PruneEvents(ctx, before)
	return classify(err, "delete event")
}

// Undelivered reports whether a receiver is still to be told of an event.
func (t *Tx) Undelivered(ctx context.Context, w model.WebhookID, e model.EventID) (bool, error) {
	ok, err := t.q.HasDelivery(ctx, db.HasDeliveryParams{WebhookID: w.UUID, EventID: e.UUID})
	return ok, classify(err, "delivery")
}

// AddWebhookAttempt writes what came of an attempt, the last one if over, and forgets the oldest.
func (t *Tx) AddWebhookAttempt(ctx context.Context, a *model.WebhookAttempt, over bool) error {
	err := t.q.AddAttempt(ctx, db.AddAttemptParams{
		WebhookID: a.Webhook.UUID, EventID: a.Event.UUID, Number: int32(a.Number), At: a.At, TookMs: a.Took.Milliseconds(),
		Status: int32(a.Status), Problem: a.Problem, Answer: a.Answer,
	})
	if err != nil {
		return classify(err, "create delivery")
	}
	if over {
		if _, err := t.q.DeleteDelivery(ctx, db.DeleteDeliveryParams{WebhookID: a.Webhook.UUID, EventID: a.Event.UUID}); err != nil {
			return classify(err, "delete delivery")
		}
	}
	_, err = t.q.PruneAttempts(ctx, db.PruneAttemptsParams{WebhookID: a.Webhook.UUID, Keep: model.WebhookAttempts})
	return classify(err, "delete delivery")
}

// ListWebhookAttempts returns what came of telling a receiver, the newest first.
func (t *Tx) ListWebhookAttempts(ctx context.Context, id model.WebhookID, most int) ([]*model.WebhookAttempt, error) {
	rows, err := t.q.ListAttempts(ctx, db.ListAttemptsParams{WebhookID: id.UUID, Most: int32(most)})
	return convert(rows, func(r db.ListAttemptsRow) *model.WebhookAttempt {
		return &model.WebhookAttempt{
			Webhook: model.WebhookID{UUID: r.WebhookID}, Event: model.EventID{UUID: r.EventID}, Type: model.EventType(r.Type), Number: int(r.Number), At: r.At,
			Took: time.Duration(r.TookMs) * time.Millisecond, Status: int(r.Status), Problem: r.Problem, Answer: r.Answer,
		}
	}), classify(err, "list deliveries")
}

func typeNames(types []model.EventType) []string {
	out := make([]string, len(types))
	for i, e := range types {
		out[i] = string(e)
	}
	return out
}

func webhook(r db.Webhook) *model.Webhook {
	v := &model.Webhook{
		ID: model.WebhookID{UUID: r.ID}, Org: model.OrgID{UUID: idOrZero(r.OrgID)}, Name: r.Name, URL: r.Url, SealedSecret: r.SealedSecret, Enabled: r.Enabled,
		Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
	for _, e := range r.Events {
		v.Events = append(v.Events, model.EventType(e))
	}
	return v
}

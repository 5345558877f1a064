package store

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// ErrLeaseLost is what a write of an order returns when somebody else carries the order by now, or it is over.
var ErrLeaseLost = fault.New(fault.Conflict, "the lease of the order is lost")

// CreateOrders adds planned orders; their IDs are the caller's to make. It returns those that it has added: for others the
// issuer has an order of the same names under way, or is suspended or gone.
func (t *Tx) CreateOrders(ctx context.Context, all []*model.Order, now time.Time) ([]model.OrderID, error) {
	in := db.InsertOrdersParams{CreatedAt: now}
	for _, v := range slices.SortedFunc(slices.Values(all), byNames) { // so that who adds others of the same names waits, and for nothing that waits for him
		in.Ids, in.OrgIds, in.ManagedIds = append(in.Ids, v.ID.UUID), append(in.OrgIds, v.Org.UUID), append(in.ManagedIds, v.Managed.UUID)
		in.IssuerIds, in.Names, in.KeyTypes = append(in.IssuerIds, v.Issuer.UUID), append(in.Names, strings.Join(v.Names, " ")), append(in.KeyTypes, string(v.KeyType))
		in.Profiles, in.Renewals, in.Replaces = append(in.Profiles, v.Profile), append(in.Renewals, v.Renewal), append(in.Replaces, v.Replaces)
		in.CertificateIds, in.NextAttempts = append(in.CertificateIds, v.Certificate.UUID), append(in.NextAttempts, v.NextAttempt)
	}
	rows, err := t.q.InsertOrders(ctx, in)
	out := make([]model.OrderID, len(rows))
	for i, id := range rows {
		out[i] = model.OrderID{UUID: id}
	}
	return out, classify(err, "create order")
}

func byNames(a, b *model.Order) int {
	return cmp.Or(slices.Compare(a.Names, b.Names), bytes.Compare(a.Issuer.UUID[:], b.Issuer.UUID[:]))
}

// EndPlannedOrders ends the orders that an issuer has not heard of, and says why: their certificates are due at once.
func (t *Tx) EndPlannedOrders(ctx context.Context, id model.IssuerID, why string, now time.Time) error {
	return classify(t.q.EndPlannedOrders(ctx, db.EndPlannedOrdersParams{IssuerID: &id.UUID, Class: model.OrderAbandoned, Problem: why, At: now}), "update orders")
}

// ClaimOrder takes the lease of an order that is due and that nobody carries. NotFound when there is none. What
// the lease allows is over when it has run out for longer than the clocks of replicas may differ in speed: the
// holder keeps it by HoldOrder.
func (s *Store) ClaimOrder(ctx context.Context, holder string, ttl time.Duration, now time.Time) (*model.Order, error) {
	var o *model.Order
	err := s.run(ctx, pgxDefault, As{All: true}, func(t *Tx) error {
		r, err := t.q.ClaimOrder(ctx, db.ClaimOrderParams{Holder: holder, Seconds: ttl.Seconds(), Now: now})
		if err != nil {
			return classify(err, "order")
		}
		o = order(r)
		return nil
	})
	return o, err
}

// HoldOrder makes a lease last for another while; ErrLeaseLost when somebody else has it. It is one statement: whoever is stopped in the
// middle of it locks nobody out.
func (s *Store) HoldOrder(ctx context.Context, id model.OrderID, fence int64, ttl time.Duration) error {
	return held(db.New(s.pool).HoldOrder(ctx, db.HoldOrderParams{ID: id.UUID, Fence: fence, Seconds: ttl.Seconds()}))
}

// WriteOrder writes an order whose lease the caller has, and with release gives the lease back. ErrLeaseLost,
// and nothing is written, when the fencing token is not the newest or the order is over.
func (t *Tx) WriteOrder(ctx context.Context, v *model.Order, release bool) error {
	n, err := t.q.WriteOrder(ctx, db.WriteOrderParams{
		ID: v.ID.UUID, Fence: v.Fence, State: string(v.State), IntentAt: nullTime(v.Intent), Url: v.URL, Csr: v.CSR, SealedKey: v.SealedKey, ChainPem: v.ChainPEM,
		ChallengeRevision: int64(v.ChallengeRevision), PublishRevision: int64(v.PublishRevision), Replaces: v.Replaces, Profile: v.Profile, Attempts: int32(v.Attempts),
		Class: v.Class, Problem: v.Problem, NextAttempt: v.NextAttempt, FinishedAt: nullTime(v.Finished), Release: release || v.State.Final(),
	})
	return held(n, err)
}

// ReleaseOrderURL takes an authority's order from the row that is over with it: whoever writes the URL into another one goes on with it.
func (t *Tx) ReleaseOrderURL(ctx context.Context, url string) error {
	_, err := t.q.ReleaseOrderURL(ctx, url)
	return classify(err, "update order")
}

func held(n int64, err error) error {
	if err != nil {
		return classify(err, "update order")
	}
	if n == 0 {
		return ErrLeaseLost
	}
	return nil
}

// GetOrder returns a row by its ID.
func (t *Tx) GetOrder(ctx context.Context, id model.OrderID) (*model.Order, error) {
	r, err := t.q.GetOrder(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "order")
	}
	return order(r), nil
}

// GetOrderOfCertificate returns the order that a certificate came of, or is to come of. That of a managed certificate's own is there as long as
// it is.
func (t *Tx) GetOrderOfCertificate(ctx context.Context, id model.CertificateID) (*model.Order, error) {
	r, err := t.q.GetOrderOfCertificate(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "order")
	}
	return order(r), nil
}

// ListOrdersOf returns the orders of a managed certificate, the newest first.
func (t *Tx) ListOrdersOf(ctx context.Context, id model.ManagedCertificateID, most int) ([]*model.Order, error) {
	rows, err := t.q.ListOrdersOf(ctx, db.ListOrdersOfParams{ManagedID: id.UUID, Most: int32(most)})
	return convert(rows, order), classify(err, "list orders")
}

// CountOrdersUnderWay says of each issuer how many orders wait to be sent to it.
func (t *Tx) CountOrdersUnderWay(ctx context.Context) (map[model.IssuerID]int, error) {
	rows, err := t.q.CountOrdersUnderWay(ctx)
	out := map[model.IssuerID]int{}
	for _, r := range rows {
		out[model.IssuerID{UUID: idOrZero(r.IssuerID)}] = int(r.Orders)
	}
	return out, classify(err, "count orders")
}

// KnownOrderURLs says which of the URLs belong to an order of ours.
func (t *Tx) KnownOrderURLs(ctx context.Context, urls []string) (map[string]bool, error) {
	rows, err := t.q.KnownOrderURLs(ctx, urls)
	out := map[string]bool{}
	for _, u := range rows {
		out[u] = true
	}
	return out, classify(err, "list orders by URL")
}

// AddOrderEvents writes lines in the timelines of orders.
func (t *Tx) AddOrderEvents(ctx context.Context, all ...model.OrderEvent) error {
	var in db.InsertOrderEventsParams
	for _, e := range all {
		in.OrderIds, in.Ats, in.States = append(in.OrderIds, e.Order.UUID), append(in.Ats, e.At), append(in.States, string(e.State))
		in.Whats, in.Problems = append(in.Whats, e.What), append(in.Problems, e.Problem)
	}
	return classify(t.q.InsertOrderEvents(ctx, in), "create order event")
}

// ListOrderEvents returns the timelines of orders, oldest first.
func (t *Tx) ListOrderEvents(ctx context.Context, ids ...model.OrderID) ([]model.OrderEvent, error) {
	var in []uuid.UUID
	for _, id := range ids {
		in = append(in, id.UUID)
	}
	rows, err := t.q.ListOrderEvents(ctx, in)
	var out []model.OrderEvent
	for _, r := range rows {
		out = append(out, model.OrderEvent{Order: model.OrderID{UUID: r.OrderID}, At: r.At, State: model.OrderState(r.State), What: r.What, Problem: r.Problem})
	}
	return out, classify(err, "list order events")
}

// PruneOrders forgets orders that were over before a moment, but for the newest of each certificate.
func (t *Tx) PruneOrders(ctx context.Context, before time.Time) (int64, error) {
	n, err := t.q.PruneOrders(ctx, &before)
	return n, classify(err, "delete orders")
}

func order(r db.Order) *model.Order {
	return &model.Order{
		ID: model.OrderID{UUID: r.ID}, Org: model.OrgID{UUID: r.OrgID}, Managed: model.ManagedCertificateID{UUID: r.ManagedID}, Issuer: model.IssuerID{UUID: idOrZero(r.IssuerID)},
		Names: r.Names, KeyType: model.KeyType(r.KeyType), Profile: r.Profile, Renewal: r.Renewal, Replaces: r.Replaces, Certificate: model.CertificateID{UUID: r.CertificateID},
		State: model.OrderState(r.State), Intent: timeOrZero(r.IntentAt), URL: r.Url, CSR: r.Csr, SealedKey: r.SealedKey, ChainPEM: r.ChainPem,
		ChallengeRevision: model.Revision(r.ChallengeRevision), PublishRevision: model.Revision(r.PublishRevision), Attempts: int(r.Attempts), Class: r.Class, Problem: r.Problem,
		NextAttempt: r.NextAttempt, LeaseHolder: r.LeaseHolder, LeaseUntil: timeOrZero(r.LeaseUntil), Fence: r.Fence, Finished: timeOrZero(r.FinishedAt),
		Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}

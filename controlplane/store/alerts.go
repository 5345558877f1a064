package store

import (
	"context"
	"reflect"
	"time"

	"github.com/riverqueue/river"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// CreateAlertRule adds a row; its ID is the caller's to make.
func (t *Tx) CreateAlertRule(ctx context.Context, v *model.AlertRule) error {
	return classify(t.q.InsertAlertRule(ctx, db.InsertAlertRuleParams{
		ID: v.ID.UUID, OrgID: nullID(v.Org.UUID), Name: v.Name, Kind: string(v.Kind), Object: v.Object, HoldMs: v.Hold.Milliseconds(), Percent: v.Percent,
		SpanMs: v.Span.Milliseconds(), Mail: notNil(v.Mail), Enabled: v.Enabled, SilencedUntil: nullTime(v.Silenced),
	}), "create alert rule")
}

// UpdateAlertRule writes a row and reports whether anything but the time of the update was different. What was so by the
// rule as it was before is forgotten.
func (t *Tx) UpdateAlertRule(ctx context.Context, v *model.AlertRule) (changed bool, err error) {
	old, err := t.GetAlertRule(ctx, v.ID)
	if err != nil {
		return false, err
	}
	same := *v
	same.Meta = old.Meta
	if reflect.DeepEqual(&same, old) {
		return false, nil
	}
	n, err := t.q.UpdateAlertRule(ctx, db.UpdateAlertRuleParams{
		ID: v.ID.UUID, Name: v.Name, Kind: string(v.Kind), Object: v.Object, HoldMs: v.Hold.Milliseconds(), Percent: v.Percent, SpanMs: v.Span.Milliseconds(),
		Mail: notNil(v.Mail), Enabled: v.Enabled, SilencedUntil: nullTime(v.Silenced),
	})
	if err := affected(n, err, "update alert rule"); err != nil {
		return true, err
	}
	if old.Kind != v.Kind || old.Object != v.Object || !v.Enabled {
		return true, classify(t.q.ForgetAlertsOf(ctx, v.ID.UUID), "update alert rule")
	}
	return true, nil
}

// DeleteAlertRule removes a row, with its alerts and what is remembered of its mail.
func (t *Tx) DeleteAlertRule(ctx context.Context, id model.AlertRuleID) error {
	n, err := t.q.DeleteAlertRule(ctx, id.UUID)
	return affected(n, err, "delete alert rule")
}

// GetAlertRule returns a row by its ID.
func (t *Tx) GetAlertRule(ctx context.Context, id model.AlertRuleID) (*model.AlertRule, error) {
	r, err := t.q.GetAlertRule(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "alert rule")
	}
	return alertRule(r), nil
}

// GetAlertRuleByName returns a row of an organization, or of the cluster if that is zero.
func (t *Tx) GetAlertRuleByName(ctx context.Context, org model.OrgID, name string) (*model.AlertRule, error) {
	r, err := t.q.GetAlertRuleByName(ctx, db.GetAlertRuleByNameParams{OrgID: nullID(org.UUID), Name: name})
	if err != nil {
		return nil, classify(err, "alert rule")
	}
	return alertRule(r), nil
}

// ListAlertRules returns a page of the rows of an organization, or of the cluster if that is zero, ordered by name.
func (t *Tx) ListAlertRules(ctx context.Context, org model.OrgID, page Page) ([]*model.AlertRule, error) {
	rows, err := t.q.ListAlertRules(ctx, db.ListAlertRulesParams{OrgID: nullID(org.UUID), After: page.After, Most: page.limit()})
	return convert(rows, alertRule), classify(err, "list alert rules")
}

// CountAlertRules counts the rows of an organization, or of the cluster if that is zero.
func (t *Tx) CountAlertRules(ctx context.Context, org model.OrgID) (int, error) {
	n, err := t.q.CountAlertRules(ctx, nullID(org.UUID))
	return int(n), classify(err, "count alert rules")
}

// EnabledAlertRules returns all rules that are looked at, of all organizations and of the cluster.
func (t *Tx) EnabledAlertRules(ctx context.Context) ([]*model.AlertRule, error) {
	rows, err := t.q.EnabledAlertRules(ctx)
	return convert(rows, alertRule), classify(err, "list alert rules")
}

// ClaimAlertRound reports whether it is the caller's turn to look at all rules: nobody else's before next. It holds
// with the transaction.
func (t *Tx) ClaimAlertRound(ctx context.Context, now, next time.Time) (bool, error) {
	n, err := t.q.ClaimAlertRound(ctx, db.ClaimAlertRoundParams{Now: now, Next: next})
	return n > 0, classify(err, "alert round")
}

// AllAlerts returns what is so now, by all rules.
func (t *Tx) AllAlerts(ctx context.Context) ([]*model.Alert, error) {
	rows, err := t.q.AllAlerts(ctx)
	return convert(rows, alert), classify(err, "list alerts")
}

// ListAlerts returns the oldest of what is so now in an organization, or in the cluster if that is zero.
func (t *Tx) ListAlerts(ctx context.Context, org model.OrgID, most int) ([]*model.Alert, error) {
	rows, err := t.q.ListAlerts(ctx, db.ListAlertsParams{OrgID: nullID(org.UUID), Most: int32(most)})
	return convert(rows, alert), classify(err, "list alerts")
}

// ListAlertsOf returns what is so now by a rule.
func (t *Tx) ListAlertsOf(ctx context.Context, rule model.AlertRuleID) ([]*model.Alert, error) {
	rows, err := t.q.ListAlertsOf(ctx, rule.UUID)
	return convert(rows, alert), classify(err, "list alerts")
}

// AcknowledgeAlert writes who knows of an alert since when; nobody, if that is zero.
func (t *Tx) AcknowledgeAlert(ctx context.Context, a *model.Alert) error {
	n, err := t.q.AcknowledgeAlert(ctx, db.AcknowledgeAlertParams{RuleID: a.Rule.UUID, Object: a.Object, AckedAt: nullTime(a.Acked), AckedBy: a.AckedBy})
	return affected(n, err, "acknowledge alert")
}

// PutAlert writes what is so now. Who knows of it stays.
func (t *Tx) PutAlert(ctx context.Context, a *model.Alert) error {
	return classify(t.q.PutAlert(ctx, db.PutAlertParams{
		RuleID: a.Rule.UUID, Object: a.Object, OrgID: nullID(a.Org.UUID), Name: a.Name, Since: a.Since, FiredAt: nullTime(a.Fired), ClearSince: nullTime(a.Clear),
		Told: a.Told, Reason: a.Reason,
	}), "write alert")
}

// DeleteAlert removes what is not so any more.
func (t *Tx) DeleteAlert(ctx context.Context, a *model.Alert) error {
	return classify(t.q.DeleteAlert(ctx, db.DeleteAlertParams{RuleID: a.Rule.UUID, Object: a.Object}), "delete alert")
}

// MailQueue is the queue of MailJobs: a mail server that is slow holds up nothing else.
const MailQueue = "alert-mail"

// MailJob is to mail an alert to one address.
type MailJob struct {
	Event   model.EventID `json:"event"`
	Address string        `json:"address"`
}

// Kind names the job.
func (MailJob) Kind() string { return "alert_mail" }

// MailAlert has an event mailed to addresses, as soon as the transaction is committed.
func (t *Tx) MailAlert(ctx context.Context, e *model.Event, rule *model.AlertRule) error {
	var jobs []river.InsertManyParams
	for _, to := range rule.Mail {
		if err := t.q.AddAlertMail(ctx, db.AddAlertMailParams{EventID: e.ID.UUID, Address: to, RuleID: rule.ID.UUID, OrgID: nullID(rule.Org.UUID), At: e.At}); err != nil {
			return classify(err, "create alert mail")
		}
		jobs = append(jobs, river.InsertManyParams{Args: MailJob{e.ID, to}, InsertOpts: &river.InsertOpts{Queue: MailQueue, MaxAttempts: len(model.WebhookRetries) + 1}})
	}
	if len(jobs) == 0 {
		return nil
	}
	return classify(t.behind(ctx, func() error {
		_, err := t.jobs.InsertManyFastTx(ctx, t.tx, jobs)
		return err
	}), "create alert mail")
}

// GetAlertMail returns what came of a message so far.
func (t *Tx) GetAlertMail(ctx context.Context, e model.EventID, address string) (*model.AlertMail, error) {
	r, err := t.q.GetAlertMail(ctx, db.GetAlertMailParams{EventID: e.UUID, Address: address})
	if err != nil {
		return nil, classify(err, "alert mail")
	}
	return alertMail(db.ListAlertMailsRow(r)), nil
}

// NoteAlertMail writes what came of an attempt.
func (t *Tx) NoteAlertMail(ctx context.Context, m *model.AlertMail) error {
	return classify(t.q.NoteAlertMail(ctx, db.NoteAlertMailParams{
		EventID: m.Event.UUID, Address: m.Address, Attempt: int32(m.Attempt), At: m.At, Sent: m.Sent, Problem: m.Problem,
	}), "write alert mail")
}

// ListAlertMails returns the newest messages about alerts of a rule.
func (t *Tx) ListAlertMails(ctx context.Context, rule model.AlertRuleID, most int) ([]*model.AlertMail, error) {
	rows, err := t.q.ListAlertMails(ctx, db.ListAlertMailsParams{RuleID: rule.UUID, Most: int32(most)})
	return convert(rows, alertMail), classify(err, "list alert mail")
}

func alertRule(r db.AlertRule) *model.AlertRule {
	return &model.AlertRule{
		ID: model.AlertRuleID{UUID: r.ID}, Org: model.OrgID{UUID: idOrZero(r.OrgID)}, Name: r.Name, Kind: model.AlertKind(r.Kind), Object: r.Object,
		Hold: time.Duration(r.HoldMs) * time.Millisecond, Percent: r.Percent, Span: time.Duration(r.SpanMs) * time.Millisecond, Mail: orNil(r.Mail),
		Enabled: r.Enabled, Silenced: timeOrZero(r.SilencedUntil), Meta: model.Meta{Created: r.CreatedAt, Updated: r.UpdatedAt},
	}
}

func alert(r db.Alert) *model.Alert {
	return &model.Alert{
		Rule: model.AlertRuleID{UUID: r.RuleID}, Org: model.OrgID{UUID: idOrZero(r.OrgID)}, Object: r.Object, Name: r.Name, Since: r.Since, Fired: timeOrZero(r.FiredAt),
		Clear: timeOrZero(r.ClearSince), Told: r.Told, Reason: r.Reason, Acked: timeOrZero(r.AckedAt), AckedBy: r.AckedBy,
	}
}

func alertMail(r db.ListAlertMailsRow) *model.AlertMail {
	return &model.AlertMail{
		Event: model.EventID{UUID: r.EventID}, Rule: model.AlertRuleID{UUID: r.RuleID}, Org: model.OrgID{UUID: idOrZero(r.OrgID)}, Address: r.Address, Attempt: int(r.Attempt),
		At: r.At, Sent: r.Sent, Problem: r.Problem, Type: model.EventType(r.Type),
	}
}

package admin

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// Alert is that what a rule watches is so of one thing.
type Alert struct {
	Rule   string     `json:"rule"`
	Object string     `json:"object" doc:"By id"`
	Name   string     `json:"name"`
	State  string     `json:"state" enum:"pending,firing,clearing" doc:"pending: not yet for long enough; clearing: it is over, not yet for long enough"`
	Since  time.Time  `json:"since"`
	Fired  *time.Time `json:"fired_at,omitempty"`
	Told   bool       `json:"told" doc:"Whether somebody was told; not while the rule is silenced, nor once somebody has acknowledged it"`
	Reason string     `json:"reason,omitempty"`

	Acknowledged   *time.Time `json:"acknowledged_at,omitempty" doc:"When somebody has said that he knows of it; until it is over"`
	AcknowledgedBy string     `json:"acknowledged_by,omitempty"`
}

// AlertMail is a message about an alert.
type AlertMail struct {
	Event   string          `json:"event"`
	Type    model.EventType `json:"type"`
	Address string          `json:"address"`
	Attempt int             `json:"attempt" doc:"The last one; 0: there was none yet"`
	At      time.Time       `json:"at"`
	OK      bool            `json:"ok"`
	Problem string          `json:"problem,omitempty"`
}

// Alerts lists what is so now, the oldest first.
func (a *Admin) Alerts(ctx context.Context, p access.Principal, org string) (out []Alert, err error) {
	k := a.alertRulesOf(org)
	err = a.read(ctx, p, func(c *call) error {
		out = []Alert{}
		if err := k.begin(c, k.read, org); err != nil {
			return err
		}
		all, err := c.tx.ListAlerts(c, c.org, shownAlerts)
		if err != nil {
			return err
		}
		for _, v := range all {
			rule, err := c.name(v.Rule.String(), func() (string, error) {
				r, err := c.tx.GetAlertRule(c, v.Rule)
				if err != nil {
					return "", err
				}
				return r.Name, nil
			})
			if err != nil {
				return err
			}
			out = append(out, viewAlert(rule, v))
		}
		return nil
	})
	return out, err
}

// AcknowledgeAlerts has the caller know of the alerts of a rule, or of the one about an object, by name or id: they count as
// taken care of until they are over. back takes that back.
func (a *Admin) AcknowledgeAlerts(ctx context.Context, p access.Principal, org, ref, object string, back bool) (out []Alert, err error) {
	k, action := a.alertRulesOf(org), "acknowledge"
	if back {
		action = "unacknowledge"
	}
	_, err = k.do(ctx, p, org, action, func(c *call) error {
		out = []Alert{}
		m, err := k.byRef(c, ref)
		if err != nil {
			return err
		}
		all, err := c.tx.ListAlertsOf(c, m.ID)
		if err != nil {
			return err
		}
		for _, v := range all {
			if object != "" && object != v.Object && object != v.Name {
				continue
			}
			if back || v.Acked.IsZero() { // who was first stays
				v.Acked, v.AckedBy = time.Time{}, ""
				if !back {
					v.Acked, v.AckedBy = time.Now().UTC().Truncate(time.Microsecond), p.Name
				}
				if err := c.tx.AcknowledgeAlert(c, v); err != nil {
					return err
				}
				c.did(m.ID.String(), m.Name+" "+v.Name)
			}
			out = append(out, viewAlert(m.Name, v))
		}
		if len(out) == 0 && object != "" {
			return fault.New(fault.NotFound, "rule %s has no alert about %s", m.Name, object)
		}
		return nil
	})
	return out, err
}

func viewAlert(rule string, v *model.Alert) Alert {
	return Alert{
		Rule: rule, Object: v.Object, Name: v.Name, State: alertState(v), Since: v.Since.UTC(), Fired: when(v.Fired), Told: v.Told, Reason: v.Reason,
		Acknowledged: when(v.Acked), AcknowledgedBy: v.AckedBy,
	}
}

func alertState(v *model.Alert) string {
	switch {
	case v.Fired.IsZero():
		return "pending"
	case v.Clear.IsZero():
		return "firing"
	}
	return "clearing"
}

// AlertMails lists the newest messages about alerts of a rule. What webhooks were told is listed with them.
func (a *Admin) AlertMails(ctx context.Context, p access.Principal, org, ref string) (out []AlertMail, err error) {
	k := a.alertRulesOf(org)
	err = a.read(ctx, p, func(c *call) error {
		out = []AlertMail{}
		if err := k.begin(c, k.read, org); err != nil {
			return err
		}
		m, err := k.byRef(c, ref)
		if err != nil {
			return err
		}
		all, err := c.tx.ListAlertMails(c, m.ID, shownMails)
		for _, v := range all {
			out = append(out, AlertMail{Event: v.Event.String(), Type: v.Type, Address: v.Address, Attempt: v.Attempt, At: v.At.UTC(), OK: v.Sent, Problem: v.Problem})
		}
		return err
	})
	return out, err
}

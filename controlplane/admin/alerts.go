package admin

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// AlertRuleSpec is what is written of an alert rule.
type AlertRuleSpec struct {
	Kind    model.AlertKind `json:"kind" enum:"site_down,service_down,target_unhealthy,certificate_due,error_rate,node_down,node_out_of_sync" doc:"What is watched. Those of nodes are the cluster's, the others an organization's"`
	Object  string          `json:"object,omitempty" maxLength:"255" doc:"The one site, service, target or node that is watched, by name or id; all of them if absent"`
	For     string          `json:"for,omitempty" maxLength:"20" doc:"How long it has to be so before anybody is told, and over, half a minute at least, before that is told; 0s to 24h, 1m if absent"`
	Percent float64         `json:"percent,omitempty" minimum:"0" maximum:"100" doc:"Of error_rate: the share of requests that fail above which it is too much; 5 if absent. Fewer than ten requests mean nothing"`
	Window  string          `json:"window,omitempty" maxLength:"20" doc:"Of error_rate: over how long, 1m to 1h; 5m if absent"`
	Mail    []string        `json:"mail,omitempty" maxItems:"10" doc:"Mail addresses that are told. Webhooks that ask for alert.firing and alert.resolved are told, too"`
	Enabled *bool           `json:"enabled,omitempty" doc:"true if absent"`
}

// AlertRule is about what somebody is told, and whom.
type AlertRule struct {
	Meta
	Organization  string          `json:"organization,omitempty" doc:"Absent of one of the cluster"`
	Kind          model.AlertKind `json:"kind"`
	Object        string          `json:"object,omitempty"`
	For           string          `json:"for"`
	Percent       float64         `json:"percent,omitempty"`
	Window        string          `json:"window,omitempty"`
	Mail          []string        `json:"mail,omitempty"`
	Enabled       bool            `json:"enabled"`
	SilencedUntil *time.Time      `json:"silenced_until,omitempty" readOnly:"true" doc:"Nobody is told until then; see the action silence"`
}

// Defaults of rules.
const (
	defaultHold    = time.Minute
	defaultPercent = 5
	defaultSpan    = 5 * time.Minute
	shownAlerts    = 500
	shownMails     = 50
)

// alertRules are those of organizations, or the cluster's.
func alertRules(a *Admin, inOrg bool) *Collection[model.AlertRule, AlertRuleSpec, AlertRule] {
	k := &Collection[model.AlertRule, AlertRuleSpec, AlertRule]{
		a: a, kind: "alert rule", inOrg: inOrg, apart: true, read: access.ClusterAlertsRead, write: access.ClusterAlertsManage,
		byRef:  alertRuleByRef,
		list:   func(c *call, p store.Page) ([]*model.AlertRule, error) { return c.tx.ListAlertRules(c, c.org, p) },
		after:  func(v *model.AlertRule) string { return v.Name },
		build:  buildAlertRule,
		create: createAlertRule,
		update: func(c *call, v *model.AlertRule) (bool, error) { return c.tx.UpdateAlertRule(c, v) },
		drop:   func(c *call, v *model.AlertRule) error { return c.tx.DeleteAlertRule(c, v.ID) },
		view:   viewAlertRule,
	}
	if inOrg {
		k.read, k.write = access.AlertsRead, access.AlertsManage
	}
	return k
}

func alertRuleByRef(c *call, ref string) (*model.AlertRule, error) {
	id, err := model.AlertRuleID{}.Parse(ref)
	if err != nil {
		return c.tx.GetAlertRuleByName(c, c.org, ref)
	}
	v, err := c.tx.GetAlertRule(c, id)
	if err == nil && v.Org != c.org {
		return nil, notHere("alert rule")
	}
	return v, err
}

func buildAlertRule(c *call, old *model.AlertRule, name string, s AlertRuleSpec) (v *model.AlertRule, err error) {
	v = &model.AlertRule{ID: model.AlertRuleID{}.New(), Org: c.org, Name: name}
	if old != nil {
		*v = *old
	}
	v.Kind, v.Mail, v.Enabled, v.Percent, v.Span = s.Kind, s.Mail, s.Enabled == nil || *s.Enabled, s.Percent, 0
	if len(v.Mail) == 0 {
		v.Mail = nil
	}
	if v.Hold, err = period("for", s.For, defaultHold); err != nil {
		return nil, err
	}
	if s.Window != "" || v.Kind == model.AlertErrorRate {
		if v.Span, err = period("window", s.Window, defaultSpan); err != nil {
			return nil, err
		}
	}
	if v.Kind == model.AlertErrorRate && v.Percent == 0 {
		v.Percent = defaultPercent
	}
	if err := v.Validate(); err != nil {
		return nil, err
	}
	v.Object, err = c.alertObject(v.Kind, s.Object)
	return v, err
}

// period reads a duration of whole milliseconds.
func period(field, text string, otherwise time.Duration) (time.Duration, error) {
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fault.Field(field, "%q, want a duration such as 90s or 5m", text)
	}
	return d.Truncate(time.Millisecond), nil
}

// alertObject finds the one thing that a rule of a kind watches.
func (c *call) alertObject(kind model.AlertKind, ref string) (string, error) {
	if ref == "" {
		return "", nil
	}
	switch kind {
	case model.AlertSiteDown:
		s, err := c.site("object", ref)
		if err != nil {
			return "", err
		}
		return s.ID.String(), nil
	case model.AlertTargetUnhealthy:
		t, err := c.a.Targets.byRef(c, ref)
		if err != nil {
			return "", missing("object", ref, err)
		}
		return t.ID.String(), nil
	case model.AlertNodeDown, model.AlertNodeOutOfSync:
		n, err := nodeByRef(c, ref)
		if err != nil {
			return "", missing("object", ref, err)
		}
		return n.ID.String(), nil
	}
	s, err := c.service("object", ref)
	if err != nil {
		return "", err
	}
	return s.ID.String(), nil
}

// alertObjectName is what alertObject has found, by name; by id once it is gone.
func (c *call) alertObjectName(v *model.AlertRule) string {
	name, err := v.Object, error(nil)
	if id, perr := (model.SiteID{}).Parse(v.Object); perr == nil {
		name, err = c.siteName(id)
	} else if id, perr := (model.NodeID{}).Parse(v.Object); perr == nil {
		name, err = c.nodeName(id)
	} else if id, perr := (model.ServiceID{}).Parse(v.Object); perr == nil {
		name, err = c.name(v.Object, func() (string, error) {
			s, err := c.tx.GetService(c, id)
			if err != nil {
				return "", err
			}
			return s.Name, nil
		})
	} else if id, perr := (model.TargetID{}).Parse(v.Object); perr == nil {
		name, err = c.name(v.Object, func() (string, error) {
			t, err := c.tx.GetTarget(c, id)
			if err != nil {
				return "", err
			}
			return t.Name, nil
		})
	}
	if err != nil {
		return v.Object
	}
	return name
}

func createAlertRule(c *call, v *model.AlertRule) error {
	n, err := c.tx.CountAlertRules(c, v.Org)
	if err != nil {
		return err
	}
	if n >= model.MaxAlertRules {
		return fault.New(fault.Conflict, "there are %d alert rules, no more are allowed", n)
	}
	return c.tx.CreateAlertRule(c, v)
}

func viewAlertRule(c *call, v *model.AlertRule) (out AlertRule, err error) {
	out = AlertRule{
		Meta: meta(v.ID.String(), v.Name, v.Meta), Kind: v.Kind, Object: c.alertObjectName(v), For: v.Hold.String(), Percent: v.Percent, Mail: v.Mail, Enabled: v.Enabled,
	}
	if v.Span > 0 {
		out.Window = v.Span.String()
	}
	if v.Silenced.After(time.Now()) {
		out.SilencedUntil = when(v.Silenced)
	}
	if !v.Org.IsZero() {
		out.Organization, err = c.orgName(v.Org)
	}
	return out, err
}

// alertRulesOf are the rules of an organization, or, without one, of the cluster.
func (a *Admin) alertRulesOf(org string) *Collection[model.AlertRule, AlertRuleSpec, AlertRule] {
	if org == "" {
		return a.ClusterAlertRules
	}
	return a.AlertRules
}

// SilenceAlertRule has nobody told by a rule for a while; 0 ends that.
func (a *Admin) SilenceAlertRule(ctx context.Context, p access.Principal, org, ref, text string) (v AlertRule, err error) {
	k := a.alertRulesOf(org)
	_, err = k.do(ctx, p, org, "silence", func(c *call) error {
		d, err := period("for", text, 0)
		if err != nil {
			return err
		}
		if d < 0 || d > model.MaxSilence {
			return fault.Field("for", "%v, want 0s to %v", d, model.MaxSilence)
		}
		m, err := k.byRef(c, ref)
		if err != nil {
			return err
		}
		m.Silenced = time.Time{}
		if d > 0 {
			m.Silenced = time.Now().Add(d).UTC().Truncate(time.Microsecond)
		}
		if _, err := c.tx.UpdateAlertRule(c, m); err != nil {
			return err
		}
		c.did(m.ID.String(), m.Name)
		v, err = k.shown(c, ref)
		return err
	})
	return v, err
}

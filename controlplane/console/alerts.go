package console

import (
	"strconv"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// alertRules are those of the page: of the organization, or of the cluster.
func (q *Request) alertRules() *admin.Collection[model.AlertRule, admin.AlertRuleSpec, admin.AlertRule] {
	if q.inCluster() {
		return q.Admin.ClusterAlertRules
	}
	return q.Admin.AlertRules
}

func (q *Request) mayAlert() bool { return q.able(access.AlertsManage, access.ClusterAlertsManage) }

var alertRemoval = removal{noun: "alert rule", list: "alerts", title: "Alerts", warning: "Nobody is told of what it watches."}

func ruleName(v admin.AlertRule) string { return v.Name }

func listAlerts(q *Request) (*Page, error) {
	now, err := q.Admin.Alerts(q.Context(), q.Who, q.scope())
	if err != nil {
		return nil, err
	}
	rules, err := part(q, q.alertRules().List)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Alerts", Actions: alertsActions(q), Live: alertsView(q, now, rules)}, nil
}

func (q *Request) alertCrumbs(more ...Crumb) []Crumb {
	return append([]Crumb{{"Alerts", q.here("alerts")}}, more...)
}

// showAlertRule is a rule with what came of telling people.
func showAlertRule(q *Request) (*Page, error) {
	v, err := q.alertRules().Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	mails, err := q.Admin.AlertMails(q.Context(), q.Who, q.scope(), v.ID)
	if err != nil {
		return nil, err
	}
	return &Page{Title: v.Name, Crumbs: q.alertCrumbs(), Actions: alertRuleActions(q, v), Top: silenceView(q, v, Form{}), Live: alertRuleView(q, v, mails)}, nil
}

func silenceAlertRule(q *Request) (*Done, error) {
	v, err := q.Admin.SilenceAlertRule(q.Context(), q.Who, q.scope(), q.PathValue("name"), formOf(q).Get("for"))
	if err != nil {
		return nil, err
	}
	said := "The rule " + v.Name + " tells people again."
	if v.SilencedUntil != nil {
		said = "Nobody is told by " + v.Name + " until " + when(*v.SilencedUntil) + "."
	}
	return &Done{To: q.here("alerts", v.Name), Said: said}, nil
}

// acknowledgeAlert has the caller take care of an alert until it is over, or takes that back.
func acknowledgeAlert(q *Request) (*Done, error) {
	f := formOf(q)
	if f.Get("object") == "" { // all of the rule is more than a button of this page stands for
		return nil, fault.Field("object", "missing")
	}
	back := f.Get("back") == "on"
	list, err := q.Admin.AcknowledgeAlerts(q.Context(), q.Who, q.scope(), q.PathValue("name"), f.Get("object"), back)
	if err != nil {
		return nil, err
	}
	said := "You take care of " + list[0].Name + ": it counts as known until it is over."
	if back {
		said = "Nobody takes care of " + list[0].Name + " now."
	}
	return &Done{To: q.here("alerts"), Said: said}, nil
}

// alertKinds are what a rule can watch here, as people say it.
func (q *Request) alertKinds() []Option {
	words := map[model.AlertKind]string{
		model.AlertSiteDown: "a site is down", model.AlertServiceDown: "a service is down, whichever hop is broken", model.AlertTargetUnhealthy: "a target is unhealthy",
		model.AlertCertificateDue: "a certificate was not renewed in time", model.AlertErrorRate: "too many requests fail", model.AlertNodeDown: "a node is down",
		model.AlertNodeOutOfSync: "a node has not applied what it should",
	}
	var out []Option
	for _, k := range model.AlertKinds(q.inCluster()) {
		out = append(out, Option{string(k), words[k]})
	}
	return out
}

func alertKindText(q *Request, kind model.AlertKind) string {
	for _, o := range q.alertKinds() {
		if o.Value == string(kind) {
			return o.Text
		}
	}
	return string(kind)
}

func newAlertRule(q *Request) (*Page, error) {
	v := q.URL.Query()
	f := filled("name", v.Get("name"), "kind", v.Get("kind"), "object", v.Get("object"), "for", "1m", "percent", "5", "window", "5m", "enabled", "on")
	return q.alertForm("", f, 0)
}

func (q *Request) alertForm(name string, f Form, status int) (*Page, error) {
	p := &Page{Title: "New alert rule", Crumbs: q.alertCrumbs(), Status: status, Top: alertFormView(q, name, f)}
	if name != "" {
		p.Title, p.Crumbs = "Edit "+name, q.alertCrumbs(Crumb{name, q.here("alerts", name)})
	}
	return p, nil
}

func alertSpec(f Form) (s admin.AlertRuleSpec, err error) {
	enabled := f.Get("enabled") == "on"
	s = admin.AlertRuleSpec{Kind: model.AlertKind(f.Get("kind")), Object: f.Get("object"), For: f.Get("for"), Mail: f.lines("mail"), Enabled: &enabled}
	if s.Kind == model.AlertErrorRate {
		s.Window = f.Get("window")
		if text := f.Get("percent"); text != "" {
			if s.Percent, err = strconv.ParseFloat(text, 64); err != nil {
				return s, fault.Field("percent", "%q is no number", text)
			}
		}
	}
	return s, nil
}

func createAlertRule(q *Request) (*Done, error) {
	f := formOf(q)
	spec, err := alertSpec(f)
	if err == nil {
		_, _, err = q.alertRules().Create(q.Context(), q.Who, q.scope(), f.Get("name"), spec)
	}
	return tried(f, err, Done{To: q.here("alerts"), Said: "The rule " + f.Get("name") + " watches from now on."}, func(f Form, status int) (*Page, error) {
		return q.alertForm("", f, status)
	})
}

func editAlertRule(q *Request) (*Page, error) {
	v, err := q.alertRules().Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	f := filled("kind", string(v.Kind), "object", v.Object, "for", brief(v.For), "window", brief(v.Window), "mail", strings.Join(v.Mail, "\n"))
	if v.Percent > 0 {
		f.Set("percent", strconv.FormatFloat(v.Percent, 'g', -1, 64))
	}
	if v.Enabled {
		f.Set("enabled", "on")
	}
	return q.keeping(v.ManagedBy)(q.alertForm(v.Name, f, 0))
}

func changeAlertRule(q *Request) (*Done, error) {
	f, ref := formOf(q), q.PathValue("name")
	old, err := q.alertRules().Get(q.Context(), q.Who, q.scope(), ref)
	if err != nil {
		return nil, err
	}
	spec, err := alertSpec(f)
	if err == nil {
		_, _, _, err = q.alertRules().Put(q.Context(), q.Who, q.scope(), old.ID, spec)
	}
	return tried(f, err, Done{To: q.here("alerts", old.Name), Said: "The rule " + old.Name + " is changed."}, func(f Form, status int) (*Page, error) {
		return q.alertForm(old.Name, f, status)
	})
}

// silences are for how long one can have nobody told.
var silences = []Option{{"1h", "an hour"}, {"8h", "8 hours"}, {"24h", "a day"}, {"168h", "a week"}}

func alertBadge(v admin.Alert) Badge {
	switch v.State {
	case "firing":
		return Badge{bad, "firing", "It is so"}
	case "clearing":
		return Badge{warn, "clearing", "It is over, not yet for long enough"}
	}
	return Badge{idle, "pending", "Not yet for long enough"}
}

// alertObject is the page of what an alert is about, "" if there is none that the caller may see.
func (q *Request) alertObject(v admin.Alert) string {
	if id, err := (model.SiteID{}).Parse(v.Object); err == nil && q.m.Site(id) != nil {
		return q.toSite(q.m.Site(id))
	}
	if id, err := (model.NodeID{}).Parse(v.Object); err == nil && q.m.Node(id) != nil {
		return q.toNode(q.m.Node(id))
	}
	service, err := (model.ServiceID{}).Parse(v.Object)
	if id, terr := (model.TargetID{}).Parse(v.Object); terr == nil && q.m.Target(id) != nil {
		service, err = q.m.Target(id).Service, nil
	}
	if s := q.m.Service(service); err == nil && s != nil && q.Org != nil && s.Org == q.Org.ID && q.Can(access.ServicesRead) {
		return q.To("services", s.Name)
	}
	return ""
}

// silenced says until when nobody is told by a rule.
func silenced(v admin.AlertRule, now time.Time) bool {
	return v.SilencedUntil != nil && v.SilencedUntil.After(now)
}

package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
)

type silenceBody struct {
	For string `json:"for" maxLength:"20" example:"2h" doc:"For how long nobody is told, up to 90 days; 0s ends it"`
}

type acknowledgeBody struct {
	Object       string `json:"object,omitempty" maxLength:"255" doc:"Of the alert about this, by name or id; of all of the rule if absent"`
	Acknowledged *bool  `json:"acknowledged,omitempty" doc:"true if absent; false takes it back"`
}

func (b acknowledgeBody) back() bool { return b.Acknowledged != nil && !*b.Acknowledged }

// alerts are what rules have found, and what came of telling people.
func (a *API) alerts() {
	const org, cluster = "/api/v1/orgs/{org}/", "/api/v1/cluster-"
	const list, silence, mails = "What alert rules find to be so now, the oldest first", "Have nobody told by an alert rule for a while", "Show the newest messages about alerts of a rule"
	const know = "Say that one knows of alerts of a rule, until they are over"
	huma.Register(a.huma, operation(http.MethodGet, org+"alerts", "list-alerts", list, "alerts", access.AlertsRead, 200),
		func(ctx context.Context, in *struct{ OrgPath }) (*answer[page[admin.Alert]], error) {
			v, err := a.Admin.Alerts(ctx, caller(ctx), in.Org)
			return told(ctx, a, page[admin.Alert]{Items: v}, err)
		})
	huma.Register(a.huma, operation(http.MethodGet, cluster+"alerts", "list-cluster-alerts", list, "cluster-alerts", access.ClusterAlertsRead, 200),
		func(ctx context.Context, _ *struct{}) (*answer[page[admin.Alert]], error) {
			v, err := a.Admin.Alerts(ctx, caller(ctx), "")
			return told(ctx, a, page[admin.Alert]{Items: v}, err)
		})
	huma.Register(a.huma, operation(http.MethodPost, org+"alert-rules/{name}/silence", "silence-alert-rule", silence, "alert-rules", access.AlertsManage, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			NamePath
			Body silenceBody
		}) (*answer[admin.AlertRule], error) {
			v, err := a.Admin.SilenceAlertRule(ctx, caller(ctx), in.Org, in.Name, in.Body.For)
			return told(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodPost, cluster+"alert-rules/{name}/silence", "silence-cluster-alert-rule", silence, "cluster-alert-rules", access.ClusterAlertsManage, 200),
		func(ctx context.Context, in *struct {
			NamePath
			Body silenceBody
		}) (*answer[admin.AlertRule], error) {
			v, err := a.Admin.SilenceAlertRule(ctx, caller(ctx), "", in.Name, in.Body.For)
			return told(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodPost, org+"alert-rules/{name}/acknowledge", "acknowledge-alerts", know, "alert-rules", access.AlertsManage, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			NamePath
			Body acknowledgeBody
		}) (*answer[page[admin.Alert]], error) {
			v, err := a.Admin.AcknowledgeAlerts(ctx, caller(ctx), in.Org, in.Name, in.Body.Object, in.Body.back())
			return told(ctx, a, page[admin.Alert]{Items: v}, err)
		})
	huma.Register(a.huma, operation(http.MethodPost, cluster+"alert-rules/{name}/acknowledge", "acknowledge-cluster-alerts", know, "cluster-alert-rules", access.ClusterAlertsManage, 200),
		func(ctx context.Context, in *struct {
			NamePath
			Body acknowledgeBody
		}) (*answer[page[admin.Alert]], error) {
			v, err := a.Admin.AcknowledgeAlerts(ctx, caller(ctx), "", in.Name, in.Body.Object, in.Body.back())
			return told(ctx, a, page[admin.Alert]{Items: v}, err)
		})
	huma.Register(a.huma, operation(http.MethodGet, org+"alert-rules/{name}/deliveries", "list-alert-deliveries", mails, "alert-rules", access.AlertsRead, 200),
		func(ctx context.Context, in *oneOrgInput) (*answer[page[admin.AlertMail]], error) {
			v, err := a.Admin.AlertMails(ctx, caller(ctx), in.Org, in.Name)
			return told(ctx, a, page[admin.AlertMail]{Items: v}, err)
		})
	huma.Register(a.huma, operation(http.MethodGet, cluster+"alert-rules/{name}/deliveries", "list-cluster-alert-deliveries", mails, "cluster-alert-rules", access.ClusterAlertsRead, 200),
		func(ctx context.Context, in *oneInput) (*answer[page[admin.AlertMail]], error) {
			v, err := a.Admin.AlertMails(ctx, caller(ctx), "", in.Name)
			return told(ctx, a, page[admin.AlertMail]{Items: v}, err)
		})
}

package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
)

// webhooks are shown with what came of calling them, tested, and given other keys.
func (a *API) webhooks() {
	const org, cluster = "/api/v1/orgs/{org}/webhooks/{name}/", "/api/v1/cluster-webhooks/{name}/"
	const deliveries, test, rotate = "Show the latest calls of a webhook, the newest first", "Call a webhook, once, with an event of its own",
		"Replace the key that a webhook's events are signed with; it is shown once"

	huma.Register(a.huma, operation(http.MethodGet, org+"deliveries", "list-webhook-deliveries", deliveries, "webhooks", access.WebhooksRead, 200),
		func(ctx context.Context, in *oneOrgInput) (*answer[page[admin.WebhookAttempt]], error) {
			return a.deliveries(ctx, in.Org, in.Name)
		})
	huma.Register(a.huma, operation(http.MethodGet, cluster+"deliveries", "list-cluster-webhook-deliveries", deliveries, "cluster-webhooks", access.ClusterWebhooksRead, 200),
		func(ctx context.Context, in *oneInput) (*answer[page[admin.WebhookAttempt]], error) {
			return a.deliveries(ctx, "", in.Name)
		})
	huma.Register(a.huma, operation(http.MethodPost, org+"test", "test-webhook", test, "webhooks", access.WebhooksManage, 200),
		func(ctx context.Context, in *oneOrgInput) (*answer[admin.WebhookTest], error) {
			v, err := a.Admin.TestWebhook(ctx, caller(ctx), in.Org, in.Name)
			return told(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodPost, cluster+"test", "test-cluster-webhook", test, "cluster-webhooks", access.ClusterWebhooksManage, 200),
		func(ctx context.Context, in *oneInput) (*answer[admin.WebhookTest], error) {
			v, err := a.Admin.TestWebhook(ctx, caller(ctx), "", in.Name)
			return told(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodPost, org+"rotate-secret", "rotate-webhook-secret", rotate, "webhooks", access.WebhooksManage, 200),
		func(ctx context.Context, in *oneOrgInput) (*answer[admin.Webhook], error) {
			v, err := a.Admin.RotateWebhookSecret(ctx, caller(ctx), in.Org, in.Name)
			return told(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodPost, cluster+"rotate-secret", "rotate-cluster-webhook-secret", rotate, "cluster-webhooks", access.ClusterWebhooksManage, 200),
		func(ctx context.Context, in *oneInput) (*answer[admin.Webhook], error) {
			v, err := a.Admin.RotateWebhookSecret(ctx, caller(ctx), "", in.Name)
			return told(ctx, a, v, err)
		})
}

func (a *API) deliveries(ctx context.Context, org, name string) (*answer[page[admin.WebhookAttempt]], error) {
	v, err := a.Admin.WebhookAttempts(ctx, caller(ctx), org, name)
	return told(ctx, a, page[admin.WebhookAttempt]{Items: v}, err)
}

package cli

import (
	"strings"
	"testing"
)

func TestWebhookCommands(t *testing.T) {
	const base, call = "/api/v1/orgs/default/webhooks/ops", `{"event":"event_1","type":"webhook.test","attempt":1,"took":"12ms","at":"2026-01-02T03:04:05Z",`
	api := newAPI(t, map[string]answer{
		"GET " + base:                                 {200, "", `{"name":"ops","url":"https://hooks.example/x","enabled":true}`},
		"GET " + base + "/deliveries":                 {200, "", `{"items":[` + call + `"ok":false,"status":500,"problem":"want a status of 2xx","answer":"no such hook\nmore"}]}`},
		"POST " + base + "/test":                      {200, "", `{"event":"event_1"}`},
		"POST " + base + "/rotate-secret":             {200, "", `{"name":"ops","secret":"whsec_x"}`},
		"POST /api/v1/orgs/default/webhooks":          {201, "", `{"name":"ops","secret":"whsec_y"}`},
		"POST /api/v1/cluster-webhooks/all/test":      {200, "", `{"event":"event_1"}`},
		"GET /api/v1/cluster-webhooks/all/deliveries": {200, "", `{"items":[` + call + `"ok":true,"status":204}]}`},
		applyAt: {200, "", `{"objects":[{"kind":"Webhook","name":"applied","changed":true,"secret":"whsec_z"}]}`},
	})
	for _, tc := range []struct {
		args string
		code int
		says string // on standard output
	}{
		{"webhook describe ops", 0, "it says: no such hook\n"},
		{"webhook test ops", 4, "500 in 12ms"},
		{"webhook test --cluster all", 0, "204 in 12ms"},
		{"webhook rotate-secret ops --yes", 0, "whsec_x\n"},
		{"webhook rotate-secret ops", 2, ""},
		{"create webhook ops --url https://hooks.example/x --events certificate.failed --enabled=false", 0, "whsec_y\n"},
	} {
		if code, stdout, stderr := run(t, "", strings.Fields(tc.args)...); code != tc.code || !strings.Contains(stdout, tc.says) {
			t.Errorf("warren %s: exit %d, %q, %q", tc.args, code, stdout, stderr)
		}
	}
	if last := api.calls[len(api.calls)-1]; !strings.Contains(last, `"enabled":false`) || !strings.Contains(last, `"events":["certificate.failed"]`) {
		t.Errorf("created with %s", last)
	}
	code, stdout, stderr := run(t, "apiVersion: warren/v1\nkind: Webhook\nmetadata: {name: applied}\nspec: {url: https://hooks.example/x}\n", "apply", "-f", "-")
	if code != 0 || stdout != "whsec_z\n" {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}

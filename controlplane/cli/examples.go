package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// examples shows how commands are called that do not say it where they are made.
var examples = map[string]string{
	"warren access token":                     "warren access token https://wiki.example.org",
	"warren cert renew":                       "warren cert renew wiki.example.org",
	"warren cert upload":                      "warren cert upload --cert wiki.pem --key wiki.key",
	"warren domain add":                       "warren domain add example.org --pool default",
	"warren domain check":                     "warren domain check example.org",
	"warren domain prove":                     "warren domain prove example.org",
	"warren issuer budget":                    "warren issuer budget letsencrypt",
	"warren issuer resume":                    "warren issuer resume letsencrypt",
	"warren issuer suspend":                   "warren issuer suspend letsencrypt",
	"warren issuer rollover":                  "warren issuer rollover letsencrypt",
	"warren node activate":                    "warren node activate n1",
	"warren node drain":                       "warren node drain n1 --wait",
	"warren node join":                        "warren node join n1",
	"warren node revoke":                      "warren node revoke n1 --yes",
	"warren policy link create":               "warren policy link create staff \"for the auditors\"",
	"warren policy link list":                 "warren policy link list staff",
	"warren policy link revoke":               "warren policy link revoke staff link_01h455vb4pex5vsknk084sn02q --yes",
	"warren policy token create":              "warren policy token create staff ci",
	"warren policy token list":                "warren policy token list staff",
	"warren policy token revoke":              "warren policy token revoke staff ci --yes",
	"warren site join":                        "warren site join office c1",
	"warren site revoke":                      "warren site revoke c1 --yes",
	"warren snapshot":                         "warren snapshot\nwarren snapshot n1",
	"warren user invite":                      "warren user invite ann@example.org",
	"warren user sign-out":                    "warren user sign-out ann@example.org --yes",
	"warren user reset-password":              "warren user reset-password ann@example.org",
	"warren wait":                             "warren wait\nwarren wait 120 --timeout 30s",
	"warren webhook describe":                 "warren webhook describe ops",
	"warren webhook rotate-secret":            "warren webhook rotate-secret ops",
	"warren webhook test":                     "warren webhook test ops",
	"warren create service":                   "warren create service wiki --kind http --hostname wiki.example.org --pool default",
	"warren create target":                    "warren create target wiki-1 --service wiki --site office --address 10.0.0.5 --port 8080",
	"warren create site":                      "warren create site office --pool default",
	"warren create domain":                    "warren create domain example.org --pool default",
	"warren create node":                      "warren create node n1 --pool default",
	"warren create connector":                 "warren create connector c1 --site office",
	"warren create policy":                    "warren create policy -f staff.yaml",
	"warren create issuer":                    "warren create issuer letsencrypt --directory-url https://acme-v02.api.letsencrypt.org/directory",
	"warren create role":                      "warren create role reader --permissions sites:read,services:read",
	"warren create cluster-role":              "warren create cluster-role watcher --permissions nodes:read",
	"warren create user":                      "warren create user ann@example.org",
	"warren create member":                    "warren create member ann@example.org --roles member",
	"warren create group":                     "warren create group writers --users ann@example.org",
	"warren create service-account":           "warren create service-account ci --roles member",
	"warren create webhook":                   "warren create webhook ops --url https://hooks.example.org/warren",
	"warren create alert-rule":                "warren create alert-rule home-down --kind site_down --object home --for 1m --mail ops@example.org",
	"warren create cluster-alert-rule":        "warren create cluster-alert-rule nodes --kind node_down --for 1m --mail ops@example.org",
	"warren create cluster-webhook":           "warren create cluster-webhook ops --url https://hooks.example.org/warren",
	"warren create identity-provider":         "warren create identity-provider corp --issuer https://accounts.example.com --client-id warren",
	"warren create api-key":                   "warren create api-key ci --organization acme --permissions services:write",
	"warren create organization":              "warren create organization acme",
	"warren create region":                    "warren create region eu",
	"warren create pool":                      "warren create pool edge",
	"warren create cluster-identity-provider": "warren create cluster-identity-provider corp --issuer https://accounts.example.com --client-id warren",
}

// withExamples gives each command the example that it does not have itself.
func withExamples(c *cobra.Command) {
	if text := examples[c.CommandPath()]; c.Example == "" && text != "" {
		c.Example = "  " + strings.ReplaceAll(text, "\n", "\n  ")
	}
	for _, sub := range c.Commands() {
		withExamples(sub)
	}
}

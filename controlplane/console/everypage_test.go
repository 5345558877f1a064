package console

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// everyPage is each page of a furnished cluster that can be looked at, with something that stands on it.
var everyPage = []struct{ path, shows string }{
	{"/console/orgs", "default"},
	{"/console/orgs/default/", "requests a second"},
	{"/console/orgs/default/?span=24h", "Happened last"},
	{"/console/orgs/default/", "alert firing"},
	{"/console/orgs/default/", "member created:"},
	{"/console/orgs/default/find", "What are you looking for"},
	{"/console/orgs/default/find?q=wiki.ex", "/console/orgs/default/services/wiki"},
	{"/console/orgs/default/sites", "office"},
	{"/console/orgs/default/sites", "v1.2.3"},
	{"/console/orgs/default/sites", `data-label="Requests/s" class="num">1.0<`},
	{"/console/orgs/default/sites", `data-label="Nodes">edge-1<`},
	{"/console/orgs/default/sites/home", "12 ms"},
	{"/console/orgs/default/sites/home", "0 of 1 that are checked are healthy"},
	{"/console/orgs/default/sites/home?q=wiki", "container paperless-1"},
	{"/console/orgs/default/sites/office", "No connector yet"},
	{"/console/orgs/default/sites/home/edit", "6000-6010"},
	{"/console/orgs/default/sites/office/delete", "gone for good"},
	{"/console/orgs/default/sites/home/connectors/pi/revoke", "trusted no more"},
	{"/console/orgs/default/sites/home/connectors/pi/snapshot", "ConnectorConfig"},
	{"/console/orgs/default/sites/home/connectors/pi/resource?type=Trust&name=trust%2Fcluster", "What is wanted"},
	{"/console/orgs/default/connect", "Show the command"},
	{"/console/orgs/default/connect/pi", "What shall be reached"},
	{"/console/orgs/default/connect/pi", "Publish port 3000"},
	{"/console/orgs/default/join-tokens", "connector of home"},
	{"/console/orgs/default/join-tokens/{connector-token}/revoke", "Nobody joins with it"},
	{"/console/orgs/default/services", "wiki.example.org"},
	{"/console/orgs/default/services", `class="status bad">5 %<`},
	{"/console/orgs/default/publish", "Hostname"},
	{"/console/orgs/default/services/wiki", "it answers 503"},
	{"/console/orgs/default/services/mail", "No target"},
	{"/console/orgs/default/services/db", "198.51.100.0/24"},
	{"/console/orgs/default/services/wiki/edit", "wiki.example.org"},
	{"/console/orgs/default/services/wiki/delete", "gone at once"},
	{"/console/orgs/default/services/db/yaml", "kind: Target"},
	{"/console/orgs/default/services/wiki/add-target", "wiki-2"},
	{"/console/orgs/default/services/wiki/targets/wiki/edit", "/ready"},
	{"/console/orgs/default/services/wiki/targets/wiki/delete", "Nothing is sent"},
	{"/console/orgs/default/topology", "192.168.1.20:8080"},
	{"/console/orgs/default/domains", "example.org"},
	{"/console/orgs/default/domains/example.org", "ns-edge-1.example.org"},
	{"/console/orgs/default/domains/example.org", "A certificate could not be had"},
	{"/console/orgs/default/domains/example.org?q=wiki", "192.0.2.1"},
	{"/console/orgs/default/domains/example.org/edit", "CAA records name"},
	{"/console/orgs/default/domains/example.org/delete", "no longer"},
	{"/console/orgs/default/add-domain", "Pool"},
	{"/console/orgs/default/certificates", "own authority"},
	{"/console/orgs/default/certificates/wiki.example.org", "too many certificates already issued"},
	{"/console/orgs/default/requests", "rule 2 of policy staff denies"},
	{"/console/orgs/default/requests?service=wiki&status=5xx&method=get&path=%2Fapi", "the target refused the connection"},
	{"/console/orgs/default/requests/live", "Requests, live"},
	{"/console/orgs/default/events", "wiki is slow"},
	{"/console/orgs/default/events?type=certificate.issued", "Nothing has happened"},
	{"/console/orgs/default/alerts", "wiki is slow"},
	{"/console/orgs/default/alerts", "Acknowledge"},
	{"/console/orgs/default/new-alert-rule?kind=service_down&object=wiki", "a service is down"},
	{"/console/orgs/default/alerts/slow", "the mail server is asleep"},
	{"/console/orgs/default/alerts/slow/edit", "ops@example.org"},
	{"/console/orgs/default/alerts/slow/delete", "Nobody is told"},
	{"/console/orgs/default/audit", "site.create"},
	{"/console/orgs/default/audit?who=nobody", "Nothing found"},
	{"/console/orgs/default/policies", "members who sign in"},
	{"/console/orgs/default/new-policy", "Ways in"},
	{"/console/orgs/default/policies/staff", "path /admin/**"},
	{"/console/orgs/default/policies/staff/edit", "/admin/**"},
	{"/console/orgs/default/policies/staff/yaml", "kind: Policy"},
	{"/console/orgs/default/policies/staff/delete", "open to everybody"},
	{"/console/orgs/default/policies/staff/new-link", "How often"},
	{"/console/orgs/default/policies/staff/new-token", "Of the program"},
	{"/console/orgs/default/policies/staff/links/{link}/revoke", "opens nothing"},
	{"/console/orgs/default/policies/staff/tokens/{token}/revoke", "opens nothing"},
	{"/console/orgs/default/test?url=https%3A%2F%2Fwiki.example.org%2Fadmin%2Fx", ", rule 1"},
	{"/console/orgs/default/members", "Members"},
	{"/console/orgs/default/members/mia@example.org/edit", "viewer"},
	{"/console/orgs/default/members/mia@example.org/delete", "ends at once"},
	{"/console/orgs/default/invitations", "bea@example.org"},
	{"/console/orgs/default/invitations/{invitation}/delete", "bea@example.org"},
	{"/console/orgs/default/invite", "Who has its link joins"},
	{"/console/orgs/default/groups", "night-shift"},
	{"/console/orgs/default/groups/night-shift/edit", "one on each line"},
	{"/console/orgs/default/groups/night-shift/delete", "gone for good"},
	{"/console/orgs/default/new-group", "Mail addresses"},
	{"/console/orgs/default/roles", "built in"},
	{"/console/orgs/default/roles/reader/edit", "sites:read"},
	{"/console/orgs/default/roles/reader/delete", "may do no more"},
	{"/console/orgs/default/new-role", "services:write"},
	{"/console/orgs/default/service-accounts", "deployer"},
	{"/console/orgs/default/service-accounts/deployer", "laptop"},
	{"/console/orgs/default/service-accounts/deployer/edit", "One at least"},
	{"/console/orgs/default/service-accounts/deployer/new-key", "Make the key"},
	{"/console/orgs/default/service-accounts/deployer/delete", "good for nothing"},
	{"/console/orgs/default/keys/laptop/delete", "refused at once"},
	{"/console/orgs/default/new-service-account", "Of the program"},
	{"/console/orgs/default/identity-providers", "https://id.example.org"},
	{"/console/orgs/default/identity-providers/corp/edit", "groups = ops: admin"},
	{"/console/orgs/default/identity-providers/corp/delete", "Nobody signs in"},
	{"/console/orgs/default/new-identity-provider", "Issuer"},
	{"/console/orgs/default/visitors", "vic@example.org"},
	{"/console/orgs/default/visitors/{visitor}/delete", "another code"},
	{"/console/orgs/default/settings", "A second factor is required"},
	{"/console/orgs/default/webhooks", "alert.firing"},
	{"/console/orgs/default/webhooks/pager", "https://hooks.example.org/warren"},
	{"/console/orgs/default/webhooks/pager/edit", "https://hooks.example.org/warren"},
	{"/console/orgs/default/webhooks/pager/delete", "forgotten"},
	{"/console/orgs/default/new-webhook", "Hears of"},
	{"/console/cluster/webhooks", "https://siren.example.org/"},
	{"/console/cluster/webhooks/siren", "https://siren.example.org/"},
	{"/console/cluster/webhooks/siren/edit", "https://siren.example.org/"},
	{"/console/cluster/webhooks/siren/delete", "forgotten"},
	{"/console/cluster/new-webhook", "Hears of"},
	{"/console/orgs/default/settings", "Requests a second"},
	{"/console/cluster/organizations", "as many as there are"},
	{"/console/cluster/new-organization", "answered with 429"},
	{"/console/cluster/organizations/default/edit", `value="0"`},
	{"/console/cluster/organizations/default/delete", "It has to be empty"},
	{"/console/cluster/settings", "Send a test message"},
	{"/console/cluster/settings", "key-encryption key"},
	{"/console/cluster/settings", "GeoLite2-Country"},
	{"/console/cluster/users", "root@example.org"},
	{"/console/cluster/users/root@example.org/edit", "cluster-admin"},
	{"/console/cluster/users/root@example.org/delete", "Memberships"},
	{"/console/cluster/roles", "desk"},
	{"/console/cluster/new-role", "nodes:read"},
	{"/console/cluster/roles/desk/edit", "users:read"},
	{"/console/cluster/roles/desk/delete", "may do no more"},
	{"/console/cluster/identity-providers", "https://world.example.org"},
	{"/console/cluster/new-identity-provider", "in organization"},
	{"/console/cluster/identity-providers/world/edit", "groups = acme: viewer in default"},
	{"/console/cluster/identity-providers/world/delete", "Nobody signs in"},
	{"/console/orgs/default/gitops", "shop"},
	{"/console/orgs/default/gitops/shop", "not as the files had them"},
	{"/console/orgs/default/api", "list-services"},
	{"/console/orgs/default/api?q=drain", "drain-node"},
	{"/console/orgs/default/api/create-service", "/api/v1/orgs/default/services"},
	{"/console/cluster/jobs", "alert_mail"},
	{"/console/cluster/jobs?state=discarded", "No job"},
	{"/console/cluster/jobs/{job}", "alert_mail"},
	{"/console/cluster/audit", "node.create"},
	{"/console/cluster/audit/verify", "Nobody has changed it"},
	{"/console/cluster/alerts", "gone"},
	{"/console/cluster/alerts/gone", "a node is down"},
	{"/console/cluster/alerts/gone/edit", "noc@example.org"},
	{"/console/cluster/alerts/gone/delete", "Nobody is told"},
	{"/console/cluster/new-alert-rule", "a node is down"},
	{"/console/cluster/diagnostics", "it answers 503"},
	{"/console/cluster/diagnostics", "Download a report"},
	{"/console/cluster/nodes", "edge-2"},
	{"/console/cluster/nodes", `data-label="Processors" class="num">7 %<`},
	{"/console/cluster/nodes", `data-label="Clients" class="num">42<`},
	{"/console/cluster/nodes", `data-label="Traffic" class="num">2.0 kB/s<`},
	{"/console/cluster/pools", "default"},
	{"/console/cluster/new-pool", "Nodes join a pool"},
	{"/console/cluster/pools/spare/delete", "spare is gone for good"},
	{"/console/cluster/regions", "attic"},
	{"/console/cluster/new-region", "eu-central"},
	{"/console/cluster/regions/attic/delete", "attic is gone for good"},
	{"/console/cluster/issuers", "suspended"},
	{"/console/cluster/issuers", "no account yet"},
	{"/console/cluster/new-issuer", "terms of service"},
	{"/console/cluster/issuers/zero/edit", "kid-7"},
	{"/console/cluster/issuers/zero/delete", "zero is gone for good"},
	{"/console/cluster/join-node", "Where the node runs"},
	{"/console/cluster/join-node/edge-1", "has joined, and has its configuration"},
	{"/console/cluster/join-node/edge-2", "Waiting for edge-2"},
	{"/console/cluster/join-tokens", "edge-2"},
	{"/console/cluster/join-tokens/{node-token}/revoke", "Nobody joins with it"},
	{"/console/cluster/nodes/edge-1", "2001:db8::1"},
	{"/console/cluster/nodes/edge-1/drain", "stops naming"},
	{"/console/cluster/nodes/edge-1/snapshot", "service wiki"},
	{"/console/cluster/nodes/edge-1/snapshot?q=wiki", "Route"},
	{"/console/cluster/nodes/edge-1/resource?type=Route&name={route}", "wiki2.example.org"},
}

// everyForm is each form of a furnished cluster.
var everyForm = []string{
	"/console/orgs/default/sites/home/edit", "/console/orgs/default/sites/office/delete", "/console/orgs/default/sites/home/connectors/pi/revoke", "/console/orgs/default/connect",
	"/console/orgs/default/connect/pi/publish", "/console/orgs/default/publish", "/console/orgs/default/services/wiki/edit", "/console/orgs/default/services/wiki/delete",
	"/console/orgs/default/services/wiki/add-target", "/console/orgs/default/services/wiki/targets/wiki/edit", "/console/orgs/default/services/wiki/targets/wiki/delete",
	"/console/orgs/default/add-domain", "/console/orgs/default/domains/example.org/edit", "/console/orgs/default/domains/example.org/delete", "/console/orgs/default/certificates/wiki.example.org/renew",
	"/console/orgs/default/new-alert-rule", "/console/orgs/default/alerts/slow/edit", "/console/orgs/default/alerts/slow/silence", "/console/orgs/default/alerts/slow/acknowledge", "/console/orgs/default/alerts/slow/delete",
	"/console/orgs/default/services/wiki/yaml", "/console/orgs/default/policies/staff/yaml",
	"/console/orgs/default/new-policy", "/console/orgs/default/policies/staff/edit", "/console/orgs/default/policies/staff/delete", "/console/orgs/default/policies/staff/new-link",
	"/console/orgs/default/policies/staff/new-token", "/console/orgs/default/policies/staff/links/{link}/revoke", "/console/orgs/default/policies/staff/tokens/{token}/revoke",
	"/console/orgs/default/members/mia@example.org/edit", "/console/orgs/default/members/mia@example.org/delete", "/console/orgs/default/invite", "/console/orgs/default/invitations/{invitation}/delete",
	"/console/orgs/default/new-group", "/console/orgs/default/groups/night-shift/edit", "/console/orgs/default/groups/night-shift/delete",
	"/console/orgs/default/new-role", "/console/orgs/default/roles/reader/edit", "/console/orgs/default/roles/reader/delete",
	"/console/orgs/default/new-service-account", "/console/orgs/default/service-accounts/deployer/edit", "/console/orgs/default/service-accounts/deployer/delete",
	"/console/orgs/default/service-accounts/deployer/new-key", "/console/orgs/default/keys/laptop/delete",
	"/console/orgs/default/new-identity-provider", "/console/orgs/default/identity-providers/corp/edit", "/console/orgs/default/identity-providers/corp/delete",
	"/console/orgs/default/settings/security", "/console/orgs/default/settings/request-log", "/console/orgs/default/new-webhook", "/console/orgs/default/webhooks/pager/edit",
	"/console/orgs/default/webhooks/pager/test", "/console/orgs/default/webhooks/pager/rotate", "/console/orgs/default/webhooks/pager/delete",
	"/console/orgs/default/settings/branding", "/console/cluster/users/root@example.org/edit", "/console/cluster/users/root@example.org/sign-out", "/console/cluster/users/root@example.org/delete",
	"/console/orgs/default/visitors/{visitor}/delete",
	"/console/cluster/new-organization", "/console/cluster/organizations/default/edit", "/console/cluster/organizations/default/delete",
	"/console/cluster/new-role", "/console/cluster/roles/desk/edit", "/console/cluster/roles/desk/delete",
	"/console/cluster/new-identity-provider", "/console/cluster/identity-providers/world/edit", "/console/cluster/identity-providers/world/delete",
	"/console/cluster/jobs/{job}/retry", "/console/cluster/jobs/{job}/cancel",
	"/console/cluster/new-webhook", "/console/cluster/new-alert-rule",
	"/console/cluster/webhooks/siren/edit", "/console/cluster/webhooks/siren/test", "/console/cluster/webhooks/siren/rotate", "/console/cluster/webhooks/siren/delete",
	"/console/cluster/alerts/gone/edit", "/console/cluster/alerts/gone/silence", "/console/cluster/alerts/gone/acknowledge", "/console/cluster/alerts/gone/delete",
	"/console/cluster/new-pool", "/console/cluster/pools/spare/delete", "/console/cluster/new-region", "/console/cluster/regions/attic/delete",
	"/console/cluster/new-issuer", "/console/cluster/issuers/zero/edit", "/console/cluster/issuers/zero/delete",
	"/console/cluster/join-node", "/console/orgs/default/join-tokens/{connector-token}/revoke", "/console/cluster/join-tokens/{node-token}/revoke",
	"/console/cluster/nodes/edge-1/drain", "/console/cluster/nodes/edge-1/activate", "/console/cluster/settings/mail", "/console/cluster/diagnostics/check",
}

// asking are the forms that change nothing, which whoever may look may send.
var asking = []string{"/console/orgs/default/domains/example.org/check"}

// path puts what is known of a furnished cluster only when it is there into a path: "{job}" is the number of one.
func (r *rig) path(path string) string {
	for name, value := range r.made {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	return path
}

// Each page and each form that there is stands in the tables above.
func TestEveryRouteHasARow(t *testing.T) {
	r := newRig(t)
	r.furnish()
	rows := map[string]bool{"GET /console/": true} // for what there is not
	row := func(method, path string) {
		_, pattern := r.con.mux.Handler(httptest.NewRequest(method, home+r.path(path), nil))
		rows[pattern] = true
	}
	for _, p := range everyPage {
		row(http.MethodGet, p.path)
	}
	for _, p := range append(asking, everyForm...) {
		row(http.MethodPost, p)
	}
	for _, pattern := range r.con.served {
		if !rows[pattern] {
			t.Errorf("%s has no row", pattern)
		}
	}
}

package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// fieldType is how a field is written on the command line.
type fieldType int

const (
	text fieldType = iota
	number
	list
	toggle // true if given
	pairs  // key=value
	secret // in a file: flags are seen by others on the machine, and kept by shells
)

// field is a writable field of a kind.
type field struct {
	name     string // in JSON, with a dot before each inner field; the flag has dashes
	typ      fieldType
	help     string
	required bool
}

// kind is a noun of the API.
type kind struct {
	name    string // in YAML
	plural  string // in paths and commands
	aliases []string
	org     bool // belongs to an organization
	fields  []field
	columns []string // of a table
	wide    []string // more of them
	rank    int      // apply order: what others refer to comes first

	manifest bool // made from a file, having no fields that flags could write
}

// providerFields are those of identity providers. Rules are written in manifests alone.
var providerFields = []field{
	{"issuer", text, "URL that the provider's tokens say, such as https://accounts.example.com", true},
	{"client_id", text, "what this cluster is registered as", true},
	{"client_secret", secret, "of what this cluster is registered as", false},
	{"title", text, "on the button of the sign-in page (default: the name)", false},
	{"scopes", list, "what is asked for beside openid (default: email, profile)", false},
	{"provision", toggle, "who is not known yet, and to whom a rule gives a role, becomes a user", false},
}

// kinds is every noun that can be listed, in the order in which they are applied.
var kinds = []*kind{
	{
		name: "Organization", plural: "organizations", aliases: []string{"org", "orgs"},
		fields: []field{
			{"trusted", toggle, "its domains need no proof that they are its own", false},
			{"requests_per_second", number, "requests and new connections a second that each node serves for it (default 0: as many as there are)", false},
		},
		columns: []string{"trusted", "requests_per_second"},
	},
	{name: "Region", plural: "regions"},
	{name: "Pool", plural: "pools"},
	{
		name: "Node", plural: "nodes", fields: []field{
			{"pool", text, "pool that the node serves", true},
			{"region", text, "region that the node stands in", false},
			{"addresses", list, "public addresses that DNS answers with (default: what the node says when it starts)", false},
			{"wireguard_endpoint", text, "ip:port or name:port where tunnels reach the node (default: what the node says when it starts)", false},
			{"stream_endpoint", text, "ip:port or name:port of the node's TLS port, where connectors dial streams (default: what the node says when it starts)", false},
			{"gossip_endpoint", text, "ip:port or name:port where the node's gossip is reached (default: what the node says when it starts)", false},
			{"capacity", number, "share of the sites that the node gets, 1 to 1000 (default 100)", false},
		},
		columns: []string{"pool", "region", "addresses", "capacity", "lifecycle", "enrolled", "alarm"},
		wide:    []string{"wireguard_endpoint", "stream_endpoint", "gossip_endpoint", "pinned", "revoked_at"},
	},
	{
		name: "Domain", plural: "domains", org: true, fields: []field{
			{"pool", text, "pool whose nodes answer for the domain", true},
			{"caa_account", toggle, "its CAA records name the cluster's accounts at the issuers: no other account there gets a certificate", false},
		},
		columns: []string{"pool", "unproven", "problem"}, wide: []string{"caa_account"},
	},
	{
		name: "Site", plural: "sites", org: true, fields: []field{
			{"pool", text, "pool whose nodes the connectors or the device dial", true},
			{"tunnels", number, "to how many nodes each connector, or the WireGuard device, keeps tunnels (default 3)", false},
			{"kind", text, "connector; local: the network of nodes, which dial the targets themselves; wireguard: one stock WireGuard device (default connector)", false},
			{"carrier", text, "over what TCP goes: auto, stream or wireguard (default auto)", false},
			{"region", text, "region that the site stands in: its nodes are preferred", false},
			{"nodes", list, "of a local site: the nodes that stand in its network", false},
			{"wireguard_public_key", text, "of a wireguard site: public key of the device (default: see warren site wireguard)", false},
			{"publish.hostnames", list, "names that its connectors may publish by labels of containers, such as '*.apps.example.org' (default: none)", false},
			{"publish.ports", list, "ports of nodes that they may publish so, such as 6000-6010 (default: none)", false},
		},
		columns: []string{"kind", "pool", "region", "tunnels", "health"}, wide: []string{"carrier", "nodes", "address", "wireguard_public_key"},
	},
	{
		name: "Connector", plural: "connectors", org: true, fields: []field{{"site", text, "site that the connector stands in", true}},
		columns: []string{"site", "enrolled", "alarm"}, wide: []string{"revoked_at"},
	},
	{
		name: "Policy", plural: "policies", aliases: []string{"policy"}, org: true, manifest: true,
		columns: []string{"otherwise", "services"},
	},
	{
		name: "Service", plural: "services", aliases: []string{"svc"}, org: true, fields: []field{
			{"kind", text, "http (TLS ends at the node), tls (by SNI, passed through), tcp or udp (at ports)", true},
			{"hostname", text, "of http and tls: name to publish, in a domain of the organization; may start with \"*.\"", false},
			{"pool", text, "pool whose nodes serve it", true},
			{"ports", text, "of tcp and udp: ports that nodes open, such as 5432 or 6000-6010", false},
			{"allow", list, "of tcp and udp: networks of clients (default: everybody)", false},
			{"proxy_protocol", number, "of tcp and tls: version of the PROXY protocol that targets are sent, 1 or 2", false},
			{"terminate", toggle, "of tls: TLS ends at the node, what is inside goes to the target as it is", false},
			{"policy", text, "policy that says who may reach it (default: everybody)", false},
		},
		columns: []string{"kind", "hostname", "ports", "pool", "policy", "health"}, wide: []string{"allow", "proxy_protocol", "terminate"},
	},
	{
		name: "Target", plural: "targets", org: true, fields: []field{
			{"service", text, "service that the target stands behind", true},
			{"site", text, "site that reaches the target", true},
			{"address", text, "address or name, as seen in the site; not of a wireguard site, which is one address", false},
			{"port", number, "port; of a service with several, where the first one goes", true},
			{"path_prefix", text, "of http services: requests below this path go here", false},
			{"weight", number, "share of the requests among targets of the same path, 1 to 1000", false},
			{"scheme", text, "of http services: http, https or h2c (HTTP/2 without TLS); https without authorities_pem is not verified (default http)", false},
			{"server_name", text, "of https: name that the handshake asks for (default: the host that the target is told)", false},
			{"strip_prefix", toggle, "of http services: the target is sent paths without path_prefix", false},
			{"health_check.kind", text, "tcp (it takes a connection) or http (it answers as expected)", false},
			{"health_check.interval", text, "duration between checks, 1s to 1h (default 10s)", false},
			{"health_check.timeout", text, "duration until a check has failed (default 2s)", false},
			{"health_check.healthy_threshold", number, "successes in a row until the target counts as healthy (default 2)", false},
			{"health_check.unhealthy_threshold", number, "failures in a row until the target counts as unhealthy (default 3)", false},
			{"health_check.method", text, "of http: method (default GET)", false},
			{"health_check.path", text, "of http: path (default /)", false},
			{"health_check.host", text, "of http: Host header (default: the address)", false},
			{"health_check.headers", pairs, "of http: header as name=value", false},
			{"health_check.expected_statuses", list, "of http: statuses and ranges of them (default 200-399)", false},
			{"health_check.body_contains", text, "of http: text that the answer must have", false},
			{"health_check.tls", toggle, "of http: over TLS, without verifying the target's certificate", false},
		},
		columns: []string{"service", "site", "address", "port", "path_prefix", "weight", "health"},
	},
	{
		name: "Issuer", plural: "issuers", fields: []field{
			{"directory_url", text, "the authority's ACME directory; creating the issuer agrees to its terms of service", true},
			{"contacts", list, "mail addresses that the authority may write to", false},
			{"eab.key_id", text, "key id of the external account binding, where the authority wants one", false},
			{"eab.hmac_key", secret, "its key, base64url", false},
			{"roots_pem", text, "certificates in PEM that the authority's server is verified with (default: the system's)", false},
			{"rank", number, "the lowest is asked first, 0 to 999 (default 100)", false},
			{"profiles", pairs, "our word for a profile=the authority's; default is for certificates that name none", false},
			{"suspended", toggle, "nothing new is ordered or renewed from it; what it has issued is served", false},
			{"caa_identities", list, "domains that stand for the authority in CAA records (default: what its directory says); when they are known of every issuer, zones allow no others", false},
			{"limits.new_orders", number, "new orders in 3 hours (default: Let's Encrypt's 300)", false},
			{"limits.per_domain", number, "certificates of a registered domain in 7 days (default 50)", false},
			{"limits.per_set", number, "certificates of exactly the same names in 7 days (default 5)", false},
			{"limits.failed_validations", number, "failed validations of a name in an hour (default 5)", false},
		},
		columns: []string{"rank", "directory_url", "suspended", "paused_until", "last_problem"}, wide: []string{"contacts", "account_url", "failing_since"},
	},
	{
		name: "ManagedCertificate", plural: "managed-certificates", org: true,
		columns: []string{"names", "key_type", "state", "not_after", "next_attempt", "last_problem"}, wide: []string{"profile", "issuer", "renew_at", "failing_since", "waits_for"},
	},
	{
		name: "Certificate", plural: "certificates", aliases: []string{"cert", "certs"}, org: true,
		columns: []string{"names", "not_after", "issuer", "uploaded"}, wide: []string{"not_before", "managed", "superseded_by", "fingerprint_sha256"},
	},
	{
		name: "ClusterRole", plural: "cluster-roles", fields: []field{{"permissions", list, "what the role permits, such as nodes:read", true}},
		columns: []string{"builtin"}, wide: []string{"permissions"},
	},
	{
		name: "User", plural: "users", fields: []field{
			{"display_name", text, "as the user wants to be called", false},
			{"cluster_role", text, "role in the whole cluster", false},
			{"disabled", toggle, "sessions and keys end at once, and nobody signs in", false},
		},
		columns: []string{"display_name", "cluster_role", "disabled"}, wide: []string{"disabled_at"},
	},
	{
		name: "Role", plural: "roles", org: true, fields: []field{{"permissions", list, "what the role permits, such as sites:read", true}},
		columns: []string{"builtin"}, wide: []string{"permissions"},
	},
	{
		name: "Member", plural: "members", org: true, fields: []field{{"roles", list, "roles in the organization: its own, or owner, admin, member, viewer", true}},
		columns: []string{"display_name", "roles", "groups", "disabled"},
	},
	{
		name: "IdentityProvider", plural: "identity-providers", org: true, fields: providerFields, columns: []string{"issuer", "client_id", "provision"}, wide: []string{"title", "scopes"},
	},
	{
		name: "ClusterIdentityProvider", plural: "cluster-identity-providers", fields: providerFields, columns: []string{"issuer", "client_id", "provision"}, wide: []string{"title", "scopes"},
	},
	{
		name: "Group", plural: "groups", org: true, fields: []field{{"users", list, "members of the organization, by mail address", false}},
		columns: []string{"users"},
	},
	{
		name: "ServiceAccount", plural: "service-accounts", org: true, fields: []field{
			{"roles", list, "roles in the organization", true},
			{"disabled", toggle, "its keys are good for nothing", false},
		},
		columns: []string{"roles", "disabled"},
	},
	{name: "Visitor", plural: "visitors", org: true, columns: []string{"mail", "service", "expires_at"}, wide: []string{"address"}},
	{name: "Webhook", plural: "webhooks", org: true, fields: webhookFields, columns: webhookColumns},
	{name: "ClusterWebhook", plural: "cluster-webhooks", fields: webhookFields, columns: webhookColumns},
	{name: "AlertRule", plural: "alert-rules", org: true, fields: alertFields, columns: alertColumns, wide: []string{"percent", "window"}},
	{name: "ClusterAlertRule", plural: "cluster-alert-rules", fields: alertFields, columns: alertColumns},
	{
		name: "JoinToken", plural: "join-tokens", columns: []string{"kind", "subject", "organization", "site", "state", "expires_at", "created_by"}, wide: []string{"used_at", "created_at"},
	},
	{
		name: "ConnectorJoinToken", plural: "connector-join-tokens", org: true,
		columns: []string{"subject", "site", "state", "expires_at", "created_by"}, wide: []string{"used_at", "created_at"},
	},
	{
		name: "APIKey", plural: "api-keys", fields: []field{
			{"organization", text, "organization that the key is good for (default: the whole cluster)", false},
			{"service_account", text, "service account of the organization that the key is of", false},
			{"permissions", list, "what the key may do (default: all that its owner may; see the description of the API)", false},
			{"allow", list, "networks from which the key is good (default: everywhere)", false},
			{"expires_at", text, "when the key ends, as 2027-01-31T12:00:00Z (default: never)", false},
		},
		columns: []string{"organization", "service_account", "user", "expires_at", "used_at"}, wide: []string{"permissions", "allow", "used_from"},
	},
}

var (
	webhookFields = []field{
		{"url", text, "where events are posted to, https", true},
		{"events", list, "types of event to hear of: certificate.issued, certificate.failed, certificate.expiring, alert.firing, alert.resolved (default: all)", false},
		{"enabled", toggle, "whether it is called at all (default true)", false},
	}
	webhookColumns = []string{"url", "events", "enabled"}

	alertFields = []field{
		{"kind", text, "site_down, service_down, target_unhealthy, certificate_due or error_rate; of the cluster: node_down, node_out_of_sync", true},
		{"object", text, "the one site, service, target or node that is watched (default: all)", false},
		{"for", text, "duration that it has to be so before anybody is told (default 1m)", false},
		{"percent", number, "of error_rate: share of requests that fail above which it is too much (default 5)", false},
		{"window", text, "of error_rate: over how long (default 5m)", false},
		{"mail", list, "mail addresses that are told", false},
		{"enabled", toggle, "whether anybody is told (default true)", false},
	}
	alertColumns = []string{"kind", "object", "for", "mail", "enabled", "silenced_until"}
)

func init() {
	for i, k := range kinds {
		k.rank = i
	}
}

// findKind finds a kind by any of its spellings.
func findKind(s string) (*kind, error) {
	var names []string
	for _, k := range kinds {
		l := strings.ToLower(s)
		if l == k.plural || l+"s" == k.plural || l == strings.ToLower(k.name) {
			return k, nil
		}
		for _, alias := range k.aliases {
			if l == alias {
				return k, nil
			}
		}
		names = append(names, k.plural)
	}
	if near := nearKinds(s); len(near) > 0 {
		return nil, usagef("unknown kind %q%s", s, meant(near))
	}
	return nil, usagef("unknown kind %q; there are %s", s, strings.Join(names, ", "))
}

// nearKinds are the kinds that a misspelt one may stand for: cobra knows how near two words are.
func nearKinds(word string) []string {
	all := &cobra.Command{SuggestionsMinimumDistance: typoDistance}
	for _, k := range kinds {
		all.AddCommand(&cobra.Command{Use: k.plural, SuggestFor: append([]string{k.singular()}, k.aliases...), Run: func(*cobra.Command, []string) {}})
	}
	return all.SuggestionsFor(strings.ToLower(word))
}

// writable reports whether objects of the kind are made from fields.
func (k *kind) writable() bool {
	return len(k.fields) > 0 || k.manifest || k.name == "Organization" || k.name == "Region" || k.name == "Pool"
}

// singular is the kind's name in commands.
func (k *kind) singular() string {
	if stem, ok := strings.CutSuffix(k.plural, "ies"); ok {
		return stem + "y"
	}
	return strings.TrimSuffix(k.plural, "s")
}

// one is an object of the kind in a sentence: "a site", "an organization".
func (k *kind) one() string {
	noun := strings.ReplaceAll(k.singular(), "-", " ")
	if rest, ok := strings.CutPrefix(noun, "api "); ok {
		noun = "API " + rest
	}
	if strings.ContainsRune("aeioA", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

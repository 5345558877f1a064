package hops

// Code is what is wrong with a part.
type Code string

// Codes.
const (
	NothingFound  Code = "dns_unknown"
	NotDelegated  Code = "not_delegated"
	DNSSilent     Code = "dns_silent"
	NoNode        Code = "no_node"
	NodeJoining   Code = "node_joining"
	NodeDraining  Code = "node_draining"
	NodeAway      Code = "node_away"
	ControlLink   Code = "control_link"
	Unreachable   Code = "unreachable"
	Rejected      Code = "rejected"
	NotSynced     Code = "not_in_sync"
	DNSOlder      Code = "dns_older"
	TLSOlder      Code = "certificate_older"
	NotKnown      Code = "not_known"
	NoCertificate Code = "no_certificate"
	Expired       Code = "certificate_expired"
	Expiring      Code = "certificate_due"
	NotYetValid   Code = "certificate_not_yet_valid"
	NoConnector   Code = "no_connector"
	ConnectorAway Code = "connector_away"
	TunnelDown    Code = "tunnel_down"
	TunnelsFew    Code = "tunnels_missing"
	UDPBlocked    Code = "udp_blocked"
	PacketLoss    Code = "packet_loss"
	NoWay         Code = "no_way"
	NoTarget      Code = "no_target"
	Unhealthy     Code = "target_unhealthy"
	Failing       Code = "requests_fail"
	Unwatched     Code = "not_checked"
)

// advice is what to do, by what is wrong.
var advice = map[Code]string{
	NothingFound:  "Ask the DNS now: warren domain check DOMAIN",
	NotDelegated:  "Type at the registrar what this says: warren domain check DOMAIN",
	DNSSilent:     "Let UDP and TCP port 53 of the node through its firewall, and look for another DNS server on it.",
	NoNode:        "Let a machine join the pool: warren node join NAME --pool POOL",
	NodeJoining:   "Start warren-node there with its join token; a token is good for ten minutes: warren node join NAME",
	NodeDraining:  "It is being drained on purpose; take that back: warren node activate NODE",
	NodeAway:      "Look whether the machine runs and has a network: systemctl status warren-node; journalctl -u warren-node",
	ControlLink:   "It serves what it last knew. Look at its way to the control plane's push port: journalctl -u warren-node",
	Unreachable:   "Let the node's TLS port through its firewall, and look whether its public address is right: warren get node NODE -o wide",
	Rejected:      "See what it did not apply, and why: warren snapshot NODE",
	NotSynced:     "See what it lacks: warren snapshot NODE",
	DNSOlder:      "Another DNS server may answer at its address, or a proxy that caches; if it is warren-node, start it again: journalctl -u warren-node",
	TLSOlder:      "Another server may answer at its address, or something in between that keeps certificates; if it is warren-node, start it again: journalctl -u warren-node",
	NotKnown:      "This replica of the control plane has just started or does not hear the others: ask again in some seconds.",
	NoCertificate: "See what the authority said and when it is asked again: warren cert describe NAME",
	Expired:       "See why it was not renewed, and try now: warren cert describe NAME; warren cert renew NAME",
	Expiring:      "See why it was not renewed, and try now: warren cert describe NAME; warren cert renew NAME",
	NotYetValid:   "Look at the clocks of the control plane and the nodes.",
	NoConnector:   "Let a machine in that network join: warren site join SITE CONNECTOR",
	ConnectorAway: "Look whether its machine runs and has a way out: systemctl status warren-connector; journalctl -u warren-connector",
	TunnelDown:    "Let UDP to the nodes' WireGuard port out of the site's network, or TCP to their TLS port: warren netcheck, on that machine",
	TunnelsFew:    "Look which nodes it does not reach: warren status; warren netcheck, on that machine",
	UDPBlocked:    "It works, slower: let UDP to the nodes' WireGuard port out of the site's network.",
	PacketLoss:    "Look at the site's uplink: warren status shows loss and round trip of each tunnel.",
	NoWay:         "Look at the tunnels of the site, and between the nodes: warren status -o wide",
	NoTarget:      "Say where requests go: warren create target NAME --service SERVICE --site SITE --address HOST --port PORT",
	Unhealthy:     "Look at the application behind it; from a machine in the site: curl -v http://ADDRESS:PORT/",
	Failing:       "Look at the application behind it, and give it a health check: warren create target --help",
	Unwatched:     "Give it a health check, or ask now: warren ping SERVICE",
}

func part(kind, name string, state State, code Code, reason string) Part {
	return Part{Kind: kind, Name: name, State: state, Code: code, Reason: reason, Advice: advice[code]}
}

func healthy(kind, name string) Part { return Part{Kind: kind, Name: name, State: Healthy} }

package store

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/warrenedge/warren/controlplane/fault"
)

// SQLSTATE codes (PostgreSQL documentation, appendix A).
const (
	uniqueViolation     = "23505"
	foreignKeyViolation = "23503"
	checkViolation      = "23514"
	notNullViolation    = "23502"
	serializationFailed = "40001"
	sealedRetired       = "WR001" // ours, see sealed_with_data_key
	deadlockDetected    = "40P01"
	lockNotAvailable    = "55P03"
	invalidText         = "22P02"
	valueTooLong        = "22001"
	untranslatable      = "22021" // a NUL byte in text
	untranslatableJSON  = "22P05" // the same in JSON
	invalidParameter    = "22023" // of a setting
)

// fields names the field of the API behind a constraint; others are called by their last part.
var fields = map[string]string{
	"domains_apart":                     "name",
	"domains_claim":                     "name",
	"nodes_wireguard_key":               "wireguard_public_key",
	"connectors_wireguard_key":          "wireguard_public_key",
	"sites_wireguard_key":               "wireguard_public_key",
	"services_organization":             "organization",
	"sites_organization":                "organization",
	"domains_organization":              "organization",
	"api_keys_organization":             "organization",
	"certificates_organization":         "organization",
	"challenges_organization":           "organization",
	"challenges_owned":                  "name",
	"managed_certificates_organization": "organization",
	"managed_certificates_issuer":       "issuer",
	"policies_organization":             "organization",
	"identity_providers_organization":   "organization",
	"invitations_organization":          "organization",
	"invitation_roles_role":             "roles",
	"user_identities_subject":           "subject",
	"memberships_user":                  "user",
	"membership_roles_role":             "roles",
	"service_account_roles_role":        "roles",
	"user_group_members_user":           "users",
	"api_keys_service_account":          "service_account",
	"users_cluster_role":                "cluster_role",
	"webhooks_organization":             "organization",
}

// types names the field whose column is of one of our own types.
var types = map[string]string{"label": "name", "apex": "name", "hostname": "hostname"}

func field(constraint string) string {
	if f, ok := fields[constraint]; ok {
		return f
	}
	return constraint[strings.LastIndex(constraint, "_")+1:]
}

// wants says what is allowed, by type, or by constraint without its "_check".
var wants = map[string]string{
	"label":                                     "want 1 to 63 lower-case letters, digits and inner hyphens",
	"apex":                                      "want a canonical hostname",
	"hostname":                                  "want a canonical hostname, or one whose first label is *",
	"nodes_name":                                "want 60 characters at most: ns-<name> is a label as well",
	"nodes_addresses":                           "want addresses of hosts",
	"nodes_wireguard_endpoint":                  "want address:port or name:port",
	"nodes_stream_endpoint":                     "want address:port or name:port",
	"nodes_gossip_endpoint":                     "want address:port or name:port",
	"nodes_capacity":                            "want 1 to 1000",
	"nodes_pinned":                              "want addresses, wireguard_endpoint, stream_endpoint or gossip_endpoint",
	"nodes_lifecycle":                           "want active or draining",
	"sites_tunnels":                             "want 1 to 8",
	"sites_kind":                                "want connector, local or wireguard",
	"sites_carrier":                             "want auto, stream or wireguard",
	"sites_wireguard_public_key":                "want 32 bytes, of a wireguard site only",
	"sites_nodes":                               "a local site has one at least, and no other site has any",
	"gossip_keys_state":                         "want asked, opens, seals or retired",
	"gossip_keys_key":                           "want a key unless it is only asked for",
	"services_kind":                             "want http, tls, tcp or udp",
	"services_hostname":                         "of http and tls services only",
	"services_ports":                            "want 1 to 1000 ports of a tcp or udp service, from 1 to 65535",
	"services_allow":                            "want networks",
	"services_proxy_protocol":                   "want 0, or 1 or 2 of a tcp or tls service",
	"services_terminate":                        "of tls services only",
	"services_delivery":                         "of http services only",
	"services_maintenance":                      "of http services only",
	"policies_document":                         "want an object",
	"share_links_title":                         "want 255 characters at most",
	"share_links_max_uses":                      "want 0 or more",
	"targets_address":                           "want an IP address or a canonical hostname",
	"targets_port":                              "want 1 to 65535",
	"targets_path_prefix":                       "want / or a path like /a/b",
	"targets_weight":                            "want 1 to 1000",
	"targets_health_check":                      "want an object",
	"targets_scheme":                            "want http, https or h2c",
	"targets_authorities":                       "want 65536 characters at most",
	"certificates_names":                        "want canonical hostnames, at least one",
	"authorities_kind":                          "want identity or web",
	"join_tokens_subject":                       "want exactly one of node and connector",
	"challenges_type":                           "want dns-01, http-01 or tls-alpn-01",
	"challenges_name":                           "want 237 characters at most: _acme-challenge.<name> is a name as well",
	"challenges_token":                          "want 1 to 128 characters of base64url",
	"challenges_value":                          "want a SHA-256 digest as base64url, of http-01 behind the token and a dot",
	"challenges_owned":                          "in no domain of this organization",
	"ticket_keys_state":                         "want opens, seals or retired",
	"issuers_directory_url":                     "want an https URL",
	"issuers_name":                              "internal is the cluster's own, which has no directory",
	"issuers_rank":                              "want 0 to 1000",
	"issuers_eab_key":                           "goes with a key id",
	"managed_certificates_names":                "want canonical hostnames, at least one",
	"managed_certificates_key_type":             "want ecdsa or rsa",
	"identity_providers_issuer":                 "want an https URL",
	"user_passkeys_name":                        "want 1 to 100 characters, without control characters",
	"organization_security_max_session_seconds": "want 0, or 300 to 604800",
	"certificates_uploaded":                     "are ordered by nobody",
	"users_email":                               "want name@domain, in lower case",
	"users_name":                                "want 100 characters at most, none of them a control character",
	"roles_scope":                               "want organization or cluster",
	"roles_permissions":                         "want a list of permissions",
	"api_keys_owner":                            "want one at most of user and service account, which is of an organization",
	"api_keys_permissions":                      "want a list of permissions",
	"api_keys_allow":                            "want networks",
	"webhooks_url":                              "want an https URL",
	"webhooks_events":                           "want types of event",
	"access_keys_state":                         "want next, current or retired",
	"access_keys_public_key":                    "want 32 bytes",
	"access_revocations_what":                   "want a session or a subject",
	"settings_sign_in_url":                      "want https://host, without a path",
}

func retryable(err error) bool {
	return hasCode(err, serializationFailed, deadlockDetected, sealedRetired)
}

func hasCode(err error, codes ...string) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains(codes, pe.Code)
}

// classify makes a fault of a database error. what names operation and object: "create site".
func classify(err error, what string) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return missing(what)
	}
	pe, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		switch {
		case errors.Is(err, context.Canceled):
			return err
		case unanswered(err):
			return &fault.Error{Kind: fault.Unavailable, Msg: what + ": the database does not answer", Err: err}
		}
		return &fault.Error{Kind: fault.Internal, Msg: what, Err: err}
	}
	switch pe.Code {
	case uniqueViolation:
		msg := "already taken"
		switch pe.ConstraintName {
		case "domains_apart":
			msg = "within, or above, a domain of another organization"
		case "services_ports":
			msg = "overlap those of another service in this pool"
		}
		return &fault.Error{Kind: fault.Conflict, Field: field(pe.ConstraintName), Msg: msg, Err: err}
	case foreignKeyViolation:
		return dangling(pe, what)
	case checkViolation:
		return unchecked(pe)
	case notNullViolation:
		return &fault.Error{Kind: fault.Invalid, Field: pe.ColumnName, Msg: "missing", Err: err}
	case invalidText, valueTooLong, untranslatable, untranslatableJSON:
		return &fault.Error{Kind: fault.Invalid, Msg: "malformed value", Err: err}
	case sealedRetired:
		return &fault.Error{Kind: fault.Unavailable, Msg: what + ": the key that seals it has just been replaced", Err: err}
	case serializationFailed, deadlockDetected, lockNotAvailable:
		return &fault.Error{Kind: fault.Unavailable, Msg: what + ": lost against other writers", Err: err}
	}
	switch pe.Code[:2] {
	case "08", "53", "57": // connection, resources, operator intervention
		return &fault.Error{Kind: fault.Unavailable, Msg: what + ": the database is not available", Err: err}
	case "25": // read-only after a failover
		return &fault.Error{Kind: fault.Unavailable, Msg: what + ": the database is read-only", Err: err}
	}
	return &fault.Error{Kind: fault.Internal, Msg: what, Err: err}
}

// unanswered reports whether an error comes from the way to the database: it may work later.
func unanswered(err error) bool {
	for _, e := range []error{context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	_, ok := errors.AsType[net.Error](err)
	return ok || pgconn.SafeToRetry(err)
}

// dangling tells the two sides of a foreign key apart by the table that holds the reference. The message
// would say it too, in the language of the server.
func dangling(pe *pgconn.PgError, what string) error {
	written := strings.ToLower(strings.ReplaceAll(object(what), " ", "_")) + "s"
	if pe.TableName == written {
		return &fault.Error{Kind: fault.Invalid, Field: field(pe.ConstraintName), Msg: "does not exist", Err: pe}
	}
	return &fault.Error{Kind: fault.Conflict, Msg: object(what) + " is still used by " + strings.ReplaceAll(pe.TableName, "_", " "), Err: pe}
}

// unchecked explains a violated CHECK: "targets_port_check" is about port, one of a type about its field.
func unchecked(pe *pgconn.PgError) error {
	name := strings.TrimSuffix(pe.ConstraintName, "_check")
	f := strings.TrimPrefix(name, pe.TableName+"_")
	if other, ok := fields[name]; ok {
		f = other
	}
	if pe.DataTypeName != "" {
		name, f = pe.DataTypeName, types[pe.DataTypeName]
	}
	msg, ok := wants[name]
	if !ok {
		msg = "not allowed"
	}
	return &fault.Error{Kind: fault.Invalid, Field: f, Msg: msg, Err: pe}
}

// affected turns the row count of an update or delete into a fault.
func affected(n int64, err error, what string) error {
	if err != nil {
		return classify(err, what)
	}
	if n == 0 {
		return missing(what)
	}
	return nil
}

func missing(what string) error { return fault.New(fault.NotFound, "no such %s", object(what)) }

// object cuts the operation off: "create API key" is about an API key.
func object(what string) string {
	if op, rest, ok := strings.Cut(what, " "); ok && slices.Contains([]string{"create", "update", "delete"}, op) {
		return rest
	}
	return what
}

package cli

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// completionTime bounds what a shell waits for names.
const completionTime = 2 * time.Second

// completeKinds completes the names of kinds.
func completeKinds(toComplete string, which func(*kind) bool) (out []string) {
	for _, k := range kinds {
		if which(k) && strings.HasPrefix(k.plural, toComplete) {
			out = append(out, k.plural)
		}
	}
	return out
}

func completeWritableKinds(_ *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	return completeKinds(toComplete, (*kind).writable), cobra.ShellCompDirectiveNoFileComp
}

// completeObjects completes a kind, then the name of an object: it asks the control plane, for a moment.
func (a *app) completeObjects(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return completeKinds(toComplete, func(*kind) bool { return true }), cobra.ShellCompDirectiveNoFileComp
	}
	k, err := findKind(args[0])
	if err != nil || len(args) > 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeNames(cmd, k.plural, toComplete), cobra.ShellCompDirectiveNoFileComp
}

// completeNames are the names of objects of a kind that begin so, none where the control plane does not say in time.
func (a *app) completeNames(cmd *cobra.Command, plural, toComplete string) (out []string) {
	k, err := findKind(plural)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	s, err := a.connect()
	if err != nil {
		return nil
	}
	items, err := s.of(k).List(ctx, typed.Listing{})
	if err != nil {
		return nil
	}
	for _, o := range items {
		var id struct {
			ID, Name string
			Names    []string
		}
		if json.Unmarshal(o, &id) != nil {
			continue
		}
		name := firstOf(append(append([]string{id.Name}, id.Names...), id.ID)...)
		if strings.HasPrefix(name, toComplete) {
			out = append(out, name)
		}
	}
	return out
}

// argumentKinds says of what kinds the arguments of commands are, one after the other; "" is nothing that is known.
var argumentKinds = map[string][]string{
	"warren alert ack": {"alert-rules"}, "warren alert silence": {"alert-rules"}, "warren alert deliveries": {"alert-rules"},
	"warren cert configure": {"managed-certificates"}, "warren cert describe": {"managed-certificates"}, "warren cert renew": {"managed-certificates"},
	"warren cert revoke": {"managed-certificates"}, "warren domain check": {"domains"}, "warren domain prove": {"domains"},
	"warren group delete": {"groups"}, "warren group get": {"groups"}, "warren key delete": {"api-keys"}, "warren member delete": {"members"}, "warren member get": {"members"},
	"warren issuer budget": {"issuers"}, "warren issuer resume": {"issuers"}, "warren issuer rollover": {"issuers"}, "warren issuer suspend": {"issuers"},
	"warren node activate": {"nodes"}, "warren node config": {"nodes"}, "warren node drain": {"nodes"}, "warren node join": {"nodes"}, "warren node revoke": {"nodes"}, "warren node status": {"nodes"},
	"warren org use": {"organizations"}, "warren ping": {"services"}, "warren role delete": {"roles"}, "warren role get": {"roles"}, "warren snapshot": {"nodes"},
	"warren policy link create": {"policies"}, "warren policy link list": {"policies"}, "warren policy link revoke": {"policies"},
	"warren policy token create": {"policies"}, "warren policy token list": {"policies"}, "warren policy token revoke": {"policies"},
	"warren site join": {"sites", "connectors"}, "warren site revoke": {"connectors"}, "warren site wireguard": {"sites"},
	"warren user delete": {"users"}, "warren user get": {"users"}, "warren user reset-password": {"users"}, "warren user sign-out": {"users"},
	"warren webhook describe": {"webhooks"}, "warren webhook rotate-secret": {"webhooks"}, "warren webhook test": {"webhooks"},
}

// flagKinds says of what kind the values of flags are, wherever they are; flagWords what words others take.
var (
	flagKinds = map[string]string{
		"pool": "pools", "region": "regions", "site": "sites", "service": "services", "policy": "policies", "node": "nodes", "nodes": "nodes", "issuer": "issuers",
		"org": "organizations", "organization": "organizations", "service-account": "service-accounts", "users": "users", "roles": "roles", "domain": "domains",
		"sso": "groups", "group": "groups", "cluster-role": "cluster-roles",
	}
	flagWords = map[string][]string{
		"output": formats, "carrier": {"auto", "stream", "wireguard"}, "scheme": {"http", "https", "h2c"}, "health-check-kind": {"tcp", "http"}, "dry-run": {"server"},
		"export": {"csv", "ndjson"}, "decision": {"allowed", "denied", "refused", "answered", "sign_in"}, "keys": {"ecdsa", "rsa"}, "key-type": {"ecdsa", "rsa"},
		"reason": {"unspecified", "keyCompromise", "superseded", "cessationOfOperation"},
		"state":  {"available", "scheduled", "pending", "running", "retryable", "completed", "cancelled", "discarded"},
	}
	kindWords = map[string][]string{ // --kind of what
		"warren create service": {"http", "tls", "tcp", "udp"}, "warren create site": {"connector", "local", "wireguard"}, "warren job list": {"deliver", "alert_mail"},
		"warren create alert-rule":         {"site_down", "service_down", "target_unhealthy", "certificate_due", "error_rate"},
		"warren create cluster-alert-rule": {"node_down", "node_out_of_sync"},
	}
)

// withCompletions has shells complete the arguments and flags of a command and of those below it.
func (a *app) withCompletions(c *cobra.Command) {
	if of := argumentKinds[c.CommandPath()]; of != nil && c.ValidArgsFunction == nil {
		c.ValidArgsFunction = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			if len(args) >= len(of) {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeNames(cmd, of[len(args)], toComplete), cobra.ShellCompDirectiveNoFileComp
		}
	}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		words, plural := flagWords[f.Name], flagKinds[f.Name]
		if f.Name == "kind" {
			words = kindWords[c.CommandPath()]
		}
		switch {
		case f.Name == "context":
			_ = c.RegisterFlagCompletionFunc(f.Name, func(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
				return a.completeContexts(cmd, nil, toComplete)
			})
		case words != nil:
			_ = c.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
		case plural != "":
			_ = c.RegisterFlagCompletionFunc(f.Name, func(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
				done, last := "", toComplete // of a list the last one
				if i := strings.LastIndexByte(toComplete, ','); i >= 0 && strings.HasSuffix(f.Value.Type(), "Slice") {
					done, last = toComplete[:i+1], toComplete[i+1:]
				}
				out := a.completeNames(cmd, plural, last)
				for i := range out {
					out[i] = done + out[i]
				}
				return out, cobra.ShellCompDirectiveNoFileComp
			})
		}
	})
	for _, sub := range c.Commands() {
		a.withCompletions(sub)
	}
}

func (a *app) completeContexts(_ *cobra.Command, args []string, toComplete string) (out []string, _ cobra.ShellCompDirective) {
	path, _ := a.flags.settingsPath()
	f, err := readSettings(path, true)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for name := range f.Contexts {
		if strings.HasPrefix(name, toComplete) {
			out = append(out, name)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

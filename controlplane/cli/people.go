package cli

import (
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// nounCommand has all that is done to objects of a kind in one place: list, get, create, delete.
func (a *app) nounCommand(kindName, short, example string) *cobra.Command {
	k, err := exactKind(kindName)
	if err != nil {
		panic(err) // of a name that is written below
	}
	cmd := &cobra.Command{Use: k.singular(), Short: short}
	create := a.createKind(k)
	create.Use, create.Aliases, create.Example = "create NAME", nil, "  warren "+k.singular()+" create "+example
	name, _, _ := strings.Cut(example, " ")
	cmd.AddCommand(a.listOf(k, ofKind(k)), a.getOf(k, name), create,
		a.removeOf(k.singular(), "delete", name, ofKind(k)))
	return cmd
}

// objectsOf chooses what a command works on.
type objectsOf func(s *session) typed.Objects

func ofKind(k *kind) objectsOf { return func(s *session) typed.Objects { return s.of(k) } }

// ownOf are those of the user who is signed in.
func ownOf(plural string) objectsOf {
	return func(s *session) typed.Objects { return s.api.Objects("me/"+plural, "") }
}

func (a *app) listOf(k *kind, of objectsOf) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Show all " + strings.ReplaceAll(k.plural, "-", " "), Args: cobra.NoArgs, Example: "  warren " + k.short() + " list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			items, err := of(s).List(cmd.Context(), typed.Listing{})
			if err != nil {
				return err
			}
			return a.objects(k, items, false)
		},
	}
}

// short is what a kind is called as a command of its own.
func (k *kind) short() string {
	switch k.name {
	case "APIKey":
		return "key"
	case "Invitation":
		return "invite"
	}
	return k.singular()
}

func (a *app) getOf(k *kind, example string) *cobra.Command {
	return &cobra.Command{
		Use: "get NAME", Short: "Show " + k.one(), Args: cobra.ExactArgs(1), Example: "  warren " + k.short() + " get " + example,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			o, _, err := s.of(k).Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.objects(k, []json.RawMessage{o}, true)
		},
	}
}

// removeOf makes the command that ends something, after a question.
func (a *app) removeOf(noun, verb, example string, of objectsOf) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: verb + " NAME", Short: strings.ToUpper(verb[:1]) + verb[1:] + " a " + noun, Args: cobra.ExactArgs(1), Example: "  warren " + noun + " " + verb + " " + example + " --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm(yes, "%s %s %s?", strings.ToUpper(verb[:1])+verb[1:], noun, args[0]); err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			if _, err := of(s).Delete(cmd.Context(), args[0]); err != nil {
				return err
			}
			a.say("%s %s %sd", noun, args[0], strings.TrimSuffix(verb, "d"))
			return nil
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// peopleCommands are nouns of those who run a cluster.
func (a *app) peopleCommands() []*cobra.Command {
	role := a.nounCommand("Role", "Roles of the organization", "reader --permissions sites:read,services:read")
	role.AddCommand(a.permissions())
	return []*cobra.Command{
		role,
		a.nounCommand("Member", "Members of the organization", "ann@example.org --roles member"),
		a.nounCommand("Group", "Groups of the organization's members", "writers --users ann@example.org"),
		a.inviteCommand(), a.keyCommand(), a.sessionCommand(), a.accountCommand(),
	}
}

// permissions is what roles and keys can permit.
func (a *app) permissions() *cobra.Command {
	return &cobra.Command{
		Use: "permissions", Short: "Show what roles and keys can permit", Args: cobra.NoArgs, Example: "  warren role permissions",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			page, _, err := s.api.ListPermissions(cmd.Context(), typed.ListPermissionsParams{})
			if err != nil {
				return err
			}
			if a.structured() {
				return a.print(page.Items)
			}
			var rows [][]string
			for _, p := range page.Items {
				if a.output == "name" {
					a.line("%s", p.Name)
					continue
				}
				rows = append(rows, []string{p.Name, map[bool]string{true: "an organization", false: "the cluster"}[p.InOrganization]})
			}
			if a.output == "name" {
				return nil
			}
			return a.table([]string{"permission", "given in"}, rows)
		},
	}
}

// invitations are no kind of objects that are made from files: whoever has the link joins.
var invitations = &kind{name: "Invitation", plural: "invitations", org: true, columns: []string{"roles", "expires_at"}, wide: []string{"invited_by"}}

func (a *app) inviteCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "invite", Short: "Invitations to the organization"}
	create := a.inviting("create ADDRESS")
	create.Example = "  warren invite create ann@example.org --roles member"
	cmd.AddCommand(a.listOf(invitations, ofKind(invitations)), create,
		a.removeOf("invite", "revoke", "invitation_01h455vb4pex5vsknk084sn02q", ofKind(invitations)))
	return cmd
}

// keyCommand has API keys: of the cluster, or, with --mine, those of who calls.
func (a *app) keyCommand() *cobra.Command {
	k, err := exactKind("APIKey")
	if err != nil {
		panic(err)
	}
	var mine bool
	of := func(s *session) typed.Objects {
		if mine {
			return ownOf(k.plural)(s)
		}
		return s.of(k)
	}
	cmd := &cobra.Command{Use: "key", Short: "API keys", Long: "API keys: of the cluster and its organizations, or, with --mine, those of the user who is signed in. To make one of those asks for your password: on the terminal, or as a line of standard input."}
	cmd.PersistentFlags().BoolVar(&mine, "mine", false, "keys of the user who is signed in")
	create := &cobra.Command{
		Use: "create NAME", Short: "Make an API key; its secret is shown once", Args: cobra.ExactArgs(1), Example: "  warren key create laptop --mine",
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{"name": args[0]}
			if err := a.read(cmd, k.fields, body); err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			if mine {
				if body["current_password"], err = a.typist().secret(yourPassword); err != nil {
					return err
				}
			}
			o, _, err := of(s).Create(cmd.Context(), body)
			if err != nil {
				return err
			}
			a.say("API key %s created", args[0])
			return a.once(o)
		},
	}
	for _, f := range k.fields {
		f.define(create)
	}
	cmd.AddCommand(a.listOf(k, of), create, a.removeOf("key", "delete", "laptop", of))
	return cmd
}

// ownSessions are where a user is signed in.
var ownSessions = &kind{name: "Session", plural: "sessions", columns: []string{"current", "user_agent", "address", "methods", "seen_at"}, wide: []string{"expires_at", "second_factor_at"}}

func (a *app) sessionCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "session", Short: "Where you are signed in"}
	var others, yes bool
	revoke := &cobra.Command{
		Use: "revoke [ID]", Short: "End one of your sessions, or all but the one that asks", Args: cobra.MaximumNArgs(1), Example: "  warren session revoke --others --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if others == (len(args) == 1) {
				return usagef("give the id of a session, or --others")
			}
			what := "all other sessions"
			if !others {
				what = "session " + args[0]
			}
			if err := a.confirm(yes, "End %s?", what); err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			if others {
				_, err = s.api.DeleteMySessions(cmd.Context())
			} else {
				_, err = s.api.DeleteMySession(cmd.Context(), args[0])
			}
			if err != nil {
				return err
			}
			a.say("%s ended", what)
			return nil
		},
	}
	revoke.Flags().BoolVar(&others, "others", false, "all but the one that asks")
	revoke.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.AddCommand(a.listOf(ownSessions, ownOf("sessions")), revoke)
	return cmd
}

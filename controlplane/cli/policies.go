package cli

import (
	"context"
	"fmt"
	"maps"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// createFromFile makes objects of a kind that flags could not describe.
func (a *app) createFromFile(k *kind) *cobra.Command {
	var w waiting
	var files []string
	cmd := &cobra.Command{
		Use: k.singular() + " -f FILE", Aliases: append([]string{k.plural}, k.aliases...), Short: "Make " + k.one() + " from a file", Args: cobra.NoArgs,
		Long: "Make " + k.one() + " from YAML documents as warren apply reads them; it must not be there yet.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			docs, err := a.readManifests(files)
			if err != nil {
				return err
			}
			for _, d := range docs {
				if d.kind != k {
					return usagef("%s: %s, want %s: warren apply takes all kinds", d.where(), d.Kind, k.name)
				}
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			var last uint64
			for _, d := range docs {
				body := map[string]any{"name": d.Metadata.Name, "labels": orEmpty(d.Metadata.Labels)}
				maps.Copy(body, d.Spec)
				_, made, err := s.in(firstOf(d.Metadata.Organization, s.org), k).Create(cmd.Context(), body)
				if err != nil {
					return fmt.Errorf("%s: %s %s: %w", d.where(), d.Kind, d.Metadata.Name, err)
				}
				last = max(last, made.Revision)
				a.say("%s %s created", k.singular(), d.Metadata.Name)
			}
			return w.after(a, cmd, s, last)
		},
	}
	cmd.Flags().StringSliceVarP(&files, "filename", "f", nil, "`file`, folder of *.yaml files, or - for standard input")
	_ = cmd.MarkFlagRequired("filename")
	w.flags(cmd)
	return cmd
}

// opener is one of the two kinds of secret that open what a policy guards.
type opener struct {
	one, many string // "link", "links"
	what      string // "share link"
	columns   []string
	create    func(ctx context.Context, s *session, policy, named string, ends time.Time, uses uint32) (madeSecret, apiclient.Written, error)
	list      func(ctx context.Context, s *session, policy string) (any, error)
	revoke    func(c typed.Client, ctx context.Context, org, policy, secret string) (apiclient.Written, error)
}

// madeSecret is one that was made.
type madeSecret struct {
	all   any
	words string
	shown string // once
}

var openers = []opener{
	{
		one: "link", many: "links", what: "share link", columns: []string{"id", "title", "expires_at", "max_uses", "uses"},
		create: func(ctx context.Context, s *session, policy, named string, ends time.Time, uses uint32) (madeSecret, apiclient.Written, error) {
			spec := typed.ShareLinkSpec{Title: named, ExpiresAt: ends}
			if most := int32(min(uses, math.MaxInt32)); most > 0 {
				spec.MaxUses = &most
			}
			l, w, err := s.api.CreateShareLink(ctx, s.org, policy, spec)
			return madeSecret{l, "share link " + l.ID + ". This is shown once; put it behind https:// and the hostname of a service:", l.Path}, w, err
		},
		list: func(ctx context.Context, s *session, policy string) (any, error) {
			page, _, err := s.api.ListShareLinks(ctx, s.org, policy)
			return page.Items, err
		},
		revoke: typed.Client.RevokeShareLink,
	},
	{
		one: "token", many: "tokens", what: "service token", columns: []string{"name", "id", "expires_at"},
		create: func(ctx context.Context, s *session, policy, named string, ends time.Time, _ uint32) (madeSecret, apiclient.Written, error) {
			t, w, err := s.api.CreateServiceToken(ctx, s.org, policy, typed.ServiceTokenSpec{Name: named, ExpiresAt: ends})
			return madeSecret{t, "service token " + t.Name + ". This is shown once; send it as Warren-Token-Secret, beside Warren-Token-Id: " + t.ID, t.Secret}, w, err
		},
		list: func(ctx context.Context, s *session, policy string) (any, error) {
			page, _, err := s.api.ListServiceTokens(ctx, s.org, policy)
			return page.Items, err
		},
		revoke: typed.Client.RevokeServiceToken,
	},
}

func (a *app) policyCommand() *cobra.Command {
	policy := &cobra.Command{
		Use: "policy", Short: "Share links and service tokens of policies",
		Long: "Share links and service tokens of policies. Policies themselves are made with warren create policy -f, or warren apply.",
	}
	for _, s := range openers {
		group := &cobra.Command{Use: s.one, Aliases: []string{s.many}, Short: strings.ToUpper(s.what[:1]) + s.what[1:] + "s: create, list, revoke"}
		group.AddCommand(a.createSecret(s), a.listSecrets(s), a.revokeSecret(s))
		policy.AddCommand(group)
	}
	return policy
}

func (a *app) createSecret(s opener) *cobra.Command {
	var w waiting
	var life time.Duration
	var uses uint32
	use := "create POLICY NAME"
	args := cobra.ExactArgs(2)
	if s.one == "link" {
		use, args = "create POLICY [TITLE]", cobra.RangeArgs(1, 2)
	}
	cmd := &cobra.Command{
		Use: use, Short: "Make a " + s.what + "; it is shown once", Args: args,
		RunE: func(cmd *cobra.Command, args []string) error {
			if life < 0 {
				return usagef("--expires-in %s is over", life)
			}
			var ends time.Time
			if life > 0 {
				ends = time.Now().Add(life).UTC().Truncate(time.Second)
			}
			conn, err := a.connect()
			if err != nil {
				return err
			}
			made, done, err := s.create(cmd.Context(), conn, args[0], append(args, "")[1], ends, uses)
			if err != nil {
				return err
			}
			if a.structured() {
				err = a.print(made.all)
			} else {
				a.say("%s", made.words)
				_, err = fmt.Fprintln(a.out, made.shown)
			}
			if err != nil {
				return err
			}
			return w.after(a, cmd, conn, done.Revision)
		},
	}
	cmd.Flags().DurationVar(&life, "expires-in", 0, "how long it is good, such as 72h (default: for ever)")
	if s.one == "link" {
		cmd.Flags().Uint32Var(&uses, "max-uses", 0, "how often it can be opened, at all nodes together (default: any number)")
	}
	w.flags(cmd)
	return cmd
}

func (a *app) listSecrets(s opener) *cobra.Command {
	return &cobra.Command{
		Use: "list POLICY", Short: "Show the " + s.what + "s of a policy", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := a.connect()
			if err != nil {
				return err
			}
			list, err := s.list(cmd.Context(), conn, args[0])
			if err != nil {
				return err
			}
			if a.structured() {
				return a.print(list)
			}
			items, err := rawItems(list)
			if err != nil {
				return err
			}
			var rows [][]string
			for _, raw := range items {
				o, err := decoded(raw)
				if err != nil {
					return err
				}
				var row []string
				for _, c := range s.columns {
					row = append(row, cell(o[c]))
				}
				rows = append(rows, row)
			}
			return a.table(append([]string(nil), s.columns...), rows)
		},
	}
}

func (a *app) revokeSecret(s opener) *cobra.Command {
	var w waiting
	var yes bool
	cmd := &cobra.Command{
		Use: "revoke POLICY " + strings.ToUpper(s.one), Short: "End a " + s.what + ", and what was opened with it", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm(yes, "Revoke %s %s, and end what was opened with it?", s.what, args[1]); err != nil {
				return err
			}
			conn, err := a.connect()
			if err != nil {
				return err
			}
			done, err := s.revoke(conn.api, cmd.Context(), conn.org, args[0], args[1])
			if err != nil {
				return err
			}
			a.say("%s %s revoked", s.what, args[1])
			return w.after(a, cmd, conn, done.Revision)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	w.flags(cmd)
	return cmd
}

func (a *app) explainCommand() *cobra.Command {
	var q struct {
		from, as, country, at, mail  string
		asn                          uint32
		roles, groups, with, headers []string
	}
	cmd := &cobra.Command{
		Use: "explain METHOD URL", Short: "Say what nodes would do with a request, and why, without sending it", Args: cobra.ExactArgs(2),
		Long: "Say what nodes would do with a request, and why: service, rule of the policy, decision, targets. Nothing is sent. Exits with 5\n" +
			"when the request would not be allowed.",
		Example: "  warren explain GET https://wiki.example.org/admin --from 198.51.100.7 --as alice@example.org --group ops",
		RunE: func(cmd *cobra.Command, args []string) error {
			p := typed.ExplainParams{
				Method: args[0], URL: args[1], From: q.from, As: q.as, Roles: q.roles, Groups: q.groups, Mail: q.mail, With: q.with,
				Country: q.country, Asn: int64(q.asn), Headers: q.headers,
			}
			if q.at != "" {
				at, err := time.Parse(time.RFC3339, q.at)
				if err != nil {
					return usagef("--at %s: want a time such as 2027-01-31T12:00:00Z", q.at)
				}
				p.At = at
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			e, _, err := s.api.Explain(cmd.Context(), s.org, p)
			if err != nil {
				return err
			}
			if a.structured() {
				err = a.print(e)
			} else {
				err = a.showExplanation(e)
			}
			if err == nil && (e.Decision != "allow" || e.Refused != "") {
				err = errRefused
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.from, "from", "", "`address` of the client")
	f.StringVar(&q.as, "as", "", "`user` who has signed in, by id or mail address")
	f.StringSliceVar(&q.roles, "role", nil, "role of that user")
	f.StringSliceVar(&q.groups, "group", nil, "group of that user")
	f.StringVar(&q.mail, "mail", "", "`address` whose one-time code was given")
	f.StringSliceVar(&q.with, "with", nil, "credential that is shown: pin, password, basic/<user>, certificate, or the id of a share link or service token")
	f.StringVar(&q.country, "country", "", "where the client is, such as CH")
	f.Uint32Var(&q.asn, "asn", 0, "autonomous system of the client")
	f.StringArrayVar(&q.headers, "header", nil, "header field, such as \"X-Probe: 1\"")
	f.StringVar(&q.at, "at", "", "when, such as 2027-01-31T12:00:00Z")
	return cmd
}

func (a *app) showExplanation(e typed.Explained) error {
	rows := [][]string{
		{"service", fmt.Sprintf("%s (%s), by pool %s", e.Service, e.Kind, e.Pool)}, {"path", e.Path}, {"policy", e.Policy},
		{"decision", e.Decision}, {"because", e.Reason}, {"ways in", strings.Join(e.Ways, ", ")}, {"refused", e.Refused},
	}
	for i, t := range e.Targets {
		head := ""
		if i == 0 {
			head = "target"
		}
		text := fmt.Sprintf("%s: %s port %d at %s, weight %d", t.Name, t.Address, t.Port, t.Site, t.Weight)
		if t.Health != "" {
			text += ", " + t.Health
		}
		rows = append(rows, []string{head, text})
	}
	for _, r := range rows {
		if r[1] != "" {
			fmt.Fprintf(a.out, "%-9s %s\n", r[0], r[1])
		}
	}
	return nil
}

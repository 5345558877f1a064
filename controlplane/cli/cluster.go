package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/shared/atomicfile"
)

func (a *app) waitCommand() *cobra.Command {
	var limit time.Duration
	cmd := &cobra.Command{
		Use: "wait [REVISION]", Short: "Wait until every node that a revision concerns has applied it", Args: cobra.MaximumNArgs(1),
		Long: "Wait until every connected node and connector that a revision concerns has applied it; without a revision, the newest one.\n" +
			"Exits with 4 when that takes longer than --timeout.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			var rev uint64
			if len(args) == 1 {
				if rev, err = strconv.ParseUint(args[0], 10, 63); err != nil {
					return usagef("revision %q is no number", args[0])
				}
			} else {
				var st clusterStatus
				if _, err := s.Do(cmd.Context(), http.MethodGet, "/api/v1/status", nil, &st); err != nil {
					return err
				}
				rev = st.Revision
			}
			return a.waitFor(cmd.Context(), s, rev, limit)
		},
	}
	cmd.Flags().DurationVar(&limit, "timeout", time.Minute, "how long to wait")
	return cmd
}

func (a *app) waitFor(ctx context.Context, s *session, rev uint64, limit time.Duration) error {
	begin := time.Now()
	r, err := s.Wait(ctx, rev, limit)
	if err != nil {
		return fmt.Errorf("wait for revision %d: %w", rev, err)
	}
	if len(r.Offline) > 0 {
		a.say("not connected, will follow when they are back: %s", names(r.Offline))
	}
	a.say("revision %d is applied by %d node(s) and connector(s) (%s)", rev, len(r.Applied), seconds(time.Since(begin)))
	if a.structured() {
		return a.print(r)
	}
	return nil
}

func names(rs []apiclient.Reader) string {
	var out []string
	for _, r := range rs {
		out = append(out, r.Kind+" "+firstOf(r.Name, r.ID))
	}
	return strings.Join(out, ", ")
}

func (a *app) snapshotCommand() *cobra.Command {
	return &cobra.Command{
		Use: "snapshot [NODE]", Short: "Show what nodes should hold, and what they do hold", Args: cobra.MaximumNArgs(1),
		Long: "Without a node: all nodes and connectors. With one: each of its resources with the version that is desired, sent, acknowledged\n" +
			"and applied. -o json shows contents, too; private keys appear as fingerprints.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			path := "/debug/snapshots"
			if len(args) == 1 {
				path += "/" + url.PathEscape(args[0])
			}
			var raw json.RawMessage
			if _, err := s.Do(cmd.Context(), http.MethodGet, path, nil, &raw); err != nil {
				return err
			}
			if a.structured() {
				return a.print(raw)
			}
			if len(args) == 0 {
				return a.showSnapshots(raw)
			}
			return a.showSnapshot(raw)
		},
	}
}

func (a *app) showSnapshots(raw json.RawMessage) error {
	var all struct {
		Revision uint64 `json:"revision"`
		Items    []struct {
			Kind    string `json:"kind"`
			ID      string `json:"id"`
			Name    string `json:"name"`
			Status  string `json:"status"`
			Applied uint64 `json:"applied_revision"`
			Replica string `json:"replica"`
		} `json:"items"`
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "revision %d\n\n", all.Revision)
	var rows [][]string
	for _, i := range all.Items {
		rows = append(rows, []string{i.Kind, i.Name, i.Status, strconv.FormatUint(i.Applied, 10), i.Replica, i.ID})
	}
	return a.table([]string{"kind", "name", "status", "applied", "replica", "id"}, rows)
}

// state is a resource in one of its four states.
type state struct {
	Version  string `json:"version"`
	Revision uint64 `json:"revision"`
}

func (s *state) String() string {
	if s == nil || s.Version == "" {
		return ""
	}
	return fmt.Sprintf("%.8s@%d", s.Version, s.Revision)
}

func (a *app) showSnapshot(raw json.RawMessage) error {
	var one struct {
		Kind      string `json:"kind"`
		ID        string `json:"id"`
		Name      string `json:"name"`
		Status    string `json:"status"`
		Omitted   int    `json:"rejected_omitted"`
		Resources []struct {
			Type         string `json:"type"`
			Name         string `json:"name"`
			Status       string `json:"status"`
			Reason       string `json:"reason"`
			Desired      *state `json:"desired"`
			Sent         *state `json:"sent"`
			Acknowledged *state `json:"acknowledged"`
			Applied      *state `json:"applied"`
		} `json:"resources"`
		Presence []struct {
			Type    string `json:"type"`
			Name    string `json:"name"`
			Sent    bool   `json:"sent"`
			Reason  string `json:"reason"`
			Content struct {
				State string `json:"state"`
			} `json:"content"`
		} `json:"presence"`
	}
	if err := json.Unmarshal(raw, &one); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%s %s (%s): %s\n\n", one.Kind, one.Name, one.ID, one.Status)
	if one.Omitted > 0 {
		fmt.Fprintf(a.out, "%d more rejected, not listed\n\n", one.Omitted)
	}
	var rows [][]string
	for _, r := range one.Resources {
		status := r.Status
		if r.Reason != "" {
			status += ": " + r.Reason
		}
		rows = append(rows, []string{r.Type, r.Name, r.Desired.String(), r.Sent.String(), r.Acknowledged.String(), r.Applied.String(), status})
	}
	if err := a.table([]string{"type", "name", "desired", "sent", "acknowledged", "applied", "status"}, rows); err != nil || len(one.Presence) == 0 {
		return err
	}
	rows = nil
	for _, p := range one.Presence {
		_, state, _ := strings.Cut(p.Content.State, "_STATE_") // TARGET_STATE_HEALTHY
		rows = append(rows, []string{p.Type, p.Name, strings.ToLower(state), strconv.FormatBool(p.Sent), p.Reason})
	}
	fmt.Fprintln(a.out)
	return a.table([]string{"type", "name", "now", "sent", "reason"}, rows)
}

func (a *app) nodeCommand() *cobra.Command {
	node := &cobra.Command{Use: "node", Short: "Let nodes join, drain them, revoke them"}
	activate := a.action("activate NODE", "Put a drained node back into DNS answers and assignments", "nodes", "activate", false)
	activate.Aliases = []string{"undrain"}
	drain := a.action("drain NODE", "Take a node out of DNS answers, and sites away from it; it ends when nobody is sent to it any more", "nodes", "drain", false)
	drain.Long = "Take a node out of DNS answers, and sites away from it.\n\n" +
		"The node serves on what reaches it for as long as resolvers may keep its address: the longest time to live of its\n" +
		"pool's names, and a second. Then it gives what is under way ten seconds, and ends with exit code 0. Until it has\n" +
		"ended, warren node activate takes all of it back. Started again it serves what reaches it, but is named only after\n" +
		"warren node activate."
	node.AddCommand(a.nodeJoin(), activate, drain, a.rotateGossipKey(),
		a.action("revoke NODE", "Trust a node no more: its streams end, its tunnels end, it can't come back", "nodes", "revoke", true))
	return node
}

func (a *app) action(use, short, collection, verb string, ask bool) *cobra.Command {
	var w waiting
	var yes bool
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if ask {
				if err := a.confirm(yes, "%s %s?", strings.ToUpper(verb[:1])+verb[1:], args[0]); err != nil {
					return err
				}
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			base := "/api/v1/" + collection
			if collection == "connectors" {
				base = "/api/v1/orgs/" + url.PathEscape(s.org) + "/" + collection
			}
			done, err := s.Do(cmd.Context(), http.MethodPost, base+"/"+url.PathEscape(args[0])+"/"+verb, nil, nil)
			if err != nil {
				return err
			}
			a.say("%s %s: %s", strings.TrimSuffix(collection, "s"), args[0], verb)
			return w.after(a, cmd, s, done.Revision)
		},
	}
	if ask {
		cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	}
	w.flags(cmd)
	return cmd
}

func (a *app) nodeJoin() *cobra.Command {
	var pool, region, file string
	cmd := &cobra.Command{
		Use: "join NODE", Short: "Make a token with which a machine becomes this node, once, within ten minutes", Args: cobra.ExactArgs(1),
		Long: "Make a token with which a machine becomes this node, once, within ten minutes. The node is made if there is none of this name.\n" +
			"On the machine: put the token into a file that only root can read, name it as token_file, start warren-node.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			body := map[string]any{"name": args[0], "pool": pool}
			if region != "" {
				body["region"] = region
			}
			_, err = s.Do(cmd.Context(), http.MethodPost, "/api/v1/nodes", body, nil)
			if apiclient.StatusOf(err) == http.StatusConflict {
				if !cmd.Flags().Changed("pool") {
					pool = ""
				}
				err = standsThere(cmd.Context(), s, args[0], pool, region)
			}
			if err != nil {
				return err
			}
			return a.token(cmd.Context(), s, map[string]string{"node": args[0]}, file)
		},
	}
	cmd.Flags().StringVar(&pool, "pool", "default", "pool that a new node serves")
	cmd.Flags().StringVar(&region, "region", "", "region that a new node stands in")
	cmd.Flags().StringVar(&file, "token-file", "", "write the token to this `file` (mode 0600) instead of standard output")
	return cmd
}

// standsThere refuses a node that is there already and elsewhere than asked for: joining does not move it. An
// empty pool or region was not asked for.
func standsThere(ctx context.Context, s *session, name, pool, region string) error {
	var have struct{ Pool, Region string }
	if _, err := s.Do(ctx, http.MethodGet, "/api/v1/nodes/"+url.PathEscape(name), nil, &have); err != nil {
		return err
	}
	for _, f := range []struct{ field, plural, have, want string }{{"pool", "pools", have.Pool, pool}, {"region", "regions", have.Region, region}} {
		if strings.Contains(f.want, "_") { // an id; answers have names
			var named struct{ Name string }
			if _, err := s.Do(ctx, http.MethodGet, "/api/v1/"+f.plural+"/"+url.PathEscape(f.want), nil, &named); err != nil {
				return err
			}
			f.want = named.Name
		}
		if f.want != "" && f.want != f.have {
			return fmt.Errorf("node %s is in %s %q, not %q: change the node first, or leave --%s out", name, f.field, f.have, f.want, f.field)
		}
	}
	return nil
}

func (a *app) siteCommand() *cobra.Command {
	site := &cobra.Command{Use: "site", Short: "Let connectors join a site, revoke them"}
	var file string
	join := &cobra.Command{
		Use: "join SITE CONNECTOR", Short: "Make a token with which a program becomes this connector, once, within ten minutes", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			k, err := exactKind("Connector")
			if err != nil {
				return err
			}
			_, err = s.Do(cmd.Context(), http.MethodPost, k.path(s.org, ""), map[string]any{"name": args[1], "site": args[0]}, nil)
			if apiclient.StatusOf(err) == http.StatusConflict { // a token for it must not lead to another site
				err = a.standsIn(cmd.Context(), s, k, args[1], args[0])
			}
			if err != nil {
				return err
			}
			return a.token(cmd.Context(), s, map[string]string{"organization": s.org, "connector": args[1]}, file)
		},
	}
	join.Flags().StringVar(&file, "token-file", "", "write the token to this `file` (mode 0600) instead of standard output")
	site.AddCommand(join, a.action("revoke CONNECTOR", "Trust a connector no more: its streams and tunnels end, it can't come back", "connectors", "revoke", true))
	return site
}

// standsIn returns an error unless a connector is one of a site, which may be named by its id.
func (a *app) standsIn(ctx context.Context, s *session, k *kind, connector, site string) error {
	var have struct{ Site string }
	if _, err := s.Do(ctx, http.MethodGet, k.path(s.org, connector), nil, &have); err != nil || have.Site == site {
		return err
	}
	sites, err := exactKind("Site")
	if err != nil {
		return err
	}
	var want struct{ Name string }
	if _, err := s.Do(ctx, http.MethodGet, sites.path(s.org, site), nil, &want); err != nil {
		return err
	}
	if have.Site != want.Name {
		return fmt.Errorf("connector %s stands in site %s, not %s", connector, have.Site, want.Name)
	}
	return nil
}

// token makes a join token and hands it over where only its reader sees it.
func (a *app) token(ctx context.Context, s *session, subject map[string]string, file string) error {
	if fi, err := os.Lstat(file); err == nil && !fi.Mode().IsRegular() {
		return fmt.Errorf("join token: %s is no regular file", file) // a device must not be replaced
	}
	var t struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	if _, err := s.Do(ctx, http.MethodPost, "/api/v1/join-tokens", subject, &t); err != nil {
		return err
	}
	if file == "" {
		a.say("good once, until %s:", t.ExpiresAt.Local().Format(time.TimeOnly))
		_, err := fmt.Fprintln(a.out, t.Token)
		return err
	}
	// A new file in place of an old one, whose mode might let others read.
	if err := atomicfile.Write(file, []byte(t.Token+"\n")); err != nil {
		return fmt.Errorf("join token: %w", err)
	}
	a.say("join token written to %s, good once, until %s", file, t.ExpiresAt.Local().Format(time.TimeOnly))
	return nil
}

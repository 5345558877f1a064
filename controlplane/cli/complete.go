package cli

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

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
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	s, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	items, err := s.of(k).List(ctx, typed.Listing{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, o := range items {
		var id struct{ ID, Name string }
		if json.Unmarshal(o, &id) == nil && strings.HasPrefix(firstOf(id.Name, id.ID), toComplete) {
			out = append(out, firstOf(id.Name, id.ID))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
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

func (a *app) docsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "docs", Short: "Write the reference of all commands"}
	write := func(use, short, example string, fn func(root *cobra.Command, dir string) error) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Example: example, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				dir := filepath.Clean(args[0])
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return err
				}
				root := cmd.Root()
				root.DisableAutoGenTag = true // the same in every build
				return fn(root, dir)
			},
		}
	}
	cmd.AddCommand(
		write("man DIR", "Write manual pages", "  warren docs man /usr/local/share/man/man1", func(root *cobra.Command, dir string) error {
			return doc.GenManTree(root, &doc.GenManHeader{Title: "WARREN", Section: "1", Source: "Warren", Manual: "Warren"}, dir)
		}),
		write("md DIR", "Write Markdown", "  warren docs md docs/cli", doc.GenMarkdownTree),
	)
	return cmd
}

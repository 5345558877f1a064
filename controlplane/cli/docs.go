package cli

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

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

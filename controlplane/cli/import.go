package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/blueprint"
	"github.com/warrenedge/warren/controlplane/yamltext"
)

func (a *app) importCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Make manifests of what another product is told"}
	cmd.AddCommand(a.importPangolin())
	return cmd
}

func (a *app) importPangolin() *cobra.Command {
	var o blueprint.Options
	var strict bool
	cmd := &cobra.Command{
		Use: "pangolin FILE", Short: "Make manifests of a Pangolin blueprint", Args: cobra.ExactArgs(1),
		Long: "Make manifests of a Pangolin blueprint in YAML (\"-\": standard input). They go to standard output, and to standard error what of\n" +
			"the blueprint has no counterpart here: \"left out\", \"changed\" or, where something is needed that it does not hold, \"look at\".\n" +
			"A resource of which a rule or a way in can't be carried over is left out whole: none comes out more open than it was.",
		Example: "  warren import pangolin blueprint.yaml --site home > warren.yaml\n  warren apply -f warren.yaml --wait",
		RunE: func(_ *cobra.Command, args []string) error {
			in := io.NopCloser(a.in)
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				in = f
			}
			defer in.Close()
			b, err := blueprint.Read(in)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			out, notes := blueprint.Convert(b, o)
			for _, m := range out {
				doc, err := yamltext.Marshal(m)
				if err != nil {
					return fmt.Errorf("%s %s: %w", m.Kind, m.Name, err)
				}
				if _, err := fmt.Fprintf(a.out, "---\n%s", doc); err != nil {
					return err
				}
			}
			missing := 0
			for _, n := range notes {
				a.say("%s", n)
				if n.Outcome == blueprint.LeftOut {
					missing++
				}
			}
			if strict && missing > 0 {
				return fmt.Errorf("%s: %d parts are left out", args[0], missing)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&o.Pool, "pool", "default", "`name` of the pool whose nodes serve it all")
	cmd.Flags().StringVar(&o.Site, "site", "", "`name` of the site of targets that name none")
	cmd.Flags().BoolVar(&strict, "strict", false, "fail if anything is left out")
	return cmd
}

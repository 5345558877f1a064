package cli

import (
	"errors"

	"github.com/spf13/cobra"

	manifests "github.com/warrenedge/warren/controlplane/manifest"
)

func (a *app) validateCommand() *cobra.Command {
	var f files
	var server bool
	cmd := &cobra.Command{
		Use: "validate -f FILE", Short: "Check files without applying them", Args: cobra.NoArgs,
		Long: "Check YAML documents by what this program knows of each kind: unknown keys, wrong types and values, each with its line. It needs no\n" +
			"control plane. With --server the control plane judges the rest as well: what they refer to, what is taken, what you may.",
		Example: "  warren validate -f shop/\n  warren validate -f shop/ --server",
		RunE: func(cmd *cobra.Command, _ []string) error {
			docs, err := f.read(a)
			if err != nil {
				return err
			}
			var wrong []error
			for _, d := range docs {
				wrong = append(wrong, d.validate()...)
			}
			if len(wrong) > 0 {
				return errors.Join(wrong...)
			}
			if server {
				s, err := a.connect()
				if err != nil {
					return err
				}
				if _, _, err := f.send(cmd.Context(), s, docs, true); err != nil {
					return err
				}
			}
			a.say("%d documents are valid", len(docs))
			return nil
		},
	}
	f.flags(cmd)
	cmd.Flags().BoolVar(&server, "server", false, "have the control plane judge them as well")
	return cmd
}

// validate is all that is wrong with a document by itself.
func (m *manifest) validate() (wrong []error) {
	list, err := manifests.Validate(m.Kind, m.Spec)
	if err != nil {
		return []error{err}
	}
	for _, w := range list {
		wrong = append(wrong, m.faultf(w.Field, "%s", w.Message))
	}
	return wrong
}

package cli

import (
	"encoding/json"
	"io"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/controlplane/yamltext"
)

func (a *app) diffCommand() *cobra.Command {
	var f files
	cmd := &cobra.Command{
		Use: "diff -f FILE", Short: "Show what an apply would change", Args: cobra.NoArgs,
		Long: "Show what warren apply would change, as a unified diff of YAML: what there is first, secrets left out. The control plane does the\n" +
			"whole apply and takes it back. Exits with 3 if there are differences, with 0 if there are none.",
		Example: "  warren diff -f service.yaml\n  warren export | warren diff -f -",
		RunE: func(cmd *cobra.Command, _ []string) error {
			docs, err := f.read(a)
			if err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			out, _, err := f.send(cmd.Context(), s, docs, true)
			if err != nil {
				return err
			}
			if a.structured() {
				if err := a.print(out); err != nil {
					return err
				}
			} else {
				a.diff(out)
			}
			if differs(out) {
				return errDiffers
			}
			return nil
		},
	}
	f.flags(cmd)
	f.setFlags(cmd)
	return cmd
}

func differs(out typed.Applied) bool {
	for _, o := range out.Objects {
		if o.Changed {
			return true
		}
	}
	return len(out.Removed) > 0
}

// diff shows what changes, object by object.
func (a *app) diff(out typed.Applied) {
	for _, list := range [][]typed.AppliedObject{out.Objects, out.Removed} {
		for _, o := range list {
			if !o.Changed {
				continue
			}
			before, after := yamlOf(o.Before), yamlOf(o.After)
			if before == after {
				a.line("%s %s: a secret differs, which is not shown", o.Kind, o.Name)
				continue
			}
			name := o.Kind + "/" + o.Name
			if o.Organization != "" {
				name = o.Organization + "/" + name
			}
			a.unified(diff.Diff("is/"+name, []byte(before), "will-be/"+name, []byte(after)))
		}
	}
}

// unified shows a unified diff, what goes and what comes in colours of their own.
func (a *app) unified(text []byte) {
	for line := range strings.Lines(string(text)) {
		line, end := strings.TrimSuffix(line, "\n"), "\n"
		switch {
		case strings.HasPrefix(line, "+"):
			line = a.paint(green, line)
		case strings.HasPrefix(line, "-"):
			line = a.paint(red, line)
		case strings.HasPrefix(line, "@@"):
			line = a.paint(cyan, line)
		}
		_, _ = io.WriteString(a.out, line+end)
	}
}

// yamlOf is a manifest as YAML, "" if there is none.
func yamlOf(m *typed.Manifest) string {
	if m == nil {
		return ""
	}
	return manifestOf(*m).text()
}

// text is the manifest as YAML.
func (m *manifest) text() string {
	b, err := json.Marshal(m)
	if err == nil {
		b, err = yamltext.FromJSON(b)
	}
	if err != nil {
		return err.Error()
	}
	return string(b)
}

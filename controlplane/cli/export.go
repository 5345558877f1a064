package cli

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func (a *app) exportCommand() *cobra.Command {
	var to string
	var labels map[string]string
	cmd := &cobra.Command{
		Use: "export [KIND]...", Short: "Write objects as files that make them again", ValidArgsFunction: completeWritableKinds,
		Long: "Write objects as YAML documents that warren apply makes again: all that you may read, or some kinds. Secrets are left out: where the\n" +
			"object is there, applying the file keeps what it has; elsewhere they have to be filled in, and apply names those that are missing.\n\n" +
			"-f FOLDER writes a file for each object, in folders by kind.",
		Example: "  warren export > everything.yaml\n  warren export services targets -l env=prod\n  warren export -f cluster/ && warren diff -f cluster/",
		RunE: func(cmd *cobra.Command, args []string) error {
			q := typed.ExportManifestsParams{Label: selector(labels)}
			for _, arg := range args {
				k, err := findKind(arg)
				if err != nil {
					return err
				}
				q.Kind = append(q.Kind, k.name)
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			docs, err := s.manifests(cmd.Context(), q)
			if err != nil {
				return err
			}
			if a.structured() && a.output == "json" {
				return a.print(docs)
			}
			if to == "" || to == "-" {
				_, err := a.out.Write(join(docs))
				return err
			}
			return a.exportTo(to, docs)
		},
	}
	cmd.Flags().StringVarP(&to, "filename", "f", "-", "`folder` to write to, or - for standard output")
	cmd.Flags().StringToStringVarP(&labels, "selector", "l", nil, "only objects that have this label, key=value; of several all")
	return cmd
}

// selector is labels as lists take them.
func selector(labels map[string]string) (out []string) {
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return out
}

// manifests asks for objects as manifests.
func (s *session) manifests(ctx context.Context, q typed.ExportManifestsParams) (docs []*manifest, err error) {
	page, _, err := s.api.ExportManifests(ctx, s.org, q)
	for _, m := range page.Items {
		docs = append(docs, manifestOf(m))
	}
	return docs, err
}

// join writes documents one after the other.
func join(docs []*manifest) []byte {
	var b bytes.Buffer
	for i, d := range docs {
		if i > 0 {
			b.WriteString("---\n")
		}
		b.WriteString(d.noted())
	}
	return b.Bytes()
}

// noted is the manifest as YAML, with what it leaves out.
func (m *manifest) noted() string {
	var b strings.Builder
	for _, field := range leftOut(m) {
		fmt.Fprintf(&b, "# %s: not shown; what there is stays while the file does not say it\n", field)
	}
	return b.String() + m.text()
}

// leftOut names the secrets that the object has, as far as what is shown of it tells.
func leftOut(m *manifest) (fields []string) {
	auth, _ := m.Spec["auth"].(map[string]any)
	eab, _ := m.Spec["eab"].(map[string]any)
	switch {
	case m.Kind == "Policy":
		for _, f := range [][2]string{{"pin", "code"}, {"password", "secret"}} {
			if _, there := auth[f[0]]; there {
				fields = append(fields, "spec.auth."+f[0]+"."+f[1])
			}
		}
		if basic, _ := auth["basic"].([]any); len(basic) > 0 {
			fields = append(fields, "spec.auth.basic[].password")
		}
	case m.Kind == "Issuer" && eab != nil:
		fields = append(fields, "spec.eab.hmac_key")
	case m.Kind == "IdentityProvider" || m.Kind == "ClusterIdentityProvider":
		fields = append(fields, "spec.client_secret")
	}
	return fields
}

// exportTo writes a file for each object: services/wiki.yaml.
func (a *app) exportTo(dir string, docs []*manifest) error {
	for _, d := range docs {
		k, err := exactKind(d.Kind)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, k.plural, url.PathEscape(d.Metadata.Name)+".yaml")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(d.noted()), 0o644); err != nil {
			return err
		}
	}
	a.say("%d objects written to %s", len(docs), dir)
	return nil
}

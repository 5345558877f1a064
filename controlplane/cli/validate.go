package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	apirest "github.com/warrenedge/warren/api/rest"
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

// schemas is what the specs of each kind may hold.
type schemas struct {
	registry huma.Registry
	kinds    map[string]*huma.Schema
}

// knownSchemas reads what was built into this program.
var knownSchemas = sync.OnceValues(func() (*schemas, error) {
	var doc struct {
		Kinds []struct {
			Name         string       `yaml:"name"`
			Organization bool         `yaml:"organization"`
			Schema       *huma.Schema `yaml:"schema"`
		} `yaml:"kinds"`
		Parts map[string]*huma.Schema `yaml:"parts"`
	}
	if err := yaml.Unmarshal(apirest.Manifests, &doc); err != nil {
		return nil, fmt.Errorf("what this program knows of kinds: %w", err)
	}
	s := &schemas{huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer), map[string]*huma.Schema{}}
	maps.Copy(s.registry.Map(), doc.Parts)
	for _, part := range doc.Parts {
		part.PrecomputeMessages()
	}
	for _, k := range doc.Kinds {
		k.Schema.PrecomputeMessages()
		s.kinds[k.Name] = k.Schema
	}
	return s, nil
})

// validate is all that is wrong with a document by itself.
func (m *manifest) validate() (wrong []error) {
	known, err := knownSchemas()
	if err != nil {
		return []error{err}
	}
	schema := known.kinds[m.Kind]
	if schema == nil {
		return []error{m.faultf("kind", "this program does not know what %s may say", m.Kind)}
	}
	for _, own := range []string{"name", "labels"} {
		if _, there := m.Spec[own]; there {
			return []error{m.faultf("spec."+own, "spec.%s: stands in metadata", own)}
		}
	}
	spec, err := plain(m.Spec)
	if err != nil {
		return []error{m.faultf("spec", "%v", err)}
	}
	path := huma.NewPathBuffer(make([]byte, 0, 128), 0)
	path.Push("spec")
	res := &huma.ValidateResult{}
	huma.Validate(known.registry, schema, path, huma.ModeWriteToServer, spec, res)
	for _, err := range res.Errors {
		at, what := "spec", err.Error()
		if detail, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			at, what = detail.Location, detail.Message
		}
		wrong = append(wrong, m.faultf(strings.TrimPrefix(at, "."), "%s: %s", at, what))
	}
	return wrong
}

// plain is a spec as it comes out of JSON.
func plain(spec map[string]any) (any, error) {
	if spec == nil {
		return map[string]any{}, nil
	}
	b, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var out any
	return out, json.Unmarshal(b, &out)
}

// Package manifest says what is wrong with an object as somebody describes it in YAML, with the line.
package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/goccy/go-yaml"

	apirest "github.com/warrenedge/warren/api/rest"
)

// Wrong is what is wrong with a field of a document.
type Wrong struct{ Field, Message string }

// schemas is what the specs of each kind may hold.
type schemas struct {
	registry huma.Registry
	kinds    map[string]*huma.Schema
}

// known reads what was built into this program.
var known = sync.OnceValues(func() (*schemas, error) {
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

// Validate is all that is wrong with a spec by itself: unknown keys, wrong types and values.
func Validate(kind string, spec map[string]any) ([]Wrong, error) {
	known, err := known()
	if err != nil {
		return nil, err
	}
	schema := known.kinds[kind]
	if schema == nil {
		return []Wrong{{"kind", "this program does not know what " + kind + " may say"}}, nil
	}
	for _, own := range []string{"name", "labels"} {
		if _, there := spec[own]; there {
			return []Wrong{{"spec." + own, "spec." + own + ": stands in metadata"}}, nil
		}
	}
	is, err := plain(spec)
	if err != nil {
		return []Wrong{{"spec", err.Error()}}, nil
	}
	path := huma.NewPathBuffer(make([]byte, 0, 128), 0)
	path.Push("spec")
	res := &huma.ValidateResult{}
	huma.Validate(known.registry, schema, path, huma.ModeWriteToServer, is, res)
	var wrong []Wrong
	for _, err := range res.Errors {
		at, what := "spec", err.Error()
		if detail, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			at, what = detail.Location, detail.Message
		}
		wrong = append(wrong, Wrong{strings.TrimPrefix(at, "."), at + ": " + what})
	}
	return wrong, nil
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

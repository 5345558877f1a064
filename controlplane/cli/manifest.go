package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// apiVersion is what documents start with.
const apiVersion = "warren/v1"

// maxManifest bounds one file.
const maxManifest = 16 << 20

// manifest is one YAML document.
type manifest struct {
	kind  *kind
	name  string
	org   string // "": the session's
	spec  map[string]any
	where string // file and number of the document
}

// parseManifests reads the documents of one file. Unknown keys are refused with line and column; the
// fields of spec are the server's to judge.
func parseManifests(file string, b []byte) ([]manifest, error) {
	if len(b) > maxManifest {
		return nil, fmt.Errorf("%s: larger than %d bytes", file, maxManifest)
	}
	var out []manifest
	d := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict())
	for n := 1; ; n++ {
		var doc struct {
			APIVersion string `yaml:"apiVersion"`
			Kind       string `yaml:"kind"`
			Metadata   struct {
				Name         string `yaml:"name"`
				Organization string `yaml:"organization"`
			} `yaml:"metadata"`
			Spec map[string]any `yaml:"spec"`
		}
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		where := fmt.Sprintf("%s, document %d", file, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %s", where, yaml.FormatError(err, false, true))
		}
		if doc.APIVersion == "" && doc.Kind == "" && doc.Metadata.Name == "" && doc.Spec == nil {
			continue // nothing but comments
		}
		if doc.APIVersion != apiVersion {
			return nil, fmt.Errorf("%s: apiVersion %q, want %q", where, doc.APIVersion, apiVersion)
		}
		k, err := exactKind(doc.Kind)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		if doc.Metadata.Name == "" {
			return nil, fmt.Errorf("%s: metadata.name is missing", where)
		}
		if doc.Metadata.Organization != "" && !k.org {
			return nil, fmt.Errorf("%s: metadata.organization: %s belongs to no organization", where, k.one())
		}
		if doc.Spec == nil {
			doc.Spec = map[string]any{}
		}
		out = append(out, manifest{kind: k, name: doc.Metadata.Name, org: doc.Metadata.Organization, spec: doc.Spec, where: where})
	}
}

// exactKind finds a kind by its name in YAML.
func exactKind(name string) (*kind, error) {
	var names []string
	for _, k := range kinds {
		if !k.writable() {
			continue
		}
		if k.name == name {
			return k, nil
		}
		names = append(names, k.name)
	}
	return nil, fmt.Errorf("kind %q; there are %s", name, strings.Join(names, ", "))
}

// sortManifests puts what others refer to first and refuses an object that is described twice.
func sortManifests(docs []manifest) ([]manifest, error) {
	seen := map[string]string{}
	for _, d := range docs {
		id := d.kind.path(d.org, d.name)
		if first, ok := seen[id]; ok {
			return nil, fmt.Errorf("%s: %s %s is described in %s already", d.where, d.kind.name, d.name, first)
		}
		seen[id] = d.where
	}
	slices.SortStableFunc(docs, func(a, b manifest) int { return a.kind.rank - b.kind.rank })
	return docs, nil
}

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	manifests "github.com/warrenedge/warren/controlplane/manifest"
)

// apiVersion is what documents start with.
const apiVersion = "warren/v1"

// maxManifest bounds one file.
const maxManifest = 16 << 20

// manifest is one YAML document.
type manifest struct {
	APIVersion string         `json:"apiVersion" yaml:"apiVersion"`
	Kind       string         `json:"kind" yaml:"kind"`
	Metadata   manifestMeta   `json:"metadata" yaml:"metadata"`
	Spec       map[string]any `json:"spec,omitempty" yaml:"spec,omitempty"`

	kind *kind
	in   *manifestFile
	n    int // place among the documents of the file, from 1
}

type manifestMeta struct {
	Name         string            `json:"name" yaml:"name"`
	Organization string            `json:"organization,omitempty" yaml:"organization,omitempty"`
	Labels       map[string]string `json:"labels,omitempty" yaml:"labels,omitempty"`
}

// typed is the manifest as the API takes it.
func (m *manifest) typed() typed.Manifest {
	return typed.Manifest{APIVersion: m.APIVersion, Kind: m.Kind, Metadata: typed.ManifestMeta{Name: m.Metadata.Name, Organization: m.Metadata.Organization, Labels: m.Metadata.Labels}, Spec: m.Spec}
}

// manifestOf is what the API has given as a manifest.
func manifestOf(m typed.Manifest) *manifest {
	return &manifest{APIVersion: m.APIVersion, Kind: m.Kind, Metadata: manifestMeta{m.Metadata.Name, m.Metadata.Organization, m.Metadata.Labels}, Spec: m.Spec}
}

// manifestFile is where documents stand, for who looks for a mistake.
type manifestFile struct {
	name string
	text []byte
}

func (m *manifest) where() string { return fmt.Sprintf("%s, document %d", m.in.name, m.n) }

// parseManifests reads the documents of one file. Unknown keys are refused with line and column; the
// fields of spec are judged by whoever knows the kind.
func parseManifests(file string, b []byte) ([]*manifest, error) {
	if len(b) > maxManifest {
		return nil, fmt.Errorf("%s: larger than %d bytes", file, maxManifest)
	}
	in := &manifestFile{file, b}
	var out []*manifest
	d := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict())
	for n := 1; ; n++ {
		m := &manifest{in: in, n: n}
		err := d.Decode(m)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s", m.where(), yaml.FormatError(err, false, true))
		}
		if m.APIVersion == "" && m.Kind == "" && m.Metadata.Name == "" && m.Spec == nil {
			continue // nothing but comments
		}
		if err := m.check(); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
}

func (m *manifest) check() (err error) {
	if m.APIVersion != apiVersion {
		return m.faultf("apiVersion", "apiVersion %q, want %q", m.APIVersion, apiVersion)
	}
	if m.kind, err = exactKind(m.Kind); err != nil {
		return m.faultf("kind", "%v", err)
	}
	if m.Metadata.Name == "" {
		return m.faultf("metadata", "metadata.name is missing")
	}
	if m.Metadata.Organization != "" && !m.kind.org {
		return m.faultf("metadata.organization", "metadata.organization: %s belongs to no organization", m.kind.one())
	}
	return nil
}

// faultf is what is wrong with a field of a document, with its line and column.
func (m *manifest) faultf(field, format string, args ...any) error {
	line, column := manifests.Position(m.in.text, m.n, field)
	return fmt.Errorf("%s: [%d:%d] %s", m.where(), line, column, fmt.Sprintf(format, args...))
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

// readManifests reads all documents of all files, those in folders too, and refuses an object that is described twice.
func (a *app) readManifests(files []string) ([]*manifest, error) {
	var docs []*manifest
	add := func(name string, b []byte, err error) error {
		if err != nil {
			return err
		}
		d, err := parseManifests(name, b)
		docs = append(docs, d...)
		return err
	}
	for _, f := range files {
		if f == "-" {
			b, err := io.ReadAll(io.LimitReader(a.in, maxManifest+1))
			if err := add("standard input", b, err); err != nil {
				return nil, err
			}
			continue
		}
		paths, err := manifestPaths(f)
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err := add(p, b, err); err != nil {
				return nil, err
			}
		}
	}
	seen := map[string]string{}
	for _, d := range docs {
		id := strings.Join([]string{d.Kind, d.Metadata.Organization, d.Metadata.Name}, "/")
		if first, ok := seen[id]; ok {
			return nil, d.faultf("metadata.name", "%s %s is described in %s already", d.Kind, d.Metadata.Name, first)
		}
		seen[id] = d.where()
	}
	return docs, nil
}

// manifestPaths is a file, or the *.yaml and *.yml files of a folder and those below it.
func manifestPaths(f string) (paths []string, err error) {
	if fi, err := os.Stat(f); err != nil || !fi.IsDir() {
		return []string{f}, err
	}
	err = filepath.WalkDir(f, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.HasSuffix(path, ".yaml") || strings.HasSuffix(path, ".yml")) {
			paths = append(paths, path)
		}
		return err
	})
	return paths, err
}

package blueprint

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Options are what a blueprint does not say.
type Options struct {
	Pool string // whose nodes serve
	Site string // of targets and private networks that name none
}

// Manifest is an object as warren apply reads it.
type Manifest struct {
	Kind, Name string
	Spec       map[string]any
}

// MarshalYAML gives the document.
func (m Manifest) MarshalYAML() (any, error) {
	return yaml.MapSlice{
		{Key: "apiVersion", Value: "warren/v1"}, {Key: "kind", Value: m.Kind}, {Key: "metadata", Value: map[string]any{"name": m.Name}}, {Key: "spec", Value: m.Spec},
	}, nil
}

// Outcome is what became of a part that has no counterpart.
type Outcome string

// Outcomes.
const (
	LeftOut Outcome = "left out" // there is no such object
	Changed Outcome = "changed"  // it is there, and differs
	Look    Outcome = "look at"  // it is there, and needs something that a blueprint does not hold
)

// Note is a line of the report.
type Note struct {
	Where   string // path in the blueprint
	Outcome Outcome
	Why     string
}

func (n Note) String() string { return fmt.Sprintf("%-8s  %s: %s", n.Outcome, n.Where, n.Why) }

// converter makes manifests and notes.
type converter struct {
	Options
	out   []Manifest
	notes []Note
	names map[string]string // taken names, by kind and name, with where they came from
}

func (c *converter) note(where string, o Outcome, format string, args ...any) {
	c.notes = append(c.notes, Note{where, o, fmt.Sprintf(format, args...)})
}

// Convert makes manifests of a blueprint, in the order in which they can be applied, and the report.
func Convert(b *Blueprint, o Options) ([]Manifest, []Note) {
	c := &converter{Options: o, names: map[string]string{}}
	c.unknown("", b.file)
	for _, key := range slices.Sorted(maps.Keys(b.Sites)) {
		c.site(key, b.Sites[key])
	}
	policies := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(b.Policies)) {
		policies[key] = c.sharedPolicy("public-policies."+key, key, b.Policies[key])
	}
	for _, key := range slices.Sorted(maps.Keys(b.Public)) {
		c.resource("public-resources."+key, key, b.Public[key], policies)
	}
	for section, list := range map[string]map[string]any{"private-resources": b.Private, "client-resources": b.Client} {
		for key := range list {
			c.note(section+"."+key, LeftOut, "Warren publishes services, it has no client of its own for private networks")
		}
	}
	slices.SortStableFunc(c.notes, func(a, b Note) int { return cmp.Compare(a.Where, b.Where) })
	return c.out, c.notes
}

// unknown reports keys of a part that are no fields of it: its last field holds them beside those that are.
func (c *converter) unknown(where string, part any) {
	v := reflect.ValueOf(part)
	known := map[string]bool{}
	for i := range v.NumField() {
		known[v.Type().Field(i).Tag.Get("yaml")] = true
	}
	for key := range v.FieldByName("More").Interface().(map[string]any) {
		if !known[key] {
			c.note(strings.TrimPrefix(where+"."+key, "."), LeftOut, "there is nothing like it")
		}
	}
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// name makes of a key a name that Warren takes, unique of its kind.
func (c *converter) name(kind, where, key string) string {
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(key), "-"), "-")
	if len(name) > 63 {
		name = strings.Trim(name[:63], "-")
	}
	if name == "" {
		name = "imported"
	}
	first := name
	for n := 2; c.names[kind+"/"+name] != ""; n++ {
		tail := fmt.Sprintf("-%d", n)
		name = first[:min(len(first), 63-len(tail))] + tail
	}
	c.names[kind+"/"+name] = where
	return name
}

// siteName is that of a site, which stays the same wherever it is mentioned.
func siteName(key string) string {
	return strings.Trim(notInNames.ReplaceAllString(strings.ToLower(key), "-"), "-")
}

func (c *converter) site(key string, s *site) {
	where := "sites." + key
	if s == nil {
		s = &site{}
	}
	c.unknown(where, *s)
	c.add("Site", siteName(key), map[string]any{"pool": c.Pool})
	c.note(where, Look, "a connector joins it with a token: warren site join %s NAME --token-file FILE", siteName(key))
	if s.Docker != nil && *s.Docker {
		c.note(where+".docker-socket-enabled", LeftOut, "whether a connector reads the engine's socket is said where it runs")
	}
}

func (c *converter) add(kind, name string, spec map[string]any) {
	c.out = append(c.out, Manifest{kind, name, spec})
}

func enabled(b *bool) bool { return b == nil || *b }

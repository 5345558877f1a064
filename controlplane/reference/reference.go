// Package reference reads the API's description for people who look for a call.
package reference

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Operation is one call.
type Operation struct {
	ID, Method, Path, Summary, Tag string
	Permission                     string // that it asks for; "none": of nobody
	Parameters, Body, Answer       []Field
	Status                         int // of the answer when all is well
	Errors                         []int
}

// Field is a parameter, or a field of a body: "auth.basic[].user" is that of each object in a list within an object.
type Field struct {
	Name, Type, Text   string
	Required, ReadOnly bool
}

// Bounds of what is shown of a body: one that is deeper is followed by its type's name alone.
const (
	maxDepth  = 6
	maxFields = 500
)

// Of lists the calls of a description by tag, path and method.
func Of(doc *huma.OpenAPI) []Operation {
	var out []Operation
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		p := doc.Paths[path]
		for _, op := range []*huma.Operation{p.Get, p.Post, p.Put, p.Patch, p.Delete} {
			if op != nil && !op.Hidden {
				out = append(out, read(doc.Components.Schemas, path, op))
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Operation) int { return cmp.Compare(a.Tag, b.Tag) })
	return out
}

func read(all huma.Registry, path string, op *huma.Operation) Operation {
	out := Operation{ID: op.OperationID, Method: op.Method, Path: path, Summary: op.Summary, Status: op.DefaultStatus, Permission: "none"}
	if len(op.Tags) > 0 {
		out.Tag = op.Tags[0]
	}
	if need, ok := op.Extensions["x-warren-permission"].(string); ok {
		out.Permission = need
	}
	for _, p := range op.Parameters {
		if p.In == "path" || p.In == "query" || p.In == "header" {
			out.Parameters = append(out.Parameters, Field{Name: p.Name, Type: p.In + ", " + typeOf(all, p.Schema), Text: words(p.Description, p.Schema), Required: p.Required})
		}
	}
	if op.RequestBody != nil {
		out.Body = fields(all, content(op.RequestBody.Content))
	}
	for text, r := range op.Responses {
		status, err := strconv.Atoi(text)
		switch {
		case err != nil: // "default"
		case status < 300:
			out.Status, out.Answer = status, fields(all, content(r.Content))
		default:
			out.Errors = append(out.Errors, status)
		}
	}
	slices.Sort(out.Errors)
	return out
}

func content(m map[string]*huma.MediaType) *huma.Schema {
	for _, kind := range slices.Sorted(maps.Keys(m)) {
		if m[kind].Schema != nil {
			return m[kind].Schema
		}
	}
	return nil
}

// fields are those of a body, the required ones first, each with those of its parts behind it.
func fields(all huma.Registry, s *huma.Schema) []Field {
	var out []Field
	var add func(prefix string, s *huma.Schema, depth int)
	add = func(prefix string, s *huma.Schema, depth int) {
		s = resolved(all, s)
		if s == nil || depth == maxDepth {
			return
		}
		names := slices.SortedFunc(maps.Keys(s.Properties), func(a, b string) int {
			return cmp.Or(cmp.Compare(rank(s, a), rank(s, b)), cmp.Compare(a, b))
		})
		for _, name := range names {
			p := s.Properties[name]
			if len(out) == maxFields {
				return
			}
			is := resolved(all, p)
			out = append(out, Field{prefix + name, typeOf(all, p), words(cmp.Or(p.Description, is.Description), is), slices.Contains(s.Required, name), is.ReadOnly || p.ReadOnly})
			if inner, suffix := inside(all, is); inner != nil {
				add(prefix+name+suffix, inner, depth+1)
			}
		}
	}
	s = resolved(all, s)
	switch {
	case s == nil:
	case s.Type == huma.TypeArray:
		add("[].", s.Items, 0)
	default:
		add("", s, 0)
	}
	return out
}

func rank(s *huma.Schema, name string) int {
	if slices.Contains(s.Required, name) {
		return 0
	}
	return 1
}

// inside is the object that a field consists of, with what stands between both names.
func inside(all huma.Registry, s *huma.Schema) (*huma.Schema, string) {
	suffix := "."
	if s.Type == huma.TypeArray {
		s, suffix = resolved(all, s.Items), "[]."
	}
	if s == nil || len(s.Properties) == 0 {
		return nil, ""
	}
	return s, suffix
}

func resolved(all huma.Registry, s *huma.Schema) *huma.Schema {
	for s != nil && s.Ref != "" {
		s = all.SchemaFromRef(s.Ref)
	}
	return s
}

// typeOf is what a value is, in words.
func typeOf(all huma.Registry, s *huma.Schema) string {
	s = resolved(all, s)
	switch {
	case s == nil:
		return "anything"
	case s.Type == huma.TypeArray:
		return "list of " + typeOf(all, s.Items)
	case s.Type == huma.TypeObject && len(s.Properties) == 0:
		if of, ok := s.AdditionalProperties.(*huma.Schema); ok {
			return "map of " + typeOf(all, of)
		}
		return "object"
	case s.Format != "":
		return s.Type + " (" + s.Format + ")"
	}
	return cmp.Or(s.Type, "anything")
}

// words are what is said of a value, with its bounds.
func words(text string, s *huma.Schema) string {
	var more []string
	if s != nil {
		if len(s.Enum) > 0 {
			more = append(more, "one of "+list(s.Enum))
		}
		more = append(more, between("", s.Minimum, s.Maximum), between(" characters", number(s.MinLength), number(s.MaxLength)), between(" items", number(s.MinItems), number(s.MaxItems)))
		if s.Pattern != "" {
			more = append(more, "matches "+s.Pattern)
		}
		if s.Default != nil {
			more = append(more, fmt.Sprint("by default ", s.Default))
		}
	}
	more = slices.DeleteFunc(more, func(m string) bool { return m == "" })
	return strings.Join(slices.DeleteFunc([]string{text, strings.Join(more, "; ")}, func(m string) bool { return m == "" }), ". ")
}

func list(values []any) string {
	var out []string
	for _, v := range values {
		out = append(out, fmt.Sprint(v))
	}
	return strings.Join(out, ", ")
}

func number(n *int) *float64 {
	if n == nil {
		return nil
	}
	f := float64(*n)
	return &f
}

// between says which values there can be; "": all.
func between(of string, least, most *float64) string {
	text := func(f *float64) string { return strconv.FormatFloat(*f, 'f', -1, 64) }
	switch {
	case least != nil && most != nil:
		return text(least) + " to " + text(most) + of
	case least != nil:
		return text(least) + " or more" + of
	case most != nil:
		return "at most " + text(most) + of
	}
	return ""
}

package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/manifest"
	"github.com/warrenedge/warren/controlplane/model"
)

// apiVersion is what documents start with.
const apiVersion = "warren/v1"

// document is an object as somebody has written it.
type document struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name         string            `yaml:"name"`
		Organization string            `yaml:"organization"`
		Labels       map[string]string `yaml:"labels"`
	} `yaml:"metadata"`
	Spec map[string]any `yaml:"spec"`

	n int // place in the text, from 1
}

// lineError is what is wrong at a place of a text.
type lineError struct {
	line, column int
	text         string
}

func (e lineError) String() string {
	return fmt.Sprintf("line %d, column %d: %s", e.line, e.column, e.text)
}

// writtenKind is a kind of which objects are written here.
type writtenKind struct {
	name string
	want func(org, name string, raw []byte, w admin.Write) (admin.Wanted, error)
	text func(view any) (string, error) // an object as it is shown, written
}

func writtenAs[M, S, V any](kind string, k *admin.Collection[M, S, V], nameOf func(V) string) writtenKind {
	return writtenKind{
		kind,
		func(org, name string, raw []byte, w admin.Write) (admin.Wanted, error) {
			var s S
			if err := json.Unmarshal(raw, &s); err != nil {
				return admin.Wanted{}, fault.New(fault.Invalid, "%v", err)
			}
			return k.Want(kind, org, name, s, w), nil
		},
		func(view any) (string, error) {
			spec, err := specOf[S](view)
			v, is := view.(V)
			if err != nil || !is {
				return "", errors.Join(err, fmt.Errorf("%T is no %s", view, kind))
			}
			return manifestOf(kind, nameOf(v), spec)
		},
	}
}

// writtenKinds are the kinds that are written as YAML here, in the order in which they are applied.
func (q *Request) writtenKinds() []writtenKind {
	return []writtenKind{
		writtenAs("Policy", q.Admin.Policies, func(v admin.Policy) string { return v.Name }),
		writtenAs("Service", q.Admin.Services, func(v admin.Service) string { return v.Name }),
		writtenAs("Target", q.Admin.Targets, func(v admin.Target) string { return v.Name }),
	}
}

// documents reads a text.
func documents(text string) (out []*document, wrong []lineError) {
	if wrong := bounded(text); wrong != nil {
		return nil, wrong
	}
	d := yaml.NewDecoder(strings.NewReader(text), yaml.Strict())
	for n := 1; ; n++ {
		v := &document{n: n}
		err := d.Decode(v)
		switch {
		case errors.Is(err, io.EOF):
			return out, wrong
		case err != nil:
			at, said := 1, strings.TrimSpace(err.Error())
			if ye, ok := errors.AsType[yaml.Error](err); ok {
				if tok := ye.GetToken(); tok != nil && tok.Position != nil {
					return out, append(wrong, lineError{tok.Position.Line, tok.Position.Column, ye.GetMessage()})
				}
			}
			return out, append(wrong, lineError{at, 1, said})
		case n > maxDocuments:
			return out, append(wrong, lineError{1, 1, fmt.Sprintf("more than %d documents: use warren apply", maxDocuments)})
		}
		if v.APIVersion == "" && v.Kind == "" && v.Metadata.Name == "" && v.Spec == nil {
			continue // nothing but comments
		}
		out = append(out, v)
	}
}

// at is what is wrong with a field of a document.
func (d *document) at(text, field, said string) lineError {
	line, column := manifest.Position([]byte(text), d.n, field)
	return lineError{line, column, said}
}

// wanted are the objects that a text describes, in apply order, and which documents they are.
func (q *Request) wanted(text string) (out []admin.Wanted, of []*document, wrong []lineError) {
	docs, wrong := documents(text)
	kinds := q.writtenKinds()
	rank := func(d *document) int {
		return slices.IndexFunc(kinds, func(k writtenKind) bool { return k.name == d.Kind })
	}
	slices.SortStableFunc(docs, func(a, b *document) int { return rank(a) - rank(b) })
	seen := map[[2]string]bool{}
	for _, d := range docs {
		if len(wrong) >= mostWrong {
			break
		}
		id := [2]string{d.Kind, d.Metadata.Name}
		switch org := d.Metadata.Organization; {
		case d.APIVersion != apiVersion:
			wrong = append(wrong, d.at(text, "apiVersion", fmt.Sprintf("apiVersion %q, want %q", d.APIVersion, apiVersion)))
			continue
		case rank(d) < 0:
			wrong = append(wrong, d.at(text, "kind", fmt.Sprintf("kind %q: here one writes Policy, Service and Target; others with warren apply", d.Kind)))
			continue
		case d.Metadata.Name == "":
			wrong = append(wrong, d.at(text, "metadata", "metadata.name is missing"))
			continue
		case org != "" && org != q.Org.Name && org != q.Org.ID.String():
			wrong = append(wrong, d.at(text, "metadata.organization", "this page writes in "+q.Org.Name))
			continue
		case seen[id]:
			wrong = append(wrong, d.at(text, "metadata.name", d.Kind+" "+d.Metadata.Name+" is described twice"))
			continue
		}
		seen[id] = true
		bad, err := manifest.Validate(d.Kind, d.Spec)
		if err != nil {
			bad = append(bad, manifest.Wrong{Field: "spec", Message: err.Error()})
		}
		for _, w := range bad[:min(len(bad), mostWrong-len(wrong))] {
			wrong = append(wrong, d.at(text, w.Field, w.Message))
		}
		raw, err := json.Marshal(d.Spec)
		var w admin.Wanted
		if err == nil && len(bad) == 0 {
			w, err = kinds[rank(d)].want(q.Org.ID.String(), d.Metadata.Name, raw, d.write())
		}
		if err != nil {
			wrong = append(wrong, d.at(text, "spec", err.Error()))
		}
		out, of = append(out, w), append(of, d)
	}
	if len(docs) == 0 && len(wrong) == 0 {
		wrong = append(wrong, lineError{1, 1, "there is no object in this"})
	}
	return out, of, wrong
}

// write keeps the labels that there are, if the document has none.
func (d *document) write() admin.Write {
	if d.Metadata.Labels == nil {
		return admin.Write{}
	}
	labels := model.Labels(d.Metadata.Labels)
	return admin.Write{Labels: &labels}
}

// applyText makes objects be as a text says, all of them or none. What is wrong is nobody's but the text's fault.
func (q *Request) applyText(ctx context.Context, text string) (done []admin.Outcome, of []*document, rev model.Revision, wrong []lineError, err error) {
	want, of, wrong := q.wanted(text)
	if len(wrong) > 0 {
		return nil, of, 0, wrong, nil
	}
	done, _, rev, err = q.Admin.ApplyWanted(ctx, q.Who, want, admin.Pruning{Org: q.Org.ID.String()})
	we, ok := errors.AsType[*admin.WantedError](err)
	fe, is := errors.AsType[*fault.Error](err)
	if !ok || !is || fe.Kind == fault.Internal || fe.Kind == fault.Unavailable {
		return done, of, rev, nil, err
	}
	field, said := "spec."+fe.Field, fe.Msg
	switch {
	case fe.Field == "":
		field = "metadata.name"
	case fe.Field == "name" || strings.HasPrefix(fe.Field, "labels"):
		field = "metadata." + fe.Field
	}
	if fe.Field != "" {
		said = field + ": " + said
	}
	return nil, of, 0, []lineError{of[we.Index].at(text, field, said)}, nil
}

// manifestOf writes an object as the command line applies it.
func manifestOf(kind, name string, spec any) (string, error) {
	b, err := json.Marshal(spec)
	if err != nil {
		return "", err
	}
	var fields yaml.MapSlice
	if err := yaml.UnmarshalWithOptions(b, &fields, yaml.UseOrderedMap()); err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = yaml.NewEncoder(&out, yaml.Indent(2), yaml.IndentSequence(true)).Encode(yaml.MapSlice{
		{Key: "apiVersion", Value: apiVersion}, {Key: "kind", Value: kind},
		{Key: "metadata", Value: yaml.MapSlice{{Key: "name", Value: name}}}, {Key: "spec", Value: fields},
	})
	return out.String(), err
}

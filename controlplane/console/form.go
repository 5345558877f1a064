package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/warrenedge/warren/controlplane/fault"
)

// Form is what was typed, and what is wrong with it.
type Form struct {
	url.Values
	Wrong []Wrong
}

// Wrong is one thing that is wrong: with a field, or, if that is empty, at all.
type Wrong struct{ Field, Text string }

// formOf is what a request brings, without white space around it.
func formOf(q *Request) Form {
	f := Form{Values: url.Values{}}
	for name, values := range q.PostForm {
		for _, v := range values {
			f.Add(name, strings.TrimSpace(strings.ReplaceAll(v, "\r\n", "\n")))
		}
	}
	return f
}

// filled is a form with these fields, in pairs of name and value.
func filled(pairs ...string) Form {
	f := Form{Values: url.Values{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return f
}

// refuse records why what was typed was not taken, and returns the status of the answer. What is nobody's mistake is
// not a matter of the form: then it is 0.
func (f *Form) refuse(err error) int {
	fe, ok := errors.AsType[*fault.Error](err)
	if !ok || fe.Kind != fault.Invalid && fe.Kind != fault.Conflict {
		return 0
	}
	f.Wrong = append(f.Wrong, Wrong{fe.Field, fe.Msg})
	if fe.Kind == fault.Conflict {
		return http.StatusConflict
	}
	return http.StatusUnprocessableEntity
}

// wrong is what is wrong with a field or a part of it: "allow[2]", "health_check.path".
func (f Form) wrong(name string) string {
	for _, w := range f.Wrong {
		if w.Field == name || strings.HasPrefix(w.Field, name+"[") || strings.HasPrefix(w.Field, name+".") {
			return w.Text
		}
	}
	return ""
}

// lines are the values of a field with one on each line, or with commas between.
func (f Form) lines(name string) []string {
	out := strings.FieldsFunc(f.Get(name), func(r rune) bool { return r == '\n' || r == ',' || r == ' ' })
	if len(out) == 0 {
		return nil
	}
	return out
}

// at is the field of the form that what is wrong with a part of it belongs to.
func (f Form) at(wrong string) string {
	best := ""
	for name := range f.Values {
		if len(name) > len(best) && (wrong == name || strings.HasPrefix(wrong, name+"[") || strings.HasPrefix(wrong, name+".")) {
			best = name
		}
	}
	if best == "" {
		return fieldOf(wrong)
	}
	return best
}

// has reports whether a value of a field was chosen.
func (f Form) has(name, value string) bool { return slices.Contains(f.Values[name], value) }

// Option is one choice of a field.
type Option struct{ Value, Text string }

func options(values ...string) []Option {
	var out []Option
	for _, v := range values {
		out = append(out, Option{v, v})
	}
	return out
}

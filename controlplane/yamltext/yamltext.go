// Package yamltext writes YAML in which every string reads back as that string, whoever reads it: what readers of YAML 1.1 or 1.2
// would take for a number, a truth value, a date or nothing is in quotes.
package yamltext

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Marshal writes a value as goccy/go-yaml does, with its tags of structs.
func Marshal(v any) ([]byte, error) {
	node, err := yaml.ValueToNode(v)
	if err != nil {
		return nil, err
	}
	ast.Walk(quoter{}, node)
	return []byte(node.String() + "\n"), nil
}

// FromJSON writes a document of JSON as YAML, its fields in their order.
func FromJSON(b []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, err := value(d)
	if err != nil {
		return nil, fmt.Errorf("JSON to write as YAML: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("JSON to write as YAML: more than one document")
	}
	return Marshal(v)
}

// value reads one value. Objects become lists of pairs, which keep their order.
func value(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		return number(t)
	case json.Delim:
		if t == '[' {
			return array(d)
		}
		return object(d)
	}
	return t, nil
}

func array(d *json.Decoder) (any, error) {
	out := []any{}
	for d.More() {
		v, err := value(d)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := d.Token()
	return out, err
}

func object(d *json.Decoder) (any, error) {
	out := yaml.MapSlice{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := value(d)
		if err != nil {
			return nil, err
		}
		out = append(out, yaml.MapItem{Key: key, Value: v})
	}
	_, err := d.Token()
	return out, err
}

func number(n json.Number) (any, error) {
	if i, err := n.Int64(); err == nil {
		return i, nil
	}
	var u uint64
	if json.Unmarshal([]byte(n), &u) == nil {
		return u, nil
	}
	return n.Float64()
}

// quoter puts strings of a document into quotes that would not read back as they are.
type quoter struct{}

// Visit implements ast.Visitor.
func (q quoter) Visit(node ast.Node) ast.Visitor {
	switch n := node.(type) {
	case *ast.MappingValueNode:
		if key, ok := n.Key.(*ast.StringNode); ok && strings.Contains(key.Value, "\n") {
			quote(key)
		}
	case *ast.StringNode:
		if !alike(n.Value) {
			quote(n)
		}
	}
	return q
}

// quote has a string printed in quotes. What the encoder has put into quotes already begins with one.
func quote(n *ast.StringNode) {
	if !strings.HasPrefix(n.Value, `"`) {
		n.Token.Type = token.DoubleQuoteType
	}
}

// alike reports whether a string that the encoder would write without quotes reads back as the same string.
func alike(s string) bool {
	return !taken.MatchString(s) && !odd.MatchString(s) && !begins.MatchString(s) && !ends.MatchString(s)
}

var (
	// taken is what is no string without quotes (yaml.org/type of YAML 1.1, and the core schema of 1.2, §10.3.2).
	taken = regexp.MustCompile(`^(?:` + strings.Join([]string{
		`~|(?i:null)|`, // nothing
		`(?i:y|yes|n|no|true|false|on|off)`,
		`[-+]?0b[01_]+|[-+]?0[xX][0-9a-fA-F_]+|[-+]?0[oO]?[0-7_]+`,
		`[-+]?[0-9][0-9_]*`,
		`[-+]?(?:[0-9][0-9_]*)?\.?[0-9_]*(?:[eE][-+]?[0-9]+)?`,
		`[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?`, // to the base of 60
		`[-+]?\.(?i:inf)|\.(?i:nan)`,
		`[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?`,
		`<<|=`,
	}, "|") + `)$`)
	// odd characters can't stand in a document, or count as the end of a line for some readers.
	odd = regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f-\x{9f}\x{2028}\x{2029}\x{feff}]|\t`)
	// begins is what means something else where a string begins: space, an indicator, the end of a document.
	begins = regexp.MustCompile(`^(?:[\s\x{a0}]|[?:-](?:\s|$)|---|\.\.\.)`)
	// ends is what gets lost where a string ends, and several ends of lines.
	ends = regexp.MustCompile(`[ \x{a0}]$|\n\n$|(?m: +$)`)
)

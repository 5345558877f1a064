package manifest

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Position is where a field stands in the n-th document of a text, from 1, or what is around it: "spec.rules[2].action".
func Position(text []byte, n int, field string) (line, column int) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil || len(file.Docs) < n || file.Docs[n-1].Body == nil {
		return 1, 1
	}
	at := file.Docs[n-1].Body
	tok := at.GetToken()
	for rest := strings.ReplaceAll(field, "[", ".["); rest != ""; {
		key, value, left := into(at, rest)
		if value == nil {
			break
		}
		tok, at, rest = key.GetToken(), value, left
	}
	if tok == nil || tok.Position == nil {
		return 1, 1
	}
	return tok.Position.Line, tok.Position.Column
}

// into goes to the field of a node that a path begins with. Keys may have dots in them: the longest that is there counts.
func into(at ast.Node, path string) (key, value ast.Node, rest string) {
	switch at := at.(type) {
	case *ast.MappingNode:
		for _, v := range at.Values {
			k := v.Key.String()
			if r, ok := strings.CutPrefix(path, k); ok && (r == "" || r[0] == '.') && (key == nil || len(r) < len(rest)+1) {
				key, value, rest = v.Key, v.Value, strings.TrimPrefix(r, ".")
			}
		}
	case *ast.MappingValueNode:
		return into(&ast.MappingNode{BaseNode: &ast.BaseNode{}, Values: []*ast.MappingValueNode{at}}, path)
	case *ast.SequenceNode:
		var i int
		if _, err := fmt.Sscanf(path, "[%d]", &i); err == nil && i >= 0 && i < len(at.Values) {
			_, rest, _ = strings.Cut(path, "]")
			return at.Values[i], at.Values[i], strings.TrimPrefix(rest, ".")
		}
	}
	return key, value, rest
}

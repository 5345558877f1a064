package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
)

// fromNames make statements from names of ours: of tables and columns of the schema, of partitions, of settings. None is
// what a caller has said.
var fromNames = []string{"sealed.go", "partitions.go", "changes.go", "traffic.go", "lock.go", "wall.go", "migratequeue.go", "requests.go"}

// T25: a statement is a constant. What it is about goes beside it, as a parameter.
func TestT25StatementsAreConstant(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	looked, made := 0, map[string]bool{}
	for _, e := range files {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 {
				return true
			}
			if s, ok := call.Fun.(*ast.SelectorExpr); !ok || !slices.Contains([]string{"Exec", "Query", "QueryRow"}, s.Sel.Name) {
				return true
			}
			looked++
			if l, ok := call.Args[1].(*ast.BasicLit); ok && l.Kind == token.STRING {
				return true
			}
			if made[e.Name()] = true; !slices.Contains(fromNames, e.Name()) {
				t.Errorf("%s: a statement that is put together: use sqlc, or parameters", set.Position(call.Pos()))
			}
			return true
		})
	}
	if looked < 10 || len(made) == 0 {
		t.Errorf("%d statements: this test looks at nothing", looked)
	}
	for _, name := range fromNames {
		if !made[name] {
			t.Errorf("%s puts no statement together any more: take it off the list", name)
		}
	}
}

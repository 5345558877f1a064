package console

import (
	"fmt"
	"strings"
	"testing"
)

// A text that is short and would take all memory, or the time of everybody, is refused before it is read.
func TestYAMLIsBounded(t *testing.T) {
	laughs := "a: &a [x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'f'; c++ {
		laughs += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", c-1), 8), ", "))
	}
	for name, tc := range map[string]struct{ text, says string }{
		"aliases of aliases":         {"spec: {" + strings.ReplaceAll(strings.TrimSuffix(laughs, "\n"), "\n", ", ") + "}\n", "line 1, column 11: " + noAlias},
		"an anchor":                  {"kind: &a b\n", "line 1, column 7: " + noAlias},
		"an alias behind a mistake":  {"kind: b\nspec: *a\nmetadata: ]\n", "line 2, column 7: " + noAlias},
		"lists in each other":        {"spec: {a: " + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}\n", "nested too deep"},
		"objects in each other":      {"spec: " + strings.Repeat("{a: ", 100) + "b" + strings.Repeat("}", 100) + "\n", "nested too deep"},
		"entries in each other":      {"spec:\n  a:\n  " + strings.Repeat("- ", 100) + "b\n", "nested too deep"},
		"mistake after mistake":      {"spec: b\n" + strings.Repeat("@", shortText), "line 2, column 1: found character"},
		"a long line":                {"kind: " + strings.Repeat("b", maxLine), "line 1, column 1: more than 16 KiB in a line"},
		"blank lines":                {"kind: |\n  b\n" + strings.Repeat(" \n", maxBlank+1), "line 53, column 1: more than 50 blank lines"},
		"many documents":             {strings.Repeat("---\nkind: b\n", maxDocuments+1), "line 401, column 1: more than 200 documents"},
		"a long text":                {strings.Repeat("kind: b\n---\n", maxText/12+1), "more than 128 KiB"},
		"a mistake in a long text":   {strings.Repeat("# comment\n", shortText/10+1) + "kind: [\n", "line 411, column 1: did not find"},
		"a mistake in a short text":  {"kind: [\n", "line 1, column 7: "}, // as the other parser says it
		"a mistake without its line": {strings.Repeat("# comment\n", shortText/10+1) + "kind: \xff\n", "line 1, column 1: invalid"},
	} {
		docs, wrong := documents(tc.text)
		if len(wrong) != 1 || !strings.Contains(wrong[0].String(), tc.says) || len(docs) > 0 {
			t.Errorf("%s: %.200v and %d documents, want %q", name, wrong, len(docs), tc.says)
		}
	}
	whole := strings.Repeat("---\napiVersion: warren/v1\nkind: Policy\nmetadata: {name: staff}\nspec:\n  rules:\n  - action: deny\n    paths: [\"/admin/**\"]\n\n", maxDocuments)
	if docs, wrong := documents(whole); len(docs) != maxDocuments || wrong != nil {
		t.Errorf("%d documents of %d: %v", len(docs), maxDocuments, wrong)
	}
}

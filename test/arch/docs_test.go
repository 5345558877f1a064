package arch

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// A document in which a heading, or the first cell of a table's row, stands twice was merged and not read.
func TestDocumentsSayThingsOnce(t *testing.T) {
	for _, name := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "DECISIONS.md"} {
		b, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		headings, cells, lines := map[string]bool{}, map[string]bool{}, strings.Split(string(b), "\n")
		for i, line := range lines {
			switch {
			case strings.HasPrefix(line, "#"):
				if headings[line] {
					t.Errorf("%s:%d: a second %q", name, i+1, line)
				}
				if headings[line] = true; i > 0 && lines[i-1] != "" && !strings.HasPrefix(lines[i-1], "```") {
					t.Errorf("%s:%d: no empty line before %q", name, i+1, line)
				}
			case !strings.HasPrefix(line, "|"):
				clear(cells)
			default:
				cell, _, _ := strings.Cut(line[1:], "|")
				if cell = strings.TrimSpace(cell); strings.Trim(cell, "-: ") != "" && cells[cell] {
					t.Errorf("%s:%d: a second row %q", name, i+1, cell)
				}
				cells[cell] = true
			}
		}
	}
}

// A decision has its date, its reason, what was left and when it falls, and eight lines at most.
func TestDecisions(t *testing.T) {
	b, err := os.ReadFile("../../DECISIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`(?m)^## `).Split(string(b), -1)[1:]
	if len(all) < 100 {
		t.Fatalf("only %d decisions found", len(all))
	}
	for _, d := range all {
		title, _, _ := strings.Cut(d, "\n")
		for _, field := range []string{"Date", "Choice", "Because", "Instead of", "Revisit when"} {
			if !strings.Contains(d, "\n- "+field+": ") {
				t.Errorf("%q has no line %q", title, field)
			}
		}
		if n := strings.Count(strings.TrimSpace(d), "\n") + 1; n > 8 {
			t.Errorf("%q has %d lines", title, n)
		}
	}
}

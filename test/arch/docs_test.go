package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documents are what the project says in Markdown, by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "deploy/guide/*.md", "test/bench/*.md"} {
		names, err := filepath.Glob("../../" + pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("no document is called %s: %v", pattern, err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all[strings.TrimPrefix(name, "../../")] = string(b)
		}
	}
	return all
}

// A link within the project leads to a file that is there and a heading in it.
func TestDocumentsLinkToWhatIsThere(t *testing.T) {
	all := documents(t)
	for name, text := range all {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			to := name
			if target != "" {
				to = filepath.Join(filepath.Dir(name), target)
			}
			if _, err := os.Stat("../../" + to); err != nil {
				t.Errorf("%s links to %s, which isn't there", name, m[1])
				continue
			}
			if body, ok := all[to]; ok && anchor != "" && !anchors(body)[anchor] {
				t.Errorf("%s links to %s: no such heading", name, m[1])
			}
		}
	}
}

// anchors are what the headings of a document are called in links.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		word := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all[strings.ReplaceAll(word, " ", "-")] = true
	}
	return all
}

// A document in which a heading, or the first cell of a table's row, stands twice was merged and not read.
func TestDocumentsSayThingsOnce(t *testing.T) {
	for name, text := range documents(t) {
		headings, cells, lines := map[string]bool{}, map[string]bool{}, strings.Split(text, "\n")
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

package arch

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/warrenedge/warren/"

type pkg struct {
	ImportPath string
	Name       string
	Dir        string
	Imports    []string
	Deps       []string
}

// list asks the go command once for every package of the module.
func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-tags", "e2e,netns", "-json=ImportPath,Name,Dir,Imports,Deps", "./...")
	cmd.Dir = "../.."
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pkgs []pkg
	for d := json.NewDecoder(out); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(pkgs) < 20 {
		t.Fatalf("only %d packages found: this test looks at nothing", len(pkgs))
	}
	return pkgs
}

// A rule forbids imports. Patterns are regular expressions over paths below the module; an imported path
// of another module is written whole.
type rule struct {
	importer, forbidden string
	deep                bool // through all imports, not only its own
	why                 string
}

var rules = []rule{
	{"dataplane/.*", "controlplane/.*", true, "a node must build and pass its tests without the control plane"},
	{"controlplane/.*", "dataplane/.*", true, "the control plane must build and pass its tests without a node"},
	{"shared/.*", "(controlplane|dataplane)/.*", true, "what both planes use depends on neither"},
	{"shared/.*", "api/.*", true, "shared is below the wire formats"},
	{"api/.*", "(shared|controlplane|dataplane)/.*", true, "contracts hold no logic of ours"},
	{"controlplane/(model|fault)", "api/.*", true, "rows outlive wire formats"},
	{"controlplane/(model|snapshot|access)", "(net/http|database/sql|os/exec|github\\.com/jackc/.*)", false, "the middle is pure: values in, values out"},
	{"dataplane/(?!ads|apply|cmd/|join|publish|redeem|report|tell|uses).*", "api/.*", true, "protobuf stops where the control plane is spoken to"},
	{"controlplane/(?!cli|cmd/|enroll|presence|publish|push|rest|sharelinks|snapshot|traffic|visit).*", "api/(node|enroll)/.*", false, "protobuf stops where nodes are spoken to"},
	{"controlplane/(?!store|localpg|cmd/|feed).*", "github\\.com/jackc/.*", false, "store is the only package that speaks SQL"},
	{"controlplane/.*", "github\\.com/go-acme/lego/v4/(?:certificate|challenge|lego|providers|registration)(?:/.*)?", true, "of lego only acme and acme/api: its workflow has neither context nor memory"},
	{"controlplane/(cli|cmd/warren)", "controlplane/(store|push|snapshot|feed|admin|enroll|presence)(/.*)?", true, "the command line speaks REST like everybody else"},
	{"(controlplane|dataplane)/cmd/.*", "(controlplane|dataplane|shared)/(.*/)?[a-z]+test", true, "test helpers stay out of shipped programs"},
	{"(api|shared|controlplane|dataplane)/.*", "test/.*", true, "tests depend on the product, not the other way round"},
}

func TestImports(t *testing.T) {
	pkgs := list(t)
	for _, r := range rules {
		importer, forbidden, met := compile(t, r.importer), regexp.MustCompile("^(?:"+r.forbidden+")$"), 0
		for _, p := range pkgs {
			from := strings.TrimPrefix(p.ImportPath, module)
			if !importer(from) {
				continue
			}
			met++
			imports := p.Imports
			if r.deep {
				imports = p.Deps
			}
			for _, imp := range imports {
				to := strings.TrimPrefix(imp, module)
				if !forbidden.MatchString(to) || to == from {
					continue
				}
				t.Errorf("%s imports %s: %s", from, to, r.why)
			}
		}
		if met == 0 {
			t.Errorf("no package is %s: the rule says nothing", r.importer)
		}
	}
}

// compile makes a matcher of a rule's importer; RE2 has no look-ahead, so "a/(?!b|c).*" is taken apart.
func compile(t *testing.T, pattern string) func(string) bool {
	t.Helper()
	head, rest, negative := strings.Cut(pattern, "(?!")
	if !negative {
		re := regexp.MustCompile("^(?:" + pattern + ")$")
		return re.MatchString
	}
	not, tail, ok := strings.Cut(rest, ")")
	if !ok {
		t.Fatalf("rule %q", pattern)
	}
	yes, no := regexp.MustCompile("^"+head+tail+"$"), regexp.MustCompile("^"+head+"(?:"+not+")")
	return func(s string) bool { return yes.MatchString(s) && !no.MatchString(s) }
}

var docStart = regexp.MustCompile(`^(Package|Command) \S`)

// Every package says in a comment what it is, by the words that go doc shows first.
func TestPackageComments(t *testing.T) {
	for _, p := range list(t) {
		files, err := filepath.Glob(filepath.Join(p.Dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		found, onlyTests := false, true
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			onlyTests = false
			ast, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			found = found || ast.Doc != nil && docStart.MatchString(ast.Doc.Text())
		}
		if !found && !onlyTests && !strings.HasSuffix(p.ImportPath, "/internal/db") {
			t.Errorf("%s: no package comment that starts with Package or Command", p.ImportPath)
		}
	}
}

// The top level is fixed: a newcomer finds everything below six folders.
func TestTopLevel(t *testing.T) {
	allowed := []string{
		"api", "controlplane", "dataplane", "shared", "deploy", "test", "bin",
		"go.mod", "go.sum", "Makefile", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "DECISIONS.md", "LICENSE", "NOTICE",
	}
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}

var unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b|t\.Skip|\bfor now\b`)

// Unfinished work is an issue, not a comment; a test that is skipped tests nothing.
func TestNothingUnfinished(t *testing.T) {
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); strings.HasPrefix(name, ".") && len(name) > 2 {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".pb.go") || strings.Contains(path, "/test/arch/") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(b), "\n") {
			if m := unfinished.FindString(line); m != "" {
				t.Errorf("%s:%d: %q", strings.TrimPrefix(path, "../../"), i+1, m)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

var mdLink = regexp.MustCompile(`\]\(([^)#:]+)\)`)

// The documents point at files that are there.
func TestDocumentsPointAtFiles(t *testing.T) {
	docs, err := filepath.Glob("../../*.md")
	if err != nil || len(docs) < 4 {
		t.Fatal(docs, err)
	}
	for _, doc := range docs {
		b, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mdLink.FindAllStringSubmatch(string(b), -1) {
			if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
				t.Errorf("%s points at %s: %v", filepath.Base(doc), m[1], err)
			}
		}
	}
}

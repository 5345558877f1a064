package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"mvdan.cc/sh/v3/syntax"

	"github.com/warrenedge/warren/controlplane/cli"
	"github.com/warrenedge/warren/controlplane/config"
)

// A printed is a command line that a document prints, or a part of one that it speaks of.
type printed struct {
	where string
	args  []string // the program first
	whole bool     // can be typed as it stands
}

// Every command that a document or an example prints is there, knows the flags, and takes as many arguments; so are those that
// documents speak of.
func TestDocumentsPrintCommandsThatAreThere(t *testing.T) {
	var all []printed
	for name, text := range documents(t) {
		for _, b := range blocks(text) {
			for i, line := range commandLines(b.text) {
				all = append(all, parsed(t, fmt.Sprintf("%s:%d", name, b.line+i), line, true)...)
			}
		}
		for _, m := range regexp.MustCompile("`(warren(?:-control)? [^`]+)`").FindAllStringSubmatch(text, -1) {
			for _, line := range alternatives(m[1]) {
				all = append(all, parsed(t, name, line, false)...)
			}
		}
	}
	if len(all) < 100 {
		t.Fatalf("only %d commands found: this test looks at nothing", len(all))
	}
	for _, root := range []*cobra.Command{command(), cli.Root(strings.NewReader(""), io.Discard, io.Discard)} {
		everyCommand(root, func(c *cobra.Command) {
			for line := range strings.Lines(c.Example) {
				all = append(all, parsed(t, c.CommandPath()+" --help", line, true)...)
			}
		})
	}
	for _, p := range all {
		if err := p.judge(); err != nil {
			t.Errorf("%s: %s: %v", p.where, strings.Join(p.args, " "), err)
		}
	}
}

// What is wrong with a printed command is found.
func TestPrintedCommandsAreJudged(t *testing.T) {
	for line, wrong := range map[string]bool{
		"warren get services -l env=prod":                   false,
		"warren get servces":                                false, // what kinds there are is asked when it runs
		"warren frob":                                       true,
		"warren node frob n1":                               true,
		"warren node":                                       true,
		"warren node drain":                                 true,
		"warren node drain n1 --frob":                       true,
		"warren node drain n1 --wait=soon":                  true,
		"warren create webhook ops --url https://a.example": false,
		"warren-control new-kek --file kek.json":            false,
		"warren-control new-key":                            true,
		"ls && warren whoami; warren logout | cat":          false,
		`curl -H "Authorization: Bearer $(warren access tokn x)" https://a.example`: true,
	} {
		var err error
		for _, p := range parsed(t, "here", line, true) {
			err = errors.Join(err, p.judge())
		}
		if (err != nil) != wrong {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// Manifests and settings that documents print are such.
func TestDocumentsPrintFilesThatAreTaken(t *testing.T) {
	t.Setenv("WARREN_CONTROL_MAIL_PASSWORD", "as README says")
	manifests, settings := 0, 0
	for name, text := range documents(t) {
		for _, b := range blocks(text) {
			where := fmt.Sprintf("%s:%d", name, b.line)
			switch file := yamlOf(b.text); {
			case strings.HasPrefix(file, "apiVersion: "):
				manifests++
				var errw bytes.Buffer
				if code := cli.Main([]string{"validate", "-f", "-"}, strings.NewReader(file), io.Discard, &errw); code != 0 {
					t.Errorf("%s: %s", where, &errw)
				}
			case strings.HasPrefix(file, "database_url: "):
				settings++
				path := filepath.Join(t.TempDir(), "control.yaml")
				if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
					t.Fatal(err)
				}
				cfg, err := config.Load(path)
				if err == nil {
					err = cfg.Validate()
				}
				if err != nil {
					t.Errorf("%s: %v", where, err)
				}
			}
		}
	}
	if manifests < 3 || settings < 1 {
		t.Fatalf("%d manifests and %d settings found", manifests, settings)
	}
}

// documents are what people are told to type: Markdown, and what files of settings say in comments, by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	const top = "../../../"
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "deploy/guide/*.md", "test/bench/*.md", "deploy/compose/*.yaml", "deploy/systemd/*.yaml"} {
		names, err := filepath.Glob(top + pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("no document is called %s: %v", pattern, err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			text := string(b)
			if filepath.Ext(name) == ".yaml" { // what to type stands in its comments
				text = regexp.MustCompile(`(?m)^# ?`).ReplaceAllString(text, "    ")
			}
			all[strings.TrimPrefix(name, top)] = text
		}
	}
	return all
}

// A block is text to be typed or copied.
type block struct {
	line int // of the document
	text string
}

// blocks are the indented parts of a document, and those in fences.
func blocks(text string) (all []block) {
	var b *block
	fenced := false
	for i, line := range strings.Split(text, "\n") {
		in, fence := strings.HasPrefix(line, "    "), strings.HasPrefix(line, "```")
		switch {
		case fence:
			fenced, b = !fenced, nil
		case !fenced && !in && strings.TrimSpace(line) != "":
			b = nil
		case b == nil && (fenced || in):
			all = append(all, block{line: i + 1})
			b = &all[len(all)-1]
			fallthrough
		case b != nil:
			b.text += line + "\n"
		}
	}
	return all
}

// commandLines are the lines of a block, by their number, that have a command of ours; one that goes on is whole.
func commandLines(text string) map[int]string {
	all := map[int]string{}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		at, line := i, lines[i]
		for strings.HasSuffix(line, "\\") && i+1 < len(lines) {
			i++
			line = strings.TrimSuffix(line, "\\") + lines[i]
		}
		if line = strings.TrimPrefix(strings.TrimSpace(line), "$ "); regexp.MustCompile(`^(?:[(]|[a-zA-Z_]+=\S* |\w.*[;&(|] ?|docker .* )?warren(?:-control)? [a-z-]`).MatchString(line) {
			all[at] = line
		}
	}
	return all
}

// alternatives are the lines that "session list|revoke" stands for.
func alternatives(line string) []string {
	choice := regexp.MustCompile(`[a-z-]+(?:\|[a-z-]+)+`).FindString(line)
	if choice == "" {
		return []string{line}
	}
	var all []string
	for word := range strings.SplitSeq(choice, "|") {
		all = append(all, alternatives(strings.Replace(line, choice, word, 1))...)
	}
	return all
}

// parsed are the calls of our programs in a line of shell.
func parsed(t *testing.T, where, line string, whole bool) (all []printed) {
	t.Helper()
	file, err := syntax.NewParser().Parse(strings.NewReader(line), where)
	if err != nil {
		t.Errorf("%s: %s: %v", where, line, err)
		return nil
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		if c, ok := n.(*syntax.CallExpr); ok {
			var args []string
			for _, w := range c.Args {
				args = append(args, word(w))
			}
			for i, a := range args { // "docker compose exec control warren status"
				if a == "warren" || a == "warren-control" && (i == 0 || args[0] == "docker") {
					all = append(all, printed{where, args[i:], whole})
					break
				}
			}
		}
		return true
	})
	return all
}

// word is what a word of shell says; what only the shell knows is "…".
func word(w *syntax.Word) string {
	if s := w.Lit(); s != "" {
		return s
	}
	var text strings.Builder
	syntax.Walk(w, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Lit:
			text.WriteString(n.Value)
		case *syntax.SglQuoted:
			text.WriteString(n.Value)
		case *syntax.CmdSubst, *syntax.ParamExp:
			text.WriteString("…")
			return false
		}
		return true
	})
	return text.String()
}

// judge says what is wrong with a command without running it.
func (p printed) judge() error {
	root := command()
	if p.args[0] == "warren" {
		root = cli.Root(strings.NewReader(""), io.Discard, io.Discard)
	}
	cmd, rest, err := root.Find(p.args[1:])
	if err != nil {
		return err
	}
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	args := cmd.Flags().Args()
	switch {
	case cmd.HasSubCommands() && len(args) > 0:
		return fmt.Errorf("no command %q", args[0])
	case !p.whole, cmd.Flags().Changed("help"), cmd.Flags().Changed("version"):
		return nil
	case cmd.HasSubCommands() && cmd.HasParent():
		return errors.New("needs a command")
	}
	return errors.Join(cmd.ValidateArgs(args), cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups())
}

// everyCommand goes through a tree.
func everyCommand(c *cobra.Command, yield func(*cobra.Command)) {
	yield(c)
	for _, sub := range c.Commands() {
		everyCommand(sub, yield)
	}
}

// yamlOf is the file that a block shows, without the indentation and what is typed around it.
func yamlOf(text string) string {
	var out strings.Builder
	indent := -1
	for line := range strings.Lines(text) {
		bare := strings.TrimLeft(line, " ")
		if indent < 0 && regexp.MustCompile(`^(apiVersion|database_url): `).MatchString(bare) {
			indent = len(line) - len(bare)
		}
		switch {
		case indent < 0:
		case len(line)-len(bare) < indent && strings.TrimSpace(line) != "", strings.HasPrefix(bare, "$ "):
			return out.String()
		default:
			out.WriteString(line[min(indent, len(line)-len(bare)):])
		}
	}
	return out.String()
}

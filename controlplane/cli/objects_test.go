package cli

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func TestLabel(t *testing.T) {
	api := newAPI(t, map[string]answer{"POST /api/v1/orgs/default/services/wiki/labels": {200, "", `{"labels":{"env":"prod"}}`}})
	code, _, stderr := run(t, "", "label", "service", "wiki", "env=prod", "team-")
	if want := `POST /api/v1/orgs/default/services/wiki/labels {"labels":{"env":"prod","team":null}}`; code != 0 || !slices.Equal(api.calls, []string{want}) || !strings.Contains(stderr, "labelled") {
		t.Errorf("%d %s %q", code, stderr, api.calls)
	}
	for _, args := range []string{"label service wiki env", "label service wiki =x", "label service wiki -", "label service wiki", "label certificate c a=b"} {
		if code, _, _ := run(t, "", strings.Fields(args)...); code != 2 {
			t.Errorf("%s: %d", args, code)
		}
	}
}

// What is edited is written if it is still what was read.
func TestEdit(t *testing.T) {
	const put = "PUT /api/v1/orgs/default/services/wiki"
	api := newAPI(t, map[string]answer{
		"GET /api/v1/orgs/default/services/wiki": {200, "", `{"name":"wiki"}`},
		"GET /api/v1/orgs/default/manifests":     {200, "", `{"items":[{"apiVersion":"warren/v1","kind":"Service","metadata":{"name":"wiki","labels":{"a":"b"}},"spec":{"kind":"tcp","pool":"p","ports":"1"}}]}`},
		put:                                      {200, "4", `{}`},
	})
	editor := filepath.Join(t.TempDir(), "editor")
	write := func(script string) {
		if err := os.WriteFile(editor, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("VISUAL", "")
	t.Setenv("EDITOR", editor)
	t.Setenv("TMPDIR", t.TempDir())
	write(`sed -i 's/ports: "1"/ports: "2"/' "$1"`)
	if code, _, stderr := run(t, "", "edit", "service", "wiki"); code != 0 || !strings.Contains(stderr, "service wiki written, revision 4") {
		t.Errorf("%d %s", code, stderr)
	}
	if want := put + ` {"kind":"tcp","labels":{"a":"b"},"pool":"p","ports":"2"}`; api.calls[len(api.calls)-1] != want {
		t.Errorf("calls %q", api.calls)
	}
	write("true\n")
	n := len(api.calls)
	if code, _, stderr := run(t, "", "edit", "service", "wiki"); code != 0 || !strings.Contains(stderr, "unchanged") || len(api.calls) != n+2 {
		t.Errorf("nothing edited: %d %s %q", code, stderr, api.calls[n:])
	}
	api.answers[put] = answer{412, "", `{"title":"Precondition Failed","status":412,"detail":"the service was changed meanwhile: read it again"}`}
	write(`sed -i 's/ports: "1"/ports: "2"/' "$1"`)
	code, _, stderr := run(t, "", "edit", "service", "wiki")
	_, kept, found := strings.Cut(stderr, "your text is in ")
	if code != 1 || !found {
		t.Fatalf("stale: %d %s", code, stderr)
	}
	if b, err := os.ReadFile(strings.TrimSpace(kept)); err != nil || !strings.Contains(string(b), `ports: "2"`) {
		t.Errorf("kept: %s %v", b, err)
	}
	// What can't be written comes back with the reason; leaving it so gives up.
	write(`grep -q spec.nonsense "$1" || echo '  nonsense: 1' >> "$1"`)
	if code, _, stderr := run(t, "", "edit", "service", "wiki"); code != 1 || !strings.Contains(stderr, "given up") {
		t.Errorf("nonsense: %d %s", code, stderr)
	}
}

func TestExportToFolder(t *testing.T) {
	api := newAPI(t, map[string]answer{"GET /api/v1/orgs/default/manifests": {200, "", `{"items":[
		{"apiVersion":"warren/v1","kind":"Policy","metadata":{"name":"staff","organization":"default"},"spec":{"auth":{"pin":{}}}},
		{"apiVersion":"warren/v1","kind":"User","metadata":{"name":"ann@example.org"}}]}`}})
	dir := t.TempDir()
	if code, _, stderr := run(t, "", "export", "-f", dir, "policies", "users", "-l", "a=b"); code != 0 {
		t.Fatal(code, stderr)
	}
	b, err := os.ReadFile(filepath.Join(dir, "policies", "staff.yaml"))
	if err != nil || !strings.Contains(string(b), "# spec.auth.pin.code: not shown") || !strings.Contains(string(b), "kind: Policy") {
		t.Errorf("%s %v", b, err)
	}
	if code, stdout, stderr := run(t, "", "export"); code != 0 || strings.Count(stdout, "---") != 1 {
		t.Errorf("%d %s %s %q", code, stdout, stderr, api.calls)
	}
	if code, _, stderr := run(t, "", "validate", "-f", dir); code != 0 || !strings.Contains(stderr, "2 documents") {
		t.Errorf("%d %s", code, stderr)
	}
}

func TestContexts(t *testing.T) {
	api := newAPI(t, map[string]answer{"GET /api/v1/orgs/acme/sites": {200, "", `{"items":[]}`}, "GET /api/v1/orgs/default/sites": {200, "", `{"items":[]}`}})
	t.Setenv("WARREN_SERVER", "")
	for _, args := range []string{
		"context set a --server http://192.0.2.1:1", "context set b --server " + api.URL + " --org acme", "context use b", "get sites", "org use default", "get sites",
		"context set a --server " + api.URL, "get sites --context a --org acme", "context list", "context delete a",
	} {
		if code, _, stderr := run(t, "", strings.Fields(args)...); code != 0 {
			t.Fatalf("%s: %d %s", args, code, stderr)
		}
	}
	if want := []string{"GET /api/v1/orgs/acme/sites", "GET /api/v1/orgs/default/sites", "GET /api/v1/orgs/acme/sites"}; !slices.Equal(api.calls, want) {
		t.Errorf("calls %q", api.calls)
	}
	if _, stdout, _ := run(t, "", "context", "list"); !strings.Contains(stdout, "*        b") || strings.Contains(stdout, " a ") {
		t.Errorf("%s", stdout)
	}
	for _, args := range []string{"get sites --context nowhere", "context use nowhere", "context delete nowhere", "context set c"} {
		if code, _, _ := run(t, "", strings.Fields(args)...); code != 2 {
			t.Errorf("%s: %d", args, code)
		}
	}
}

func TestDescribe(t *testing.T) {
	newAPI(t, map[string]answer{
		"GET /api/v1/orgs/default/services/wiki":                         {200, "", `{"id":"svc_1","name":"wiki","hostname":"wiki.example.org"}`},
		"GET /api/v1/orgs/default/targets":                               {200, "", `{"items":[{"name":"t1","service":"wiki","site":"home"},{"name":"t2","service":"other"}]}`},
		"GET /api/v1/orgs/default/managed-certificates/wiki.example.org": {200, "", `{"id":"mc_1","names":["wiki.example.org"],"state":"valid"}`},
		"GET /api/v1/orgs/default/audit":                                 {200, "", `{"items":[{"at":"2026-01-01T00:00:00Z","action":"service.create","actor_name":"ann","object":"svc_1","result":"done"}]}`},
	})
	code, stdout, stderr := run(t, "", "describe", "service", "wiki")
	for _, want := range []string{"hostname: wiki.example.org", "t1  service=wiki  site=home", "state=valid", "service.create by ann: done"} {
		if code != 0 || !strings.Contains(stdout, want) || strings.Contains(stdout, "t2") {
			t.Errorf("%d %s %s; want %q", code, stdout, stderr, want)
		}
	}
}

// Names of objects complete as well as those of kinds.
func TestCompletion(t *testing.T) {
	newAPI(t, map[string]answer{"GET /api/v1/orgs/default/sites": {200, "", `{"items":[{"id":"site_1","name":"home"},{"id":"site_2","name":"office"}]}`}})
	for args, want := range map[string]string{"__complete get sit": "sites\n", "__complete delete site ho": "home\n", "__complete export ser": "services\nservice-accounts\n"} {
		if code, stdout, stderr := run(t, "", strings.Fields(args)...); code != 0 || !strings.HasPrefix(stdout, want) {
			t.Errorf("%s: %d %q %s", args, code, stdout, stderr)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, stdout, _ := run(t, "", "completion", shell); code != 0 || !strings.Contains(stdout, "warren") {
			t.Errorf("%s: %d", shell, code)
		}
	}
}

// --help of every command suffices: what it does, and how it is called if it takes arguments.
func TestEveryCommandExplainsItself(t *testing.T) {
	dir := t.TempDir()
	if code, _, stderr := run(t, "", "docs", "man", dir); code != 0 {
		t.Fatal(stderr)
	}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			visit(sub)
		}
		if c.Short == "" {
			t.Errorf("%s says nothing of itself", c.CommandPath())
		}
		if strings.ContainsAny(c.Use, " ") && c.Runnable() && !c.HasSubCommands() && c.Example == "" {
			t.Errorf("%s takes arguments and shows no example", c.CommandPath())
		}
		if _, err := os.Stat(filepath.Join(dir, strings.ReplaceAll(c.CommandPath(), " ", "-")+".1")); err != nil && c.IsAvailableCommand() {
			t.Errorf("no manual page of %s", c.CommandPath())
		}
	}
	visit((&app{}).root())
}

// What completes is there: no command, flag or kind of the tables is one that has gone.
func TestCompletionsAreOfWhatThereIs(t *testing.T) {
	flags := map[string]bool{}
	paths := map[string]*cobra.Command{}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		paths[c.CommandPath()] = c
		for _, set := range []*pflag.FlagSet{c.LocalFlags(), c.PersistentFlags()} {
			set.VisitAll(func(f *pflag.Flag) { flags[f.Name] = true })
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(Root(strings.NewReader(""), io.Discard, io.Discard))
	of := func(where, plural string) {
		if k, err := findKind(plural); err != nil || k.plural != plural {
			t.Errorf("%s: no kind %s", where, plural)
		}
	}
	for path, list := range argumentKinds {
		if paths[path] == nil || paths[path].ValidArgsFunction == nil {
			t.Errorf("%s: there is no such command, or it does not complete", path)
		}
		for _, plural := range list {
			of(path, plural)
		}
	}
	for name, plural := range flagKinds {
		if of("--"+name, plural); !flags[name] {
			t.Errorf("no command has --%s", name)
		}
	}
	for name := range flagWords {
		if !flags[name] {
			t.Errorf("no command has --%s", name)
		}
	}
	for path := range kindWords {
		if paths[path] == nil || paths[path].Flags().Lookup("kind") == nil {
			t.Errorf("%s has no --kind", path)
		}
	}
	// Whoever takes the name of an object that is there completes it.
	for path, c := range paths {
		takes := regexp.MustCompile(`\b(NODE|SITE|SERVICE|POLICY|ISSUER|CONNECTOR|RULE|WEBHOOK)\b`).FindString(c.Use)
		if takes != "" && c.ValidArgsFunction == nil {
			t.Errorf("%s takes %s and completes none", path, takes)
		}
	}
}

// Whatever the API can do, a command does: who prefers a terminal never needs a browser.
func TestEveryOperationHasACommand(t *testing.T) {
	apart := map[string]string{
		"Health": "for balancers", "Ready": "for balancers",
		"BeginMyPasskey": "a browser makes passkeys", "CreateMyPasskey": "a browser makes passkeys",
	}
	var text strings.Builder
	for _, pattern := range []string{"*.go", "../expose/*.go", "../apiclient/typed/collections.gen.go", "../apiclient/typed/typed.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(b)
		}
	}
	client := reflect.TypeFor[typed.Client]()
	for i := range client.NumMethod() {
		name := client.Method(i).Name
		if apart[name] == "" && !regexp.MustCompile(`\.`+name+`\b`).MatchString(text.String()) {
			t.Errorf("no command calls %s", name)
		}
		delete(apart, name)
	}
	for name := range apart {
		t.Errorf("there is no %s any more", name)
	}
}

package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// Colours are for terminals, unless somebody does not want them.
func TestColourful(t *testing.T) {
	for _, tc := range []struct {
		terminal, flag bool
		env            map[string]string
		want           bool
	}{
		{terminal: true, want: true},
		{terminal: true, env: map[string]string{"TERM": "xterm"}, want: true},
		{terminal: false},
		{terminal: true, flag: true},
		{terminal: true, env: map[string]string{"NO_COLOR": "1"}},
		{terminal: true, env: map[string]string{"TERM": "dumb"}},
	} {
		if got := colourful(tc.terminal, tc.flag, func(k string) string { return tc.env[k] }); got != tc.want {
			t.Errorf("%+v: %t", tc, got)
		}
	}
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if isTerminal(file) || isTerminal(&strings.Builder{}) {
		t.Error("a file is taken for a terminal")
	}
}

// What was wanted, and what is: without colours not one control character, with them each line as it is meant.
func TestColoursOfDiffAndDoctor(t *testing.T) {
	before := &typed.Manifest{APIVersion: apiVersion, Kind: "Site", Metadata: typed.ManifestMeta{Name: "home"}, Spec: map[string]any{"pool": "a"}}
	after := &typed.Manifest{APIVersion: apiVersion, Kind: "Site", Metadata: typed.ManifestMeta{Name: "home"}, Spec: map[string]any{"pool": "b"}}
	show := func(colours bool) string {
		var out strings.Builder
		a := &app{out: &out, err: &out, colours: colours}
		a.diff(typed.Applied{Objects: []typed.AppliedObject{{Kind: "Site", Name: "home", Changed: true, Before: before, After: after}}})
		a.listFindings([]finding{{Category: "nodes", Name: "node n1", State: "failed"}, {Category: "nodes", Name: "node n2", State: "ok"}})
		return out.String()
	}
	plain, coloured := show(false), show(true)
	if strings.Contains(plain, "\x1b") {
		t.Errorf("%q", plain)
	}
	for _, want := range []string{"\x1b[31m-  pool: a\x1b[0m\n", "\x1b[32m+  pool: b\x1b[0m\n", "\x1b[31m×\x1b[0m node n1", "\x1b[32m√\x1b[0m node n2"} {
		if !strings.Contains(coloured, want) {
			t.Errorf("no %q in %q", want, coloured)
		}
	}
	for _, code := range []string{red, green, yellow, cyan} {
		coloured = strings.ReplaceAll(coloured, "\x1b["+code+"m", "")
	}
	if coloured = strings.ReplaceAll(coloured, "\x1b[0m", ""); coloured != plain {
		t.Errorf("colours change more than the colour: %q, %q", coloured, plain)
	}
}

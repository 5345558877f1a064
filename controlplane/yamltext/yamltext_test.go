package yamltext

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// hard are strings that look like something else.
var hard = []string{
	"", "1", "-1", "+1", "1e6", "1E6", "1.e6", ".5", "5.", "1.5", "-1.5e-3", "1_000", "0b11", "0x1F", "0o17", "017", "08", "0", "00", "12e03", ".inf", "-.INF", ".NaN", "e6", "1e", "0e0", "685.230_15e+03",
	"true", "True", "TRUE", "false", "yes", "Yes", "NO", "on", "Off", "y", "N", "null", "Null", "NULL", "~", "nil",
	"2026-11-27", "2026-1-2", "2026-11-27T14:00:00Z", "2026-11-27 14:00:00", "190:20:30", "12:30", "12:30:45.5", "1:1", "192.0.2.1", "192.0.2.0/24", "2001:db8::1", "::1", "6000-6010", "10m0s",
	" lead", "trail ", "\tlead", "trail\t", "in\tside", "\u00a0lead", "trail\u00a0", " ", "\n", "\n\n", "a\n", "a\n\n", "a\nb", "a\nb\n", "a\nb\n\n", "\na", " a\nb", "a\n b", "a \nb", "a\r\nb", "a\rb", "a\n\nb",
	"# no comment", "a # b", "a#b", "a: b", "a:", ":a", "a:b", "- a", "-", "-a", "--", "---", "--- a", "...", "? a", "?", "?a", ": a", "<<", "=", "*a", "&a", "!a", "|", ">", "%a", "@a", "`a", "{", "}", "[", "]", "{a}", "[a]", ",", ", a",
	`"`, `'`, `"a"`, `'a'`, `a"b`, `a'b`, `\`, `\n`, `a\b`, "\x00", "\x1b[0m", "\x7f", "\u0085", "\u2028", "\ufeff", "é", "日本", "😀", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
}

// Each string, as a value, in a list, as a key and as all of a document, reads back as it was.
func TestStringsReadBack(t *testing.T) {
	for _, s := range hard {
		for _, want := range []any{s, map[string]any{"a": s, "b": "end"}, []any{s, "end"}, map[string]any{"deep": []any{map[string]any{"x": s, "y": "end"}}}, map[string]any{s: "v"}} {
			b, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			for from, write := range map[string]func() ([]byte, error){
				"JSON":  func() ([]byte, error) { return FromJSON(b) },
				"value": func() ([]byte, error) { return Marshal(want) },
			} {
				text, err := write()
				if err != nil {
					t.Errorf("%q from %s: %v", want, from, err)
					continue
				}
				var got any
				if err := yaml.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%q from %s is %q, %v; the text:\n%s", want, from, got, err, text)
				}
			}
		}
	}
}

// Who reads as YAML 1.1 has it must not see anything but strings either, which our own reader does not show.
func TestQuotes(t *testing.T) {
	for s, want := range map[string]string{
		"1e6": `"1e6"`, "yes": `"yes"`, "off": `"off"`, "y": `"y"`, "017": `"017"`, "0o17": `"0o17"`, "190:20:30": `"190:20:30"`, "2026-11-27": `"2026-11-27"`, "1_000": `"1_000"`, "<<": `"<<"`, "~": `"~"`,
		" a": `" a"`, "a ": `"a "`, "192.0.2.1": "192.0.2.1", "192.0.2.0/24": "192.0.2.0/24", "2001:db8::1": "2001:db8::1", "6000-6010": "6000-6010", "10m0s": "10m0s", "wiki.example.org": "wiki.example.org", "/api": "/api",
		"yesterday": "yesterday", "online": "online", "v1": "v1", "two words": "two words",
	} {
		if got, err := Marshal(s); err != nil || string(got) != want+"\n" {
			t.Errorf("%q is written as %s (%v), want %s", s, got, err, want)
		}
	}
}

// What is no string stays what it is, and fields keep their order.
func TestFromJSON(t *testing.T) {
	got, err := FromJSON([]byte(`{"z":1,"a":[true,null,-2.5,18446744073709551615],"m":{"pem":"x\ny\n"},"none":{},"empty":[]}`))
	want := "z: 1\na:\n- true\n- null\n- -2.5\n- 18446744073709551615\nm:\n  pem: |\n    x\n    y\nnone: {}\nempty: []\n"
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	for _, bad := range []string{"", "{", `{"a":}`, "[1", "1 2", "nope"} {
		if got, err := FromJSON([]byte(bad)); err == nil {
			t.Errorf("%q is %s", bad, got)
		}
	}
}

// FuzzStringsReadBack looks for strings that don't.
func FuzzStringsReadBack(f *testing.F) {
	for _, s := range hard {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "?")
		text, err := Marshal([]any{map[string]any{"a": s, "b": "end"}})
		if err != nil {
			t.Fatal(err)
		}
		var got []map[string]string
		if err := yaml.Unmarshal(text, &got); err != nil || len(got) != 1 || got[0]["a"] != s || got[0]["b"] != "end" {
			t.Fatalf("%q is %q, %v; the text:\n%s", s, got, err, text)
		}
	})
}

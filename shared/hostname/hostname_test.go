package hostname

import (
	"errors"
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	long := strings.Repeat("abcdefghi.", 25) // 250 octets
	for in, want := range map[string]string{ // "": refused
		"example.org":           "example.org",
		"Example.ORG":           "example.org",
		"example.org.":          "example.org",
		"localhost":             "localhost",
		"a1-b2.example":         "a1-b2.example",
		"1.example":             "1.example",
		"r3--sn-x.example":      "r3--sn-x.example",
		"R3--SN-X.example":      "r3--sn-x.example",
		"bücher.example":        "xn--bcher-kva.example",
		"BÜCHER.example":        "xn--bcher-kva.example",
		"xn--bcher-kva.example": "xn--bcher-kva.example",
		"XN--BCHER-KVA.example": "xn--bcher-kva.example",
		"straße.example":        "xn--strae-oqa.example", // not "strasse": IDNA 2008
		"example。org":           "example.org",
		"ｅｘａｍｐｌｅ.org":           "example.org",
		long + "abc":            long + "abc",
		long + "abc.":           long + "abc",

		"":                                "",
		".":                               "",
		"..":                              "",
		".example.org":                    "",
		"example..org":                    "",
		"example.org..":                   "",
		"-a.example":                      "",
		"a-.example":                      "",
		"a.example-":                      "",
		"a_b.example":                     "",
		"a b.example":                     "",
		"a\x00.example":                   "",
		"*.example.org":                   "",
		"example.org:443":                 "",
		"http://example.org":              "",
		"192.0.2.1":                       "",
		"192.0.2.1.":                      "",
		"１９２.0.2.1":                       "",
		"2001:db8::1":                     "",
		"[2001:db8::1]":                   "",
		"::ffff:192.0.2.1":                "",
		"example.1":                       "", // a parser of addresses would take it for one
		"xn--a.example":                   "", // says that it is an A-label, and is none
		"xn--.example":                    "",
		strings.Repeat("a", 63) + ".org":  strings.Repeat("a", 63) + ".org",
		strings.Repeat("a", 64) + ".org":  "",
		long + "abcd":                     "",
		strings.Repeat("ü", 60) + ".org":  "",
		"\xff.example":                    "",
		"a\u200d.example":                 "",
		"אa.example":                      "", // RFC 5893: directions mixed in a label
		strings.Repeat("a.", 1<<16) + "a": "",
	} {
		got, err := Canonical(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Canonical(%.80q) = %q, %v, want %q", in, got, err, want)
		}
		if err != nil && !errors.Is(err, ErrSyntax) {
			t.Errorf("Canonical(%.80q): %v is no ErrSyntax", in, err)
		}
	}
}

func TestCanonicalPattern(t *testing.T) {
	long := strings.Repeat("abcdefghi.", 25)
	for in, want := range map[string]string{
		"example.org":     "example.org",
		"*.Example.org.":  "*.example.org",
		"*.bücher.org":    "*.xn--bcher-kva.org",
		"*.org":           "*.org",
		"*":               "",
		"*.":              "",
		"*.*.example.org": "",
		"a.*.example.org": "",
		"a*.example.org":  "",
		"**.example.org":  "",
		"*example.org":    "",
		"*." + long + "a": "*." + long + "a",
		// 254 octets with the asterisk
		"*." + long + "ab": "",
		"*.192.0.2.1":      "",
	} {
		got, err := CanonicalPattern(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("CanonicalPattern(%.80q) = %q, %v, want %q", in, got, err, want)
		}
		if err == nil && IsWildcard(got) != strings.HasPrefix(in, "*") {
			t.Errorf("IsWildcard(%q)", got)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"example.org", "example.org", true},
		{"example.org", "a.example.org", false},
		{"*.example.org", "a.example.org", true},
		{"*.example.org", "a.b.example.org", false},
		{"*.example.org", "example.org", false},
		{"*.example.org", "*.example.org", true},
		{"*.org", "example.org", true},
		{"*.example.org", "axexample.org", false},
		{"*.localhost", "localhost", false},
	} {
		if got := Match(c.pattern, c.name); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}

func TestWildcard(t *testing.T) {
	if w, ok := Wildcard("a.b.example.org"); !ok || w != "*.b.example.org" {
		t.Errorf("%q, %v", w, ok)
	}
	if w, ok := Wildcard("localhost"); ok {
		t.Errorf("%q, %v", w, ok)
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		name, apex string
		want       bool
	}{
		{"example.org", "example.org", true},
		{"a.example.org", "example.org", true},
		{"a.b.example.org", "example.org", true},
		{"*.example.org", "example.org", true},
		{"xexample.org", "example.org", false},
		{"org", "example.org", false},
		{"example.org", "a.example.org", false},
	} {
		if got := Within(c.name, c.apex); got != c.want {
			t.Errorf("Within(%q, %q) = %v", c.name, c.apex, got)
		}
	}
}

var seeds = []string{
	"example.org", "Example.ORG.", "*.example.org", "bücher.example", "xn--bcher-kva.example", "XN--A.example", "straße.example", "example。org",
	"192.0.2.1", "[::1]", "a--b.example", "ab--c.example", "xn--ab--c.example", "a..b", "-", "１.２.３.４", "אב.example", "a\u200cb.example", "\u2488com",
}

func FuzzCanonical(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := Canonical(in)
		if err != nil {
			if got != "" || !errors.Is(err, ErrSyntax) {
				t.Errorf("Canonical(%q) = %q, %v", in, got, err)
			}
			return
		}
		if len(got) > 253 || got == "" || strings.HasSuffix(got, ".") || strings.ToLower(got) != got || strings.ContainsAny(got, "*:[] \x00") {
			t.Errorf("Canonical(%q) = %q", in, got)
		}
		for _, again := range []string{got, got + ".", strings.ToUpper(got)} {
			if s, err := Canonical(again); err != nil || s != got {
				t.Errorf("Canonical(%q) = %q, but Canonical(%q) = %q, %v", in, got, again, s, err)
			}
		}
		if p, err := CanonicalPattern(in); err != nil || p != got {
			t.Errorf("CanonicalPattern(%q) = %q, %v, want %q", in, p, err, got)
		}
		if !Match(got, got) || !Within(got, got) {
			t.Errorf("%q is not itself", got)
		}
		if w, ok := Wildcard(got); ok && (!Match(w, got) || !IsWildcard(w)) {
			t.Errorf("%q does not cover %q", w, got)
		}
	})
}

func FuzzCanonicalPattern(f *testing.F) {
	for _, s := range seeds {
		f.Add("*." + s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := CanonicalPattern(in)
		if err != nil {
			return
		}
		if len(got) > 253 || strings.Contains(strings.TrimPrefix(got, "*."), "*") {
			t.Errorf("CanonicalPattern(%q) = %q", in, got)
		}
		if again, err := CanonicalPattern(got); err != nil || again != got {
			t.Errorf("CanonicalPattern(%q) = %q, which is %q, %v", in, got, again, err)
		}
	})
}

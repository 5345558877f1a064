package policy

import (
	"strings"
	"testing"
)

func TestPathPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, yes, no string // paths, separated by spaces
	}{
		{"/", "/", "/a"},
		{"/**", "/ /a /a/b", ""},
		{"/admin", "/admin /admin/ /adm%69n", "/admin/x /administrator /Admin"},
		{"/admin/", "/admin /admin/", "/admin/x"},
		{"/admin/**", "/admin /admin/ /admin/x /admin/x/y/", "/administrator /a/admin"},
		{"/*/edit", "/a/edit /%20/edit", "/edit /a/b/edit /a/edits"},
		{"/a*c/x", "/ac/x /abc/x /abcbc/x", "/ab/c/x /abcx"},
		{"/**/secret", "/secret /a/secret /a/b/secret /secret/a/secret", "/secrets /a/secret/b"},
		{"/a/**/b/*.txt", "/a/b/x.txt /a/x/b/y/b/z.txt", "/a/b/x.txt.gz /a/b.txt"},
		{"/**/a/**/b", "/a/b /x/a/y/b /a/a/b", "/b/a /ab"},
		{"/a%20b", "/a%20b", "/a+b"},
		{"/a(b)", "/a(b) /a%28b%29", "/a"},
		{"/a%2Ab", "/a*b /a%2Ab", "/axb"},
		{"/ä", "/%C3%A4", "/a"},
		{"/a.b", "/a.b", "/axb"},
		{"/[a-z]+", "/[a-z]+ /%5Ba-z%5D%2B", "/abc"},
		{"/*", "/a", "/a/b"},
	} {
		p, err := CompilePath(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		for _, path := range strings.Fields(c.yes) {
			if !p.match(octets(nil, path, false)) {
				t.Errorf("%s does not match %s", c.pattern, path)
			}
		}
		for _, path := range strings.Fields(c.no) {
			if p.match(octets(nil, path, false)) {
				t.Errorf("%s matches %s", c.pattern, path)
			}
		}
	}
}

func TestPathPatternsThatAreRefused(t *testing.T) {
	for _, s := range []string{"", "a", "/a//b", "/a**", "/a/**b", "/a%2fb", "/a%", "/a%zz", "/a\x00", "/a%00", "/a\\b", "/a;x", "/a/../b", "/./a", "/%2e%2e/a", "/" + strings.Repeat("a", maxPattern)} {
		if p, err := CompilePath(s); err == nil {
			t.Errorf("%q is compiled to %q", s, p.text)
		}
	}
}

// The matcher walks a path once and comes back to the last wildcard of each kind: here is what the pattern means.
func matchSlowly(p, path string) bool {
	if p == "" {
		return path == ""
	}
	switch p[0] {
	case anySegments:
		for rest := path; ; {
			if matchSlowly(p[1:], rest) {
				return true
			}
			if rest == "" || rest[0] != '/' {
				return false
			}
			n := strings.IndexByte(rest[1:], '/')
			if n < 0 {
				n = len(rest) - 1
			}
			rest = rest[1+n:]
		}
	case anyRun:
		for i := 0; ; i++ {
			if matchSlowly(p[1:], path[i:]) {
				return true
			}
			if i == len(path) || path[i] == '/' {
				return false
			}
		}
	}
	return path != "" && path[0] == p[0] && matchSlowly(p[1:], path[1:])
}

func FuzzPath(f *testing.F) {
	f.Add("/a/**/b*c", "/a/x/bc")
	f.Add("/**/*/**", "/a/b/c")
	f.Add("/*a*b*/**/x", "/aab/q/x")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		p, err := CompilePath(pattern)
		if err != nil || len(path) > 40 || len(pattern) > 40 || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "%\x00\x01;") || strings.Contains(path, "//") {
			return
		}
		if got, want := p.match(octets(nil, path, false)), matchSlowly(p.text, strings.TrimSuffix(path, "/")); got != want {
			t.Errorf("%q of %q: %v, want %v", pattern, path, got, want)
		}
	})
}

package strict

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/warrenedge/warren/dataplane/strict/stricttest"
)

func TestNormalTarget(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"/", "/"}, {"/a/b", "/a/b"}, {"/a/", "/a/"}, {"/a?x=/../%2f;y", "/a"},
		{"/%61%2d%7E", "/a-~"}, {"/%c3%a9", "/%C3%A9"}, {"/\xc3\xa9", "/%C3%A9"}, {"/a%20b", "/a%20b"},
		{"/a%3bb", "/a%3Bb"}, {"/a;b=1/c", "/a;b=1/c"}, {"/a%252fb", "/a%252fb"}, {"/a%23b", "/a%23b"}, {"/a%3fb", "/a%3Fb"},
		{"/...", "/..."}, {"/.a", "/.a"}, {"/a.", "/a."}, {"/{x}|\"^`<>", "/%7Bx%7D%7C%22%5E%60%3C%3E"}, {"/a:b@c,d=e+f$g&h!i*j(k)'[l]", "/a:b@c,d=e+f$g&h!i*j(k)'[l]"},
	} {
		got, ref := normalTarget(tt.in)
		if ref != nil || got != tt.want {
			t.Errorf("%q: %q, %v, want %q", tt.in, got, ref, tt.want)
		}
	}
}

func TestSplitAuthority(t *testing.T) {
	for _, tt := range []struct {
		in, host, authority string
		ok                  bool
	}{
		{"a.example", "a.example", "a.example", true},
		{"A.example.:8443", "a.example", "a.example:8443", true},
		{"a.example:443", "a.example", "a.example", true},
		{"a.example:0443", "a.example", "a.example", true},
		{"b\u00fccher.example", "xn--bcher-kva.example", "xn--bcher-kva.example", true},
		{"", "", "", false}, {":443", "", "", false}, {"a.example:", "", "", false}, {"a.example:0", "", "", false}, {"a.example:65536", "", "", false},
		{"a.example:+1", "", "", false}, {"a.example:1:2", "", "", false}, {"[::1]:443", "", "", false}, {"192.0.2.1", "", "", false}, {"a_b.example", "", "", false},
		{"a.example/x", "", "", false}, {"*.example", "", "", false},
	} {
		host, authority, ok := splitAuthority(tt.in)
		if host != tt.host || authority != tt.authority || ok != tt.ok {
			t.Errorf("%q: %q, %q, %t", tt.in, host, authority, ok)
		}
	}
}

// FuzzNormalTarget holds the normal form to what it promises: it is one, it names the path that
// net/url reads, and no reader finds other segments in it.
func FuzzNormalTarget(f *testing.F) {
	for _, s := range append(slices.Clone(stricttest.AmbiguousTargets), "/", "/%61/b;c?d=e", "/\xc3\xa9/%C3%A9") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		path, ref := normalTarget(in)
		if ref != nil {
			return
		}
		again, ref := normalTarget(path)
		if ref != nil || again != path {
			t.Fatalf("%q gives %q, and that %q, %v", in, path, again, ref)
		}
		u, err := url.ParseRequestURI(in)
		if err != nil {
			return // net/http refuses it
		}
		plain, err := url.PathUnescape(path)
		if err != nil || plain != u.Path {
			t.Fatalf("%q: we read %q, net/url %q, %v", in, plain, u.Path, err)
		}
		out := url.URL{Path: plain, RawPath: path}
		if out.EscapedPath() != path {
			t.Fatalf("%q would be sent as %q instead of %q", in, out.EscapedPath(), path)
		}
		if strings.Contains(plain, "//") || strings.Contains(plain, "/../") || strings.ContainsAny(plain, "\x00\\\r\n") || strings.Count(plain, "/") != strings.Count(path, "/") {
			t.Fatalf("%q passes as %q", in, plain)
		}
	})
}

package httpproxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
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

// ambiguousTargets are refused with 400, over both protocols.
var ambiguousTargets = []string{
	"/a%2fb", "/a%2Fb", "/a/..%2fb", "/a%5cb", "/a\\b", "/%5C..", "/a/../b", "/..", "/a/..", "/./a", "/a/.", "/a/./b",
	"/%2e%2e/a", "/%2E./a", "/.%2e", "/%2e", "/a/..;/b", "/a/..;x=1/b", "/.;/a", "/a/..%3b/b", "/%2e%2e;/a", "/a%00", "/a%0d%0aX:1", "/a%0a", "/a%09", "/a%7f",
	"//", "//a.example/b", "/a//b", "/a/b//", "/a#b", "/#", "/a?b#c",
}

// TestT6_AmbiguousPathsAreRefused includes paths that would pass a rule for "/private" on one reading
// and hit it on another.
func TestT6_AmbiguousPathsAreRefused(t *testing.T) {
	raw := newRawBackend(t)
	e := newEdge(t, map[string]string{"raw": raw.addr})
	e.serve(t, map[string]string{"a.example": "raw"})
	for _, target := range append(ambiguousTargets, "/public/..%2fprivate", "/public/%2e%2e/private", "/public/..;/private", "//private", "/public\\..\\private") {
		t.Run(target, func(t *testing.T) {
			c := e.dial(t, "a.example")
			if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a.example\r\n\r\n", target); err != nil {
				t.Fatal(err)
			}
			answer, _ := io.ReadAll(c)
			if !bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) {
				t.Errorf("HTTP/1.1: %q", answer)
			}
			if status := rawH2(t, e, "a.example", ":path", target); status != "400" {
				t.Errorf("HTTP/2: %s", status)
			}
		})
	}
	if seen := raw.take(); len(seen) > 0 {
		t.Errorf("the backend saw %q", seen)
	}
}

// rawH2 sends one HTTP/2 request with fields that replace or follow the usual ones, and returns its
// status, "reset" or "closed".
func rawH2(t *testing.T, e *edge, sni string, fields ...string) string {
	t.Helper()
	c := e.dial(t, sni, "h2")
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	fr := http2.NewFramer(c, c)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = fr.WriteSettings()
	all := [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", sni}, {":path", "/"}}
	for i := 0; i < len(fields); i += 2 {
		replaced := false
		for j := range all {
			if all[j][0] == fields[i] {
				all[j][1], replaced = fields[i+1], true
			}
		}
		if !replaced {
			all = append(all, [2]string{fields[i], fields[i+1]})
		}
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range all {
		if f[1] != "-" { // leave it out
			_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
	}
	if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return "closed"
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "reset"
		}
	}
}

// TestT8_HTTP2Cases sends what research §0 sent over HTTP/2, as far as it reaches a handler.
func TestT8_HTTP2Cases(t *testing.T) {
	raw := newRawBackend(t)
	e := newEdge(t, map[string]string{"raw": raw.addr})
	e.serve(t, map[string]string{"a.example": "raw", "b.example": "raw"})
	for _, tt := range []struct {
		name   string
		fields []string
		want   string
		reach  int
	}{
		{"plain", nil, "200", 1},
		{"authority in upper case", []string{":authority", "A.EXAMPLE"}, "200", 1},
		{"authority with port", []string{":authority", "a.example:443"}, "200", 1},
		{"another authority", []string{":authority", "b.example"}, "421", 0},
		{"unknown authority", []string{":authority", "nowhere.example"}, "421", 0},
		{"authority with user", []string{":authority", "u@a.example"}, "reset 400", 0},
		{"no authority", []string{":authority", "-"}, "400", 0},
		{"host beside authority", []string{"host", "b.example"}, "reset 400", 0},
		{"absolute path", []string{":path", "https://a.example/"}, "reset 400", 0},
		{"asterisk", []string{":method", "OPTIONS", ":path", "*"}, "400", 0},
		{"CONNECT", []string{":method", "CONNECT", ":scheme", "-", ":path", "-"}, "405", 0},
		{"extended CONNECT", []string{":method", "CONNECT", ":protocol", "websocket"}, "reset 405", 0},
		{"TRACE", []string{":method", "TRACE"}, "405", 0},
		{"transfer-encoding", []string{"transfer-encoding", "chunked"}, "reset 400", 0},
		{"connection", []string{"connection", "upgrade"}, "reset 400", 0},
		{"upgrade", []string{"upgrade", "h2c"}, "reset 400", 0},
		{"CRLF in a value", []string{"x-a", "1\r\nX-Forwarded-For: 1"}, "reset 400", 0},
		{"content-length beyond the body", []string{"content-length", "5"}, "400", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw.take()
			got := rawH2(t, e, "a.example", tt.fields...)
			if !strings.Contains(tt.want, got) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if seen := raw.take(); len(seen) != tt.reach {
				t.Errorf("the backend saw %q", seen)
			}
		})
	}
}

// TestT2_OneCanonicalHost asks for every spelling of a name, on connections of every spelling.
func TestT2_OneCanonicalHost(t *testing.T) {
	e := newEdge(t, map[string]string{"open": named(t, "open"), "wild": named(t, "wild"), "mtls": named(t, "mtls")})
	e.serve(t, map[string]string{"open.example": "open", "*.open.example": "wild", "strict.open.example": "mtls"})
	for _, tt := range []struct {
		sni, host string
		status    int
		body      string
	}{
		{"open.example", "open.example", 200, "open /"},
		{"OPEN.Example", "Open.EXAMPLE.", 200, "open /"},
		{"x.open.example", "y.open.example", 200, "wild /"}, // one route, one policy
		{"strict.open.example", "strict.open.example", 200, "mtls /"},
		{"open.example", "strict.open.example", 421, ""},
		{"x.open.example", "strict.open.example", 421, ""},
		{"x.open.example", "STRICT.open.example.", 421, ""},
		{"x.open.example", "strict.open.example:8443", 421, ""},
		{"strict.open.example", "x.open.example", 421, ""},
		{"open.example", "a.b.open.example", 421, ""},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s on %s h2=%t", tt.host, tt.sni, h2), func(t *testing.T) {
				req, err := http.NewRequest(http.MethodGet, "https://"+strings.ToLower(tt.sni)+"/", nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = tt.host
				resp, err := e.client(t, h2, tt.sni).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				b, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != tt.status || tt.status == 200 && string(b) != tt.body {
					t.Errorf("%d %q, want %d %q", resp.StatusCode, b, tt.status, tt.body)
				}
			})
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
	for _, s := range append(ambiguousTargets, "/", "/%61/b;c?d=e", "/\xc3\xa9/%C3%A9") {
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

// FuzzRemoveEdgeFields looks for a spelling that a backend which maps every odd character to "_", or
// to "-", would take for an edge field.
func FuzzRemoveEdgeFields(f *testing.F) {
	for _, s := range []string{"X-Forwarded-For", "x_real_ip", "REMOTE.USER", "Forwarded", "Accept", "X-Forwarded~For"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		h := http.Header{name: {"1"}, http.CanonicalHeaderKey(name): {"2"}}
		removeEdgeFields(h)
		for left := range h {
			same := strings.Map(func(r rune) rune {
				if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
					return r
				}
				return '-'
			}, strings.ToLower(left))
			if edgeField(same) || strings.ContainsAny(left, "_.") {
				t.Fatalf("%q is still there", left)
			}
		}
	})
}

package httpproxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/warrenedge/warren/dataplane/strict/stricttest"
)

// TestT6_AmbiguousPathsAreRefused includes paths that would pass a rule for "/private" on one reading
// and hit it on another.
func TestT6_AmbiguousPathsAreRefused(t *testing.T) {
	raw := newRawBackend(t)
	e := newEdge(t, map[string]string{"raw": raw.addr})
	e.serve(t, map[string]string{"a.example": "raw"})
	for _, target := range append(slices.Clone(stricttest.AmbiguousTargets), "/public/..%2fprivate", "/public/%2e%2e/private", "/public/..;/private", "//private", "/public\\..\\private") {
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
			if all[j][0] == fields[i] && fields[i][0] == ':' {
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
		{"authority with a trailing dot", []string{":authority", "a.example."}, "200", 1},
		{"empty authority", []string{":authority", ""}, "reset 400", 0},
		{"PRI", []string{":method", "PRI"}, "405", 0},
		{"fragment", []string{":path", "/a#b"}, "reset 400", 0},
		{"two lengths", []string{"content-length", "0", "content-length", "0"}, "reset 400", 0},
		{"two paths", []string{":path", "/", ":PATH", "/x"}, "reset", 0},
		{"te of more than trailers", []string{"te", "trailers, chunked"}, "reset 400", 0},
		{"http2-settings", []string{"http2-settings", "AAMAAABkAAQAAP__"}, "400", 0},
		{"proxy-connection", []string{"proxy-connection", "keep-alive"}, "reset 400", 0},
		{"101 fields", slices.Repeat([]string{"a", "b"}, 101), "431", 0},
		{"10,000 fields", slices.Repeat([]string{"a", "b"}, 10_000), "431 reset closed", 0},
		{"URI of 9 KiB", []string{":path", "/" + strings.Repeat("a", 9<<10)}, "414", 0},
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

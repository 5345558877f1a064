package httpproxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const ok, bad = 200, 400

// wireCases are requests on the wire of an HTTP/1 connection, and how many of them may reach a
// backend; statuses are all answers in order. An "END" request is sent behind each: that it is
// answered too means that the connection was still good.
var wireCases = []struct {
	name     string
	raw      string
	statuses []int
	reach    int
	sees     string // in the head that the backend gets first
}{
	// Framing. Stock net/http lets the marked ones (*) through.
	{"plain", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{ok, ok}, 2, "GET / HTTP/1.1\r\nHost: a.example\r\n"},
	{"pipelined", "GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{ok, ok, ok}, 3, "GET /1 "},
	{"content-length", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc", []int{ok, ok}, 2, "Content-Length: 3\r\n"},
	{"chunked", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", []int{ok, ok}, 2, "Transfer-Encoding: chunked\r\n"},
	{"TE then CL *", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{bad}, 0, ""},
	{"CL then TE *", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"two equal CL *", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", []int{bad}, 0, ""},
	{"two different CL", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", []int{bad}, 0, ""},
	{"CL list", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3, 3\r\n\r\nabc", []int{bad}, 0, ""},
	{"CL with plus", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: +3\r\n\r\nabc", []int{bad}, 0, ""},
	{"CL negative", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: -1\r\n\r\nabc", []int{bad}, 0, ""},
	{"CL empty", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: \r\n\r\n", []int{bad}, 0, ""},
	{"CL too large", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 18446744073709551619\r\n\r\nabc", []int{bad}, 0, ""},
	{"Content_Length", "POST / HTTP/1.1\r\nHost: a.example\r\nContent_Length: 3\r\n\r\nabc", []int{bad}, 0, ""},
	{"HTTP/1.0 with TE *", "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"TE xchunked", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"TE list", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"TE twice", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"TE with a space before the colon", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"Transfer_Encoding", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer_Encoding: chunked\r\n\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"chunk size 0x3", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"chunk ended by LF", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n", []int{bad}, 0, ""},
	{"chunk longer than its size", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"chunk size overflow", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"chunk extension of 300 bytes", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3;" + strings.Repeat("x", 300) + "\r\nabc\r\n0\r\n\r\n", []int{bad}, 0, ""},
	{"Host in a trailer", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nTrailer: Host\r\n\r\n0\r\nHost: b.example\r\n\r\n", []int{bad}, 0, ""},
	{"folded line *", "GET / HTTP/1.1\r\nHost: a.example\r\nX-A: 1\r\n X-Forwarded-For: 192.0.2.1\r\n\r\n", []int{bad}, 0, ""},
	{"bare LF *", "GET / HTTP/1.1\nHost: a.example\n\n", []int{bad}, 0, ""},
	{"one bare LF *", "GET / HTTP/1.1\r\nHost: a.example\r\nX-A: 1\nX-B: 2\r\n\r\n", []int{bad}, 0, ""},
	{"bare CR", "GET / HTTP/1.1\r\nHost: a.example\r\nX-A: 1\rX-B: 2\r\n\r\n", []int{bad}, 0, ""},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a.example\r\nX-A: \x00\r\n\r\n", []int{bad}, 0, ""},
	{"empty field name", "GET / HTTP/1.1\r\nHost: a.example\r\n: 1\r\n\r\n", []int{bad}, 0, ""},
	{"empty line first", "\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{bad}, 0, ""},
	{"HTTP/0.9", "GET /\r\n\r\n", []int{bad}, 0, ""},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{bad}, 0, ""},
	{"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a.example\r\n\r\n", []int{bad}, 0, ""},
	{"second of two is ambiguous", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\nPOST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", []int{ok, bad}, 1, "GET / "},

	// Methods, targets, hosts.
	{"CONNECT *", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", []int{405}, 0, ""},
	{"TRACE *", "TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{405}, 0, ""},
	{"PRI *", "PRI * HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{405}, 0, ""},
	{"HTTP/2 preface *", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{bad}, 0, ""},
	{"fragment *", "GET /a#b HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{bad}, 0, ""},
	{"absolute form", "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{bad}, 0, ""},
	{"absolute form, other host", "GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{bad}, 0, ""},
	{"asterisk form", "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{bad}, 0, ""},
	{"no Host", "GET / HTTP/1.1\r\n\r\n", []int{bad}, 0, ""},
	{"no Host, HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", []int{bad}, 0, ""},
	{"empty Host *", "GET / HTTP/1.1\r\nHost: \r\n\r\n", []int{bad}, 0, ""},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n", []int{bad}, 0, ""},
	{"Host is an address", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", []int{bad}, 0, ""},
	{"Host with user", "GET / HTTP/1.1\r\nHost: x@a.example\r\n\r\n", []int{bad}, 0, ""},
	{"Host with a bad port", "GET / HTTP/1.1\r\nHost: a.example:0x1bb\r\n\r\n", []int{bad}, 0, ""},
	{"Host in upper case *", "GET / HTTP/1.1\r\nHost: A.EXAMPLE\r\n\r\n", []int{ok, ok}, 2, "\r\nHost: a.example\r\n"},
	{"Host with a trailing dot *", "GET / HTTP/1.1\r\nHost: a.example.:443\r\n\r\n", []int{ok, ok}, 2, "\r\nHost: a.example\r\n"},
	{"Host of another route *", "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n", []int{421}, 0, ""},
	{"Host of no route", "GET / HTTP/1.1\r\nHost: nowhere.example\r\n\r\n", []int{421}, 0, ""},

	// Sizes and upgrades.
	{"10,000 fields *", "GET / HTTP/1.1\r\nHost: a.example\r\n" + strings.Repeat("A: b\r\n", 10_000) + "\r\n", []int{431}, 0, ""},
	{"101 fields *", "GET / HTTP/1.1\r\nHost: a.example\r\n" + strings.Repeat("A: b\r\n", 101) + "\r\n", []int{431}, 0, ""},
	{"URI of 9 KiB", "GET /" + strings.Repeat("a", 9<<10) + " HTTP/1.1\r\nHost: a.example\r\n\r\n", []int{414}, 0, ""},
	{"upgrade to h2c *", "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", []int{bad}, 0, ""},
	{"upgrade to websocket and h2c", "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n", []int{bad}, 0, ""},
	{"upgrade with a body", "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx", []int{bad}, 0, ""},
	{"unknown expectation", "GET / HTTP/1.1\r\nHost: a.example\r\nExpect: miracles\r\n\r\n", []int{417}, 0, ""},
}

// TestT8_WireCases sends what research §0 sent to a stock ReverseProxy, and more: each request is
// either refused before any backend sees it, or seen exactly once in its one reading.
func TestT8_WireCases(t *testing.T) {
	raw := newRawBackend(t)
	e := newEdge(t, map[string]string{"raw": raw.addr})
	e.serve(t, map[string]string{"a.example": "raw", "b.example": "raw"})
	for _, tt := range wireCases {
		t.Run(tt.name, func(t *testing.T) {
			raw.take()
			c := e.dial(t, "a.example", "http/1.1")
			go func() {
				_, _ = io.WriteString(c, tt.raw+"GET /END HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
			}()
			var statuses []int
			for r := bufio.NewReader(c); ; {
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					break
				}
				statuses = append(statuses, resp.StatusCode)
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					t.Fatal(err)
				}
			}
			seen := raw.take()
			if !slices.Equal(statuses, tt.statuses) || len(seen) != tt.reach {
				t.Fatalf("answered %v, backend saw %d requests, want %v, %d\n%s", statuses, len(seen), tt.statuses, tt.reach, strings.Join(seen, ""))
			}
			if tt.reach > 0 && !strings.Contains(seen[0], tt.sees) {
				t.Errorf("backend saw\n%s\nwant %q in it", seen[0], tt.sees)
			}
		})
	}
}

// TestT5_BackendSeesOnlyEdgeMadeValues sends every edge field in several spellings, and as a
// Connection option, over both protocols.
func TestT5_BackendSeesOnlyEdgeMadeValues(t *testing.T) {
	raw := newRawBackend(t)
	e := newEdge(t, map[string]string{"raw": raw.addr})
	e.serve(t, map[string]string{"a.example": "raw"})
	names := []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Uri", "X-Forwarded-Prefix",
		"X-Forwarded-Method", "X-Forwarded-Server", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Client-Cert", "X-Real-Ip", "X-Original-Url", "X-Original-Uri", "X-Rewrite-Url",
		"X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups", "X-Remote-User", "X-Auth-Request-User",
		"X-Authenticated-User", "X-Webauth-User", "X-Ssl-Client-Cert", "X-Amzn-Oidc-Identity", "X-Request-Id", "X-Warren-Anything", "Proxy"}
	const forged = "forged-by-client"
	for _, h2 := range []bool{false, true} {
		for _, spell := range []struct {
			name string
			f    func(string) string
		}{
			{"as is", func(s string) string { return s }},
			{"lower", strings.ToLower},
			{"upper", strings.ToUpper},
			{"underscores", func(s string) string { return strings.ReplaceAll(s, "-", "_") }},
			{"one underscore", func(s string) string { return strings.Replace(s, "-", "_", 1) }},
			{"dots", func(s string) string { return strings.ReplaceAll(s, "-", ".") }},
		} {
			t.Run(fmt.Sprintf("h2=%t/%s", h2, spell.name), func(t *testing.T) {
				req, err := http.NewRequest(http.MethodGet, "https://a.example/x", nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range names {
					spelt := spell.f(n)
					if h2 {
						spelt = strings.ToLower(spelt) // RFC 9113 §8.2
					}
					req.Header[spelt] = []string{forged}
				}
				if !h2 {
					req.Header.Set("Connection", "X-Forwarded-For, X-Request-Id, X-Forwarded-Proto, x-forwarded-host")
				}
				req.Header.Set("X-Mine", "kept")
				resp, err := e.client(t, h2, "").Do(req)
				if err != nil {
					t.Fatal(err)
				}
				b, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				seen := string(b)
				if resp.StatusCode != http.StatusOK || strings.Contains(seen, forged) || strings.Contains(seen, "_") {
					t.Fatalf("status %d, backend saw\n%s", resp.StatusCode, seen)
				}
				for _, want := range []string{"X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: https\r\n", "X-Forwarded-Host: a.example\r\n",
					"X-Request-Id: " + resp.Header.Get("X-Request-Id") + "\r\n", "X-Mine: kept\r\n"} {
					if strings.Count(seen, want) != 1 {
						t.Errorf("%q is there %d times in\n%s", want, strings.Count(seen, want), seen)
					}
				}
			})
		}
	}
}

// TestT5_TrailersAreNotFields sends an edge field behind the body, where no check looks.
func TestT5_TrailersAreNotFields(t *testing.T) {
	got := make(chan http.Header, 1)
	e := newEdge(t, map[string]string{"b": backend(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got <- r.Trailer
	})})
	e.serve(t, map[string]string{"a.example": "b"})
	c := e.dial(t, "a.example")
	_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nTrailer: Remote-User\r\n\r\n1\r\nx\r\n0\r\nRemote-User: root\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if trailer := <-got; len(trailer) > 0 {
		t.Errorf("backend got trailers %v", trailer)
	}
}

// FuzzGate holds the gate against net/http: whatever passes is split into the same requests with the
// same bodies, however it is cut.
func FuzzGate(f *testing.F) {
	for _, c := range wireCases {
		if len(c.raw) < 1<<10 {
			f.Add([]byte(c.raw), uint8(7))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint8) {
		whole, parts := new(scanner), new(scanner)
		good := whole.write(in)
		sum := 0
		for rest, step := in, int(cut)+1; len(rest) > 0; {
			n := min(step, len(rest))
			w := parts.write(rest[:n])
			sum += w
			if w < n {
				break
			}
			rest = rest[n:]
		}
		if good != sum {
			t.Fatalf("%d bytes pass whole, %d in pieces of %d", good, sum, int(cut)+1)
		}
		checkSplit(t, in[:good])
	})
}

// checkSplit lets net/http read what has passed, and a fresh scanner follow each message that it found.
func checkSplit(t *testing.T, passed []byte) {
	src := strings.NewReader(string(passed))
	r := bufio.NewReader(src)
	at := func() int { return len(passed) - src.Len() - r.Buffered() }
	for {
		start := at()
		req, err := http.ReadRequest(r)
		if err != nil {
			return // net/http is stricter in places: then nobody serves it
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return // cut short
		}
		s := new(scanner)
		if n := s.write(passed[start:at()]); n != at()-start || s.state != inRequestLine || len(s.line) > 0 || s.cr {
			t.Fatalf("net/http ends a message at %d of %q, the gate does not", at(), passed)
		}
	}
}

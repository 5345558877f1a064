package httpproxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/warrenedge/warren/dataplane/strict/stricttest"
)

// TestT8_WireCases sends what research §0 sent to a stock ReverseProxy, and more: each request is
// either refused before any backend sees it, or seen exactly once in its one reading.
func TestT8_WireCases(t *testing.T) {
	raw := newRawBackend(t)
	e := newEdge(t, map[string]string{"raw": raw.addr})
	e.serve(t, map[string]string{"a.example": "raw", "b.example": "raw"})
	for _, tt := range stricttest.Wire {
		t.Run(tt.Name, func(t *testing.T) {
			raw.take()
			c := e.dial(t, "a.example", "http/1.1")
			go func() {
				_, _ = io.WriteString(c, tt.Raw+"GET /END HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
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
			if !slices.Equal(statuses, tt.Statuses) || len(seen) != tt.Reach {
				t.Fatalf("answered %v, backend saw %d requests, want %v, %d\n%s", statuses, len(seen), tt.Statuses, tt.Reach, strings.Join(seen, ""))
			}
			if tt.Reach > 0 && !strings.Contains(seen[0], tt.Sees) {
				t.Errorf("backend saw\n%s\nwant %q in it", seen[0], tt.Sees)
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
		"X-Authenticated-User", "X-Webauth-User", "X-Ssl-Client-Cert", "X-Amzn-Oidc-Identity", "X-Request-Id", "X-Warren-Anything", "Warren-Assertion", "Warren-Access", "Warren-Anything", "Proxy"}
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

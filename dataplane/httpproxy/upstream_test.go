package httpproxy

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/page"
	"github.com/warrenedge/warren/shared/brand"
)

// seen is what a target says of a request.
type seen struct {
	Proto, Host, Path, Raw, ServerName string
	Header                             http.Header
	Said                               string // of another status than 200: the body
}

func echoing(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Powered-By", "secret")
	w.Header().Set("Warren-Said", "nothing")
	out := seen{Proto: r.Proto, Host: r.Host, Path: r.URL.Path, Raw: r.RequestURI, Header: r.Header}
	if r.TLS != nil {
		out.ServerName = r.TLS.ServerName
	}
	_ = json.NewEncoder(w).Encode(out)
}

// secureBackend speaks TLS; it gives its address and its certificate.
func secureBackend(t *testing.T, h http.HandlerFunc) (addr, authorities string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// asked serves one target at a.example, and asks it.
func asked(t *testing.T, e *edge, r Route, target, path string, h http.Header) (*http.Response, seen) {
	t.Helper()
	c := e.certificate(t, "a.example")
	r.Hostname, r.Service, r.Certificate = "a.example", "service", c.Name
	if r.Rules == nil {
		r.Rules = []Rule{{"/", []balance.Target{{ID: target, Site: "site", Weight: 1}}}}
	}
	e.Apply(Config{Certificates: []Certificate{c}, Routes: []Route{r}})
	req, err := http.NewRequest(http.MethodGet, "https://a.example"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range h {
		req.Header[k] = v
	}
	resp, err := e.client(t, true, "").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var s seen
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
			t.Fatal(err)
		}
		return resp, s
	}
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	s.Said = string(said)
	return resp, s
}

func TestSchemesOfTargets(t *testing.T) {
	tls, ca := secureBackend(t, echoing)
	e := newEdge(t, map[string]string{"tls": tls, "plain": backend(t, echoing)})
	other := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.certificate(t, "example.com").TLS.Certificate[0]}))
	for _, tt := range []struct {
		name, target string
		to           Upstream
		status       int
		proto        string
	}{
		{"http", "plain", Upstream{}, 200, "HTTP/1.1"},
		{"h2c", "plain", Upstream{Scheme: SchemeH2C}, 200, "HTTP/2.0"},
		{"https, not verified", "tls", Upstream{Scheme: SchemeHTTPS, ServerName: "inner.example"}, 200, "HTTP/1.1"},
		{"https, verified", "tls", Upstream{Scheme: SchemeHTTPS, ServerName: "example.com", Authorities: ca}, 200, "HTTP/1.1"},
		{"https, for another name", "tls", Upstream{Scheme: SchemeHTTPS, ServerName: "example.org", Authorities: ca}, 502, ""},
		{"https, of another authority", "tls", Upstream{Scheme: SchemeHTTPS, ServerName: "example.com", Authorities: other}, 502, ""},
		{"https, but it speaks none", "plain", Upstream{Scheme: SchemeHTTPS}, 502, ""},
	} {
		resp, s := asked(t, e, Route{Upstreams: map[string]Upstream{tt.target: tt.to}}, tt.target, "/x", nil)
		if resp.StatusCode != tt.status || s.Proto != tt.proto || tt.status == 200 && s.ServerName != tt.to.ServerName {
			t.Errorf("%s: %d, %+v", tt.name, resp.StatusCode, s)
		}
	}
}

// An upgrade goes to a target that wants HTTP/2 by HTTP/1.1, and to one behind TLS.
func TestUpgradeWhateverTheScheme(t *testing.T) {
	tls, _ := secureBackend(t, upgradeEcho)
	e := newEdge(t, map[string]string{"tls": tls, "plain": backend(t, upgradeEcho)})
	for target, scheme := range map[string]string{"plain": SchemeH2C, "tls": SchemeHTTPS} {
		c := e.certificate(t, "a.example")
		e.Apply(Config{Certificates: []Certificate{c}, Routes: []Route{{Hostname: "a.example", Certificate: c.Name, Upstreams: map[string]Upstream{target: {Scheme: scheme}},
			Rules: []Rule{{"/", []balance.Target{{ID: target, Site: "site", Weight: 1}}}}}}})
		conn, r := upgrade(t, e)
		if _, err := io.WriteString(conn, "hello"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(r, got); err != nil || string(got) != "hello" {
			t.Errorf("%s: %q, %v", scheme, got, err)
		}
		_ = conn.Close()
	}
}

func TestGRPCBehindTLS(t *testing.T) {
	addr, _ := secureBackend(t, echoing)
	e := newEdge(t, map[string]string{"b": addr})
	_, s := asked(t, e, Route{Upstreams: map[string]Upstream{"b": {Scheme: SchemeHTTPS}}}, "b", "/x", http.Header{"Content-Type": {"application/grpc"}})
	if s.Proto != "HTTP/2.0" {
		t.Errorf("%+v", s)
	}
}

func TestDelivery(t *testing.T) {
	e := newEdge(t, map[string]string{"b": backend(t, echoing)})
	d := Delivery{
		Host: "inner.example:8080",
		Request: Fields{Remove: []string{"X-Debug", "Absent"}, Set: []Field{{"X-Env", "prod"}, {"X-Debug", "no"}, {"Remote-User", "operator"},
			{"X-Forwarded-For", "192.0.2.99"}}},
		Response: Fields{Remove: []string{"X-Powered-By"}, Set: []Field{{"Strict-Transport-Security", "max-age=1"}, {"Set-Cookie", "__Host-warren-access=forged"}}},
	}
	resp, s := asked(t, e, Route{Delivery: d}, "b", "/x", http.Header{"X-Debug": {"yes", "twice"}, "X-Env": {"dev"}, "Remote-User": {"client"}})
	for name, want := range map[string]string{"X-Env": "prod", "X-Debug": "no", "Remote-User": "operator", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "a.example"} {
		if got := s.Header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("the target was told %s: %q, want %q", name, got, want)
		}
	}
	if s.Host != "inner.example:8080" {
		t.Errorf("host %q", s.Host)
	}
	for name, want := range map[string]string{"X-Powered-By": "", "Strict-Transport-Security": "max-age=1", "Warren-Said": "nothing", "Set-Cookie": ""} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("answered %s: %q, want %q", name, got, want)
		}
	}
}

func TestPrefixIsCutOff(t *testing.T) {
	e := newEdge(t, map[string]string{"a": backend(t, echoing), "b": backend(t, echoing)})
	to := func(id string) []balance.Target { return []balance.Target{{ID: id, Site: "site", Weight: 1}} }
	r := Route{Rules: []Rule{{"/", to("b")}, {"/app/v1/", to("a")}}, Upstreams: map[string]Upstream{"a": {StripPrefix: true}, "b": {StripPrefix: true}}}
	for path, want := range map[string]string{
		"/app/v1": "/", "/app/v1/": "/", "/app/v1/x/y?q=/app/v1": "/x/y?q=/app/v1", "/%61pp/v1/%C3%A9/z": "/%C3%A9/z", "/app/v2/x": "/app/v2/x", "/": "/", "/app/v1//": "",
	} {
		resp, s := asked(t, e, r, "", path, nil)
		if want == "" { // two readings: refused before anything is cut off
			if resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %d", path, resp.StatusCode)
			}
			continue
		}
		prefix := ""
		if strings.HasPrefix(path, "/app/v1") || strings.HasPrefix(path, "/%61") {
			prefix = "/app/v1"
		}
		if s.Raw != want || s.Header.Get("X-Forwarded-Prefix") != prefix {
			t.Errorf("%s: %q behind %q, want %q behind %q", path, s.Raw, s.Header.Get("X-Forwarded-Prefix"), want, prefix)
		}
	}
}

func TestMaintenance(t *testing.T) {
	e := newEdge(t, map[string]string{"b": backend(t, echoing), "gone": "127.0.0.1:1"})
	soon := &Maintenance{Title: "Being <moved>", Message: "Until noon.\n\nSorry."}
	always := *soon
	always.Always = true
	browser := http.Header{"Accept": {"text/html,*/*;q=0.8"}}
	for _, tt := range []struct {
		name, target string
		m            *Maintenance
		status       int
	}{
		{"none", "b", nil, 200},
		{"the target answers", "b", soon, 200},
		{"always", "b", &always, 503},
		{"it can't be reached", "gone", soon, 503},
		{"nobody knows the way", "unknown", soon, 503},
	} {
		for _, h := range []http.Header{browser, nil} {
			resp, _ := asked(t, e, Route{Maintenance: tt.m}, tt.target, "/x", h)
			if resp.StatusCode != tt.status || tt.status == 503 && resp.Header.Get("Retry-After") == "" {
				t.Errorf("%s: %d %v", tt.name, resp.StatusCode, resp.Header)
			}
		}
	}
	resp, _ := asked(t, e, Route{Maintenance: soon, Rules: []Rule{{"/", nil}}}, "", "/x", browser)
	if resp.StatusCode != 503 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || !strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("without targets: %d %v", resp.StatusCode, resp.Header)
	}
	_, s := asked(t, e, Route{Maintenance: &always}, "b", "/x", browser)
	if !strings.Contains(s.Said, "Being &lt;moved&gt;") || !strings.Contains(s.Said, "<p>Until noon.</p>") || !strings.Contains(s.Said, "<p>Sorry.</p>") {
		t.Errorf("page %s", s.Said)
	}
	if _, s = asked(t, e, Route{Maintenance: &always}, "b", "/x", nil); s.Said != "Being <moved>\nUntil noon.\n\nSorry.\n" {
		t.Errorf("text %q", s.Said)
	}
}

// What an organization has its pages look like is on all that the node answers itself; programs are told in words.
func TestLookOfPages(t *testing.T) {
	e := newEdge(t, map[string]string{"gone": "127.0.0.1:1"})
	look := page.NewLook(brand.Brand{Name: "Söhne & Co <b>", Accent: "#0a8f3c"})
	browser := http.Header{"Accept": {"text/html"}}
	for name, r := range map[string]Route{"failure": {}, "maintenance": {Maintenance: &Maintenance{Title: "Soon"}}, "no target": {Rules: []Rule{{"/", nil}}}, "no such path": {Rules: []Rule{{"/only", nil}}}} {
		r.Look = look
		resp, s := asked(t, e, r, "gone", "/x", browser)
		if !strings.Contains(s.Said, "Söhne &amp; Co &lt;b&gt;") || !strings.Contains(s.Said, "#0a8f3c") || !strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %v\n%s", name, resp.Header, s.Said)
		}
		if _, s := asked(t, e, r, "gone", "/x", nil); strings.ContainsAny(s.Said, "<>") {
			t.Errorf("%s, to a program: %s", name, s.Said)
		}
	}
}

// Targets that are spoken to in another way than before are reached over new connections.
func TestSchemeChanges(t *testing.T) {
	e := newEdge(t, map[string]string{"b": backend(t, echoing)})
	for _, scheme := range []string{"", SchemeH2C, ""} {
		want := "HTTP/1.1"
		if scheme == SchemeH2C {
			want = "HTTP/2.0"
		}
		if _, s := asked(t, e, Route{Upstreams: map[string]Upstream{"b": {Scheme: scheme}}}, "b", "/", nil); s.Proto != want {
			t.Errorf("%q: %s", scheme, s.Proto)
		}
	}
}

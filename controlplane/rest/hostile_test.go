package rest

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// with calls as a browser does that has a session, and is made to send fields.
func (w *world) with(token, method, path, body string, fields http.Header) reply {
	w.t.Helper()
	req := httptest.NewRequestWithContext(w.t.Context(), method, path, strings.NewReader(body))
	req.Header = fields.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.AddCookie(&http.Cookie{Name: SessionCookie, Value: token})
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, req)
	return reply{status: rec.Code, header: rec.Header(), body: rec.Body.Bytes()}
}

// recorded is how many entries the audit log has.
func (w *world) recorded() (n uint64) {
	w.t.Helper()
	if err := w.db.View(w.t.Context(), func(tx *store.Tx) error {
		h, err := tx.AuditHead(w.t.Context())
		n = h.Seq
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// TestT30OtherSites lets pages of other sites call every operation of the description with the cookie of somebody who may
// everything: what writes is refused and writes nothing, not even that somebody was here. What reads answers, to nobody who
// could look at the answer.
func TestT30OtherSites(t *testing.T) {
	w := newWorld(t)
	w.api.Preflight = satisfied{}
	ops := w.targets()
	who := w.signIn("root@example.com", "default", model.RoleOwner)
	w.must(200, "PUT", "/api/v1/users/root@example.com", `{"cluster_role":"`+model.RoleClusterAdmin.String()+`"}`)
	w.with(who, "GET", "/api/v1/me", "", nil)
	elsewhere := map[string]http.Header{
		"cross-site":                  {"Sec-Fetch-Site": {"cross-site"}},
		"neighbour":                   {"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://evil.example.com"}},
		"says that its origin is us":  {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"http://example.com"}},
		"unknown site":                {"Sec-Fetch-Site": {"sideways"}},
		"older browser":               {"Origin": {"https://evil.example"}},
		"older browser, sandboxed":    {"Origin": {"null"}},
		"older browser, another port": {"Origin": {"http://example.com:8080"}},
		"older browser, user in it":   {"Origin": {"http://example.com@evil.example"}},
		"older browser, longer":       {"Origin": {"http://example.com.evil.example"}},
	}
	before, recorded := w.head(), w.recorded()
	writes, reads := 0, 0
	for name, fields := range elsewhere {
		for _, op := range ops {
			r := w.with(who, op.method, op.path, op.body, fields)
			if v := r.header.Get("Access-Control-Allow-Origin"); v != "" {
				t.Errorf("%s: %s %s lets %s look at the answer", name, op.method, op.path, v)
			}
			refused := r.status == http.StatusForbidden && bytes.Contains(r.body, []byte("another site"))
			if op.method == "GET" {
				if reads++; refused || r.status >= 500 && r.status != http.StatusServiceUnavailable {
					t.Errorf("%s: %s %s: %d %s", name, op.method, op.path, r.status, r.body)
				}
				continue
			}
			if writes++; !refused {
				t.Errorf("%s: %s %s: %d %s", name, op.method, op.path, r.status, r.body)
			}
		}
	}
	if reads < 40*len(elsewhere) || writes < 60*len(elsewhere) {
		t.Errorf("%d reads and %d writes: this test looks at little", reads, writes)
	}
	if after, now := w.head(), w.recorded(); after != before || now != recorded {
		t.Errorf("revision %d before, %d after; %d entries of the audit log, then %d", before, after, recorded, now)
	}
	// Our own pages may, as may who has no page at all.
	for i, fields := range []http.Header{{"Sec-Fetch-Site": {"same-origin"}}, {"Sec-Fetch-Site": {"none"}}, {"Origin": {"http://example.com"}}, {}} {
		if r := w.with(who, "POST", "/api/v1/regions", fmt.Sprintf(`{"name":"mine%d"}`, i), fields); r.status != http.StatusCreated {
			t.Errorf("%v: %d %s", fields, r.status, r.body)
		}
	}
}

// altered are texts that are not a credential any more: every character another one, every length, what stands around it.
func altered(secret string) (out []string) {
	for i := range secret {
		b := []byte(secret)
		if b[i] = 'A'; secret[i] == 'A' {
			b[i] = 'B'
		}
		out = append(out, string(b), secret[:i])
		if flipped := strings.ToUpper(secret[i : i+1]); flipped != secret[i:i+1] {
			out = append(out, secret[:i]+flipped+secret[i+1:])
		}
	}
	return append(out, secret+"A", secret+"=", secret+"_", "A"+secret, secret+secret, secret+"\x00", "", " ", "null", "undefined")
}

// TestT33EveryAlteredCredential calls with keys and sessions of which one character is another, or that are shorter or longer.
func TestT33EveryAlteredCredential(t *testing.T) {
	w := newWorld(t)
	session := w.signIn("ann@example.com", "default", model.RoleOwner)
	before := w.head()
	for kind, good := range map[string]string{"key": w.key, "session": session} {
		if r := w.as(good, "GET", "/api/v1/me", ""); r.status != http.StatusOK {
			t.Fatalf("%s: %d %s", kind, r.status, r.body)
		}
		for _, text := range altered(good) {
			for _, how := range []func(*http.Request){
				func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+text) },
				func(r *http.Request) { r.Header.Set("Cookie", SessionCookie+"="+text) },
			} {
				r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/me", nil)
				how(r)
				rec := httptest.NewRecorder()
				if w.api.ServeHTTP(rec, r); rec.Code != http.StatusUnauthorized {
					t.Errorf("%s as %q: %d %s", kind, text, rec.Code, rec.Body)
				}
			}
		}
		// One kind of credential is none of the other kind, nor in another place.
		for field, value := range map[string]string{"Authorization": "Basic " + good, "X-Api-Key": good, "Cookie": "warren=" + good, "Proxy-Authorization": "Bearer " + good} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/me?access_token="+good, nil)
			r.Header.Set(field, value)
			rec := httptest.NewRecorder()
			if w.api.ServeHTTP(rec, r); rec.Code != http.StatusUnauthorized {
				t.Errorf("%s in %s: %d", kind, field, rec.Code)
			}
		}
	}
	if r := w.with(w.key, "GET", "/api/v1/me", "", nil); r.status != http.StatusUnauthorized {
		t.Errorf("a key as a cookie: %d", r.status)
	}
	if after := w.head(); after != before {
		t.Errorf("revision %d before, %d after", before, after)
	}
}

// TestT25PageTokens changes every character of a page token, and makes tokens up.
func TestT25PageTokens(t *testing.T) {
	w := newWorld(t)
	w.must(201, "POST", "/api/v1/regions", `{"name":"x"}`)
	var p struct {
		Next string `json:"next_page_token"`
	}
	w.must(200, "GET", "/api/v1/regions?page_size=1", "").into(t, &p)
	w.must(200, "GET", "/api/v1/regions?page_size=1&page_token="+p.Next, "")
	forged := altered(p.Next)
	for _, mark := range []string{"'", "x' OR '1'='1", "\x00", "region_00000000000000000000000000", strings.Repeat("z", 700)} {
		forged = append(forged, base64.RawURLEncoding.EncodeToString([]byte(mark)), base64.RawURLEncoding.EncodeToString(append(make([]byte, 16), mark...)))
	}
	for _, text := range forged {
		if text == "" {
			continue // the first page
		}
		if r := w.call("GET", "/api/v1/regions?page_size=1&page_token="+url.QueryEscape(text), ""); r.status != http.StatusBadRequest {
			t.Errorf("page token %q: %d %s", text, r.status, r.body)
		}
	}
}

// injections are what is tried on statements that are put together from text.
var injections = []string{
	"'", `"`, "';", "' OR '1'='1", "' OR 1=1 --", `") OR ("1"="1`, "1; DROP TABLE sites; --", "' UNION SELECT secret_hash FROM api_keys --", "'||(SELECT pg_sleep(30))||'",
	"1) AND (SELECT 1 FROM pg_sleep(30))=(1", "$1", "$$x$$", "%27%20OR%201=1", `\'`, `\x27`, "name DESC; SELECT 1", "(CASE WHEN 1=1 THEN name ELSE id END)", "*", "%", "_", "{{7*7}}", "\u02bc OR 1=1", "x\x00' --",
}

// TestT25Injections puts them wherever the description takes a text: nothing of it is understood, and nothing written.
func TestT25Injections(t *testing.T) {
	w := newWorld(t)
	w.targets()
	before := w.head()
	tried := 0
	parameter := regexp.MustCompile(`\{[a-z]+\}`)
	for path, item := range w.api.huma.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "DELETE": item.Delete} {
			if op == nil {
				continue
			}
			for _, text := range injections {
				var asked []string
				if names := parameter.FindAllString(path, -1); len(names) > 0 {
					for _, bad := range names {
						asked = append(asked, parameter.ReplaceAllStringFunc(path, func(s string) string {
							if s == bad {
								return url.PathEscape(text)
							}
							return "default"
						}))
					}
				} else if method == "GET" {
					for _, q := range op.Parameters {
						if q.In == "query" {
							asked = append(asked, path+"?"+q.Name+"="+url.QueryEscape(text))
						}
					}
				}
				for _, at := range asked {
					tried++
					r := w.call(method, at, "")
					if r.status < 400 && !(method == "GET" && strings.Contains(at, "?")) || r.status >= 500 || bytes.Contains(r.body, []byte("SQLSTATE")) {
						t.Errorf("%s %s: %d %s", method, at, r.status, r.body)
					}
				}
			}
		}
	}
	if after := w.head(); after != before || tried < 1000 {
		t.Errorf("revision %d before, %d after, %d tries", before, after, tried)
	}
}

// TestT26NobodyGetsAnothersAnswer lets many call at once and hang up at any moment, so that connections of the database's
// pool are given back in every state: an answer is always of who has asked. Each is read from the database.
func TestT26NobodyGetsAnothersAnswer(t *testing.T) {
	const people, each = 24, 60
	w := newWorld(t)
	token := map[string]string{}
	for i := range people {
		email := fmt.Sprintf("user%d@example.com", i)
		token[email] = w.signIn(email, "default", model.RoleViewer)
		w.with(token[email], "GET", "/api/v1/me", "", nil)
	}
	var answered, given atomic.Int64
	var all sync.WaitGroup
	for email, who := range token {
		all.Go(func() {
			r := rand.New(rand.NewPCG(26, uint64(len(email))+uint64(email[4])))
			for range each {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(6000))*time.Microsecond)
				if r.IntN(2) == 0 {
					ctx, cancel = context.WithCancel(t.Context())
				}
				req := httptest.NewRequestWithContext(ctx, "GET", "/api/v1/me", nil)
				req.AddCookie(&http.Cookie{Name: SessionCookie, Value: who})
				rec := httptest.NewRecorder()
				w.api.ServeHTTP(rec, req)
				cancel()
				switch body := rec.Body.String(); {
				case rec.Code != http.StatusOK:
					given.Add(1)
				case !strings.Contains(body, `"`+email+`"`) || strings.Count(body, "@example.com") != strings.Count(body, email):
					t.Errorf("%s gets %s", email, body)
				default:
					answered.Add(1)
				}
			}
		})
	}
	all.Wait()
	if answered.Load() < people*each/3 || given.Load() == 0 {
		t.Errorf("%d were answered, %d hung up: this test looks at little", answered.Load(), given.Load())
	}
}

// TestT37ForeignIDs uses what belongs to one organization by its id at the place of another's own: the answer is the one for
// an id that nobody has.
func TestT37ForeignIDs(t *testing.T) {
	w := newWorld(t)
	w.api.Preflight = satisfied{}
	ops := w.targets()
	w.must(201, "POST", "/api/v1/organizations", `{"name":"stranger"}`)
	owner := w.signIn("owner@stranger.example", "stranger", model.RoleOwner)
	w.as(owner, "GET", "/api/v1/me", "")
	ids := map[string]string{} // path of an object to its id
	for _, op := range ops {
		var o struct{ ID string }
		if op.method == "GET" && op.org && strings.Count(op.path, "/") == 6 {
			if r := w.call("GET", op.path, ""); r.status == 200 && bytes.HasPrefix(r.body, []byte("{")) {
				r.into(t, &o)
			}
			if o.ID != "" {
				ids[op.path] = o.ID
			}
		}
	}
	before, looked := w.head(), 0
	for _, op := range ops {
		if !op.org {
			continue
		}
		for path, id := range ids {
			rest, ok := strings.CutPrefix(op.path, path)
			if !ok || rest != "" && rest[0] != '/' {
				continue
			}
			nobodys := id[:len(id)-4] + "0000"
			at := strings.Replace(path[:strings.LastIndexByte(path, '/')+1], "/default/", "/stranger/", 1)
			foreign, none := w.as(owner, op.method, at+id+rest, op.body), w.as(owner, op.method, at+nobodys+rest, op.body)
			looked++
			if foreign.status != http.StatusNotFound || strings.ReplaceAll(strip(foreign), id, nobodys) != strip(none) {
				t.Errorf("%s %s: %s, of an id that nobody has %s", op.method, at+id+rest, strip(foreign), strip(none))
			}
		}
	}
	if after := w.head(); after != before || looked < 30 || len(ids) < 10 {
		t.Errorf("revision %d before, %d after; %d operations on %d objects", before, after, looked, len(ids))
	}
}

package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/feed"
	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/controlplane/tail"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// world is a replica without listeners on a real database.
type world struct {
	t    testing.TB
	db   *store.Store
	api  *API
	seen *presence.Store
	key  string // of the whole cluster
	now  *model.Current

	calls counted
}

// counted counts calls by a clock that tests move; until they have stopped it all are let through.
type counted struct {
	mu      sync.Mutex
	stopped time.Time
	paid    map[limits.Key]time.Time
}

func (c *counted) Take(_ context.Context, keys ...limits.Key) (wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped.IsZero() {
		return 0
	}
	for _, k := range keys {
		var w time.Duration
		c.paid[k], w = limits.Decide(c.paid[k], c.stopped, k.Rate())
		wait = max(wait, w)
	}
	return wait
}

// pass moves the clock by d; from the first time on calls are counted.
func (c *counted) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped.IsZero() {
		c.stopped, c.paid = time.Now(), map[limits.Key]time.Time{}
	}
	c.stopped = c.stopped.Add(d)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	db := storetest.New(t)
	kek, err := authority.NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := authority.NewSealer(kek)
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := admin.Bootstrap(t.Context(), db, sealer)
	if err != nil {
		t.Fatal(err)
	}
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	w := &world{t: t, db: db, key: cluster.FirstKey, now: model.NewCurrent(), seen: presence.New("r1", presence.Memory{}, log, reg)}
	pusher := push.New(push.Options{Cluster: cluster.ID, Log: log, Reg: reg})
	compiler := snapshot.New(sealer.Open)
	var prev *model.Model
	changes := feed.New(db, func(b model.Batch) {
		next := w.now.Get().Apply(b)
		pusher.Publish(compiler.Build(prev, next, b), next)
		prev = next
		w.now.Set(next)
	}, log, reg)
	adm := admin.New(db, certs.NewIssuer(cluster.Web, sealer), sealer, cluster.Identity.Fingerprint())
	if adm.Tails, err = tail.New("", log, reg); err != nil {
		t.Fatal(err)
	}
	Inform(adm, w.now, w.seen, &hops.Source{World: w.now, Seen: w.seen, Required: Required(pusher)})
	w.api = New(Options{
		Admin: adm, World: w.now, Push: pusher, Presence: w.seen,
		Database: func() time.Duration { return changes.Age(time.Now()) }, PageKey: []byte("secret"), Limits: &w.calls, Previewer: compiler, Log: log, Reg: reg,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = changes.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	if err := pusher.WaitPublished(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return w
}

// reply is an answer.
type reply struct {
	status   int
	header   http.Header
	body     []byte
	revision uint64 // that the call made, else 0
	holds    uint64 // that has what the call asked for
}

func (r reply) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(r.body, v); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
}

func (w *world) as(key, method, path, body string) reply {
	w.t.Helper()
	return w.send(key, method, path, body, nil)
}

// matching is call of an object that has to have a tag.
func (w *world) matching(tag, method, path, body string) reply {
	w.t.Helper()
	return w.send(w.key, method, path, body, http.Header{"If-Match": {tag}})
}

func (w *world) send(key, method, path, body string, extra http.Header) reply {
	w.t.Helper()
	req := httptest.NewRequestWithContext(w.t.Context(), method, path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, values := range extra {
		req.Header[name] = values
	}
	switch {
	case strings.HasPrefix(key, "wrn_session_"):
		req.AddCookie(&http.Cookie{Name: SessionCookie, Value: key})
	case key != "":
		req.Header.Set("Authorization", "Bearer "+key)
	}
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, req)
	b, err := io.ReadAll(rec.Result().Body)
	if err != nil {
		w.t.Fatal(err)
	}
	r := reply{status: rec.Code, header: rec.Header(), body: b}
	if h := rec.Header().Get("X-Warren-Revision"); h != "" {
		rev, err := strconv.ParseUint(h, 10, 64)
		if err != nil {
			w.t.Fatal(err)
		}
		if r.holds = rev; rec.Header().Get("X-Warren-Unchanged") == "" {
			r.revision = rev
		}
	}
	return r
}

func (w *world) call(method, path, body string) reply {
	w.t.Helper()
	return w.as(w.key, method, path, body)
}

// must calls and wants a status.
func (w *world) must(status int, method, path, body string) reply {
	w.t.Helper()
	r := w.call(method, path, body)
	if r.status != status {
		w.t.Fatalf("%s %s %s: %d %s; want %d", method, path, body, r.status, r.body, status)
	}
	return r
}

// head is the newest revision of the database.
func (w *world) head() model.Revision {
	w.t.Helper()
	b, err := w.db.Changes(w.t.Context(), 0, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	return b.To
}

const org = "/api/v1/orgs/default"

// service makes a service with all that it stands on.
func (w *world) service() {
	w.t.Helper()
	w.must(201, "POST", org+"/domains", `{"name":"example.com","pool":"default"}`)
	w.must(201, "POST", org+"/sites", `{"name":"home","pool":"default"}`)
	w.must(201, "POST", org+"/connectors", `{"name":"box","site":"home"}`)
	w.must(201, "POST", org+"/services", `{"name":"wiki","kind":"http","hostname":"wiki.example.com","pool":"default"}`)
	w.must(201, "POST", org+"/targets", `{"name":"wiki","service":"wiki","site":"home","address":"10.0.0.1","port":80}`)
	w.must(201, "POST", "/api/v1/nodes", `{"name":"n1","pool":"default","region":"default","addresses":["192.0.2.1"]}`)
}

// orgKey makes an organization with a key of its own.
func (w *world) orgKey(name string) string {
	w.t.Helper()
	w.must(201, "POST", "/api/v1/organizations", `{"name":"`+name+`"}`)
	var k struct{ Secret string }
	w.must(201, "POST", "/api/v1/api-keys", `{"name":"`+name+`","organization":"`+name+`"}`).into(w.t, &k)
	return k.Secret
}

// locations are the fields that a problem document names.
func (r reply) locations(t *testing.T) []string {
	t.Helper()
	if ct := r.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("content type %q of %s", ct, r.body)
	}
	var p struct {
		Status    int    `json:"status"`
		Title     string `json:"title"`
		RequestID string `json:"request_id"`
		Errors    []struct {
			Location string `json:"location"`
		} `json:"errors"`
	}
	r.into(t, &p)
	if p.Status != r.status || p.Title == "" || p.RequestID == "" || p.RequestID != r.header.Get("X-Request-Id") {
		t.Errorf("incomplete problem document: %s", r.body)
	}
	if bytes.Contains(r.body, []byte("SQLSTATE")) {
		t.Errorf("the problem shows the database's words: %s", r.body)
	}
	var out []string
	for _, e := range p.Errors {
		out = append(out, e.Location)
	}
	return out
}

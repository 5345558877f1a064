package rest

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/tail"
	"github.com/warrenedge/warren/shared/loglinear"
)

// logged writes requests of the service wiki, one a second up to now, and what was counted of them.
func (w *world) logged(n int) (service model.ServiceID, list []*model.Request) {
	w.t.Helper()
	w.service()
	now := time.Now().UTC().Truncate(time.Second)
	if err := w.db.MakePartitions(w.t.Context(), now.Add(-24*time.Hour), 2); err != nil {
		w.t.Fatal(err)
	}
	_, err := w.db.Tx(w.t.Context(), "test", func(tx *store.Tx) error {
		s, err := tx.GetServiceByName(w.t.Context(), w.orgID("default"), "wiki")
		if err != nil {
			return err
		}
		service = s.ID
		for i := range n {
			list = append(list, &model.Request{
				ID: uuid.Must(uuid.NewV7()), At: now.Add(time.Duration(i-n) * time.Second), Org: s.Org, Kind: model.HTTP, Service: s.ID, ServiceName: "wiki", Node: model.NodeID{}.New(), NodeName: "n1",
				Client: netip.MustParseAddr("192.0.2.7"), Method: "GET", Host: "wiki.example.com", Path: "/p", Status: 200 + 300*(i%2), Total: time.Millisecond, Decision: model.DecisionAllowed, Reason: "=HYPERLINK",
			})
		}
		if _, err := tx.AddRequests(w.t.Context(), list); err != nil {
			return err
		}
		return tx.AddTraffic(w.t.Context(), []*model.NodeTraffic{{At: now.Add(-time.Minute).Truncate(model.TrafficFine), Org: s.Org, Service: s.ID, Node: model.NodeID{}.New(), Traffic: model.Traffic{
			Requests: 8, Statuses: [6]int64{2: 6, 5: 2}, Failed: 2, Out: 10, Unlogged: 3, Took: loglinear.Counts{Buckets: []int32{50}, Counts: []int64{8}},
		}}})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return service, list
}

func TestRequestLog(t *testing.T) {
	w := newWorld(t)
	_, all := w.logged(7)
	var got []string
	for token := ""; ; {
		var p requestPage
		w.must(200, "GET", org+"/requests?service=wiki&since=1h&page_size=3&page_token="+token, "").into(t, &p)
		for _, r := range p.Items {
			got = append(got, r.ID)
		}
		if token = p.Next; token == "" {
			break
		}
	}
	var want []string
	for _, r := range slices.Backward(all) {
		want = append(want, r.ID.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("page by page %v, want %v", got, want)
	}
	for query, n := range map[string]int{
		"status=5xx": 3, "status=200": 4, "status=500-599": 3, "method=GET": 7, "method=PUT": 0, "client=192.0.2.0/24": 7, "client=192.0.2.8": 0, "path=/p": 7, "path=/q": 0,
		"host=WIKI.example.com": 7, "decision=denied": 0, "user=x": 0, "site=home": 0, "node=n1": 7, "until=24h": 0,
	} {
		var p requestPage
		if w.must(200, "GET", org+"/requests?"+query, "").into(t, &p); len(p.Items) != n {
			t.Errorf("%s: %d, want %d", query, len(p.Items), n)
		}
	}
	for _, query := range []string{"status=6xx", "status=x", "status=404-200", "client=x", "path=x", "decision=x", "since=x", "until=-1h", "since=1h&until=2h", "nonsense=1"} {
		if r := w.call("GET", org+"/requests?"+query, ""); r.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		} else {
			r.locations(t)
		}
	}
	if r := w.call("GET", org+"/requests?page_token=x", ""); r.status != http.StatusBadRequest {
		t.Errorf("a token that is none: %d", r.status)
	}
	// What another organization asks about this one is not there, and what it asks about itself is empty.
	key := w.orgKey("rival")
	for _, path := range []string{"/requests", "/requests/export", "/requests/tail", "/traffic", "/events", "/events/tail", "/request-log"} {
		if r := w.as(key, "GET", org+path, ""); r.status != http.StatusNotFound {
			t.Errorf("%s by another organization: %d", path, r.status)
		}
	}
	var none requestPage
	if w.as(key, "GET", "/api/v1/orgs/rival/requests", "").into(t, &none); len(none.Items) != 0 {
		t.Errorf("another organization sees %v", none)
	}
}

func TestRequestLogHasGaps(t *testing.T) {
	w := newWorld(t)
	w.logged(120)
	var p requestPage
	w.must(200, "GET", org+"/requests?page_size=500", "").into(t, &p)
	if len(p.Gaps) != 1 || p.Gaps[0].Service != "wiki" || p.Gaps[0].Requests != 3 {
		t.Errorf("%+v", p.Gaps)
	}
}

func TestRequestLogSettings(t *testing.T) {
	w := newWorld(t)
	var s admin.RequestLogSpec
	if w.must(200, "GET", org+"/request-log", "").into(t, &s); s.KeepDays != model.RequestLogDays {
		t.Errorf("%+v", s)
	}
	w.must(200, "PUT", org+"/request-log", `{"keep_days":30}`)
	if w.must(200, "GET", org+"/request-log", "").into(t, &s); s.KeepDays != 30 {
		t.Errorf("%+v", s)
	}
	w.must(422, "PUT", org+"/request-log", `{"keep_days":91}`)
}

func TestExport(t *testing.T) {
	w := newWorld(t)
	w.logged(exportPage + 5)
	r := w.must(200, "GET", org+"/requests/export?since=24h", "")
	if n := strings.Count(string(r.body), "\n"); n != exportPage+5 || r.header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%d lines of %s", n, r.header.Get("Content-Type"))
	}
	r = w.must(200, "GET", org+"/requests/export?format=csv&status=5xx", "")
	rows, err := csv.NewReader(strings.NewReader(string(r.body))).ReadAll()
	if err != nil || len(rows) != 1+(exportPage+5)/2 || rows[1][3] != "wiki" || rows[1][11] != "500" || rows[1][18] != "'=HYPERLINK" {
		t.Errorf("%d rows, %v, %v", len(rows), rows[:2], err)
	}
}

func TestTraffic(t *testing.T) {
	w := newWorld(t)
	service, _ := w.logged(0)
	for query, want := range map[string]string{
		"":                     "8 wiki=false 200:6 500:2",
		"?by=service":          "8 wiki=true 200:6 500:2",
		"?by=node":             "8 wiki=false 200:6 500:2",
		"?service=wiki":        "8 wiki=false 200:6 500:2",
		"?step=15s&since=10m":  "8 wiki=false 200:6 500:2",
		"?site=home":           "",
		"?since=24h&until=12h": "",
	} {
		var p page[admin.Traffic]
		w.must(200, "GET", org+"/traffic"+query, "").into(t, &p)
		got := ""
		for _, v := range p.Items {
			got += fmt.Sprintf("%d wiki=%v 200:%d 500:%d", v.Requests, v.Name == "wiki", v.Statuses.S2xx, v.Statuses.S5xx)
			if v.P50 <= 0 || v.P50 != v.P99 || v.Rate <= 0 || v.Unlogged != 3 || v.Failed != 2 || (v.ID != "") != strings.HasPrefix(query, "?by=") || (v.At != nil) != strings.HasPrefix(query, "?step=") {
				t.Errorf("%s: %+v", query, v)
			}
			if query == "?by=service" && v.ID != service.String() {
				t.Errorf("%+v", v)
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	for _, query := range []string{"step=7s", "step=x", "step=15s&since=720h", "by=x", "by=service&step=15s", "by=node&since=48h", "since=1h&until=2h", "since=9999h", "service=x", "site=x"} {
		if r := w.call("GET", org+"/traffic?"+query, ""); r.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		}
	}
}

// sse reads events of a tail.
type sse struct {
	t    testing.TB
	scan *bufio.Scanner
}

func (w *world) tail(path string) *sse {
	w.t.Helper()
	srv := httptest.NewServer(w.api)
	w.t.Cleanup(srv.Close)
	ctx, cancel := context.WithCancel(w.t.Context())
	w.t.Cleanup(cancel) // before the server closes
	req, err := http.NewRequestWithContext(ctx, "GET", srv.URL+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		w.t.Fatalf("%d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return &sse{w.t, bufio.NewScanner(resp.Body)}
}

// next gives name and data of an event; "" at the end.
func (s *sse) next() (name, data string) {
	for s.scan.Scan() {
		if n, ok := strings.CutPrefix(s.scan.Text(), "event: "); ok {
			name = n
		} else if d, ok := strings.CutPrefix(s.scan.Text(), "data: "); ok {
			return name, d
		}
	}
	return "", ""
}

func TestTailOfRequests(t *testing.T) {
	w := newWorld(t)
	s := w.tail(org + "/requests/tail?status=5xx")
	id := w.orgID("default")
	w.api.Admin.Tails.Publish(tail.Batch{
		Org: id, Requests: []*model.Request{{Org: id, Status: 200, Path: "/no"}, {Org: id, Status: 503, Path: "/yes", At: time.Now()}},
		Gaps: []*model.RequestGap{{Org: id, ServiceName: "wiki", Requests: 4}},
	})
	if name, data := s.next(); name != "request" || !strings.Contains(data, `"/yes"`) {
		t.Errorf("%s %s", name, data)
	}
	if name, data := s.next(); name != "gap" || !strings.Contains(data, `"wiki"`) || !strings.Contains(data, `:4`) {
		t.Errorf("%s %s", name, data)
	}
	many := make([]*model.Request, 5000)
	for i := range many {
		many[i] = &model.Request{Org: id, Status: 500}
	}
	w.api.Admin.Tails.Publish(tail.Batch{Org: id, Requests: many})
	name := ""
	for n := 0; name != "dropped" && n <= len(many); n++ {
		name, _ = s.next()
	}
	if name != "dropped" {
		t.Error("it is not told what was not shown")
	}
	if name, _ := w.tail(org + "/requests/tail?for=1ms").next(); name != "" {
		t.Errorf("after the end: %s", name)
	}
}

// Whose key ends sees nothing more, although he watches already.
func TestTailEndsWithItsKey(t *testing.T) {
	w := newWorld(t)
	var k struct{ Secret string }
	w.must(201, "POST", "/api/v1/api-keys", `{"name":"watcher","organization":"default"}`).into(t, &k)
	all := w.key
	w.key = k.Secret
	s := w.tail(org + "/requests/tail")
	w.key = all
	w.must(204, "DELETE", "/api/v1/api-keys/watcher", "")
	if name, data := s.next(); name != "" {
		t.Errorf("%s %s", name, data)
	}
}

func TestEvents(t *testing.T) {
	w := newWorld(t)
	raise := func(typ model.EventType, once string) {
		t.Helper()
		e, err := model.NewEvent(typ, w.orgID("default"), "certificate_x", once, map[string]string{"of": once}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.db.Tx(t.Context(), "test", func(tx *store.Tx) error { _, err := tx.RaiseEvent(t.Context(), e); return err }); err != nil {
			t.Fatal(err)
		}
	}
	raise(model.CertificateIssued, "1")
	raise(model.CertificateFailed, "2")
	raise(model.WebhookTest, "3")
	var p page[admin.Event]
	if w.must(200, "GET", org+"/events?page_size=1", "").into(t, &p); len(p.Items) != 1 || p.Items[0].Type != model.CertificateFailed || p.Next == "" {
		t.Fatalf("%+v", p)
	}
	if w.must(200, "GET", org+"/events?page_size=1&page_token="+p.Next, "").into(t, &p); len(p.Items) != 1 || p.Items[0].Type != model.CertificateIssued {
		t.Errorf("%+v", p)
	}
	if w.must(200, "GET", org+"/events?type=certificate.issued", "").into(t, &p); len(p.Items) != 1 || p.Items[0].Type != model.CertificateIssued {
		t.Errorf("%+v", p)
	}
	s := w.tail(org + "/events/tail")
	raise(model.CertificateExpiring, "4")
	if name, data := s.next(); name != "event" || !strings.Contains(data, `"certificate.expiring"`) {
		t.Errorf("%s %s", name, data)
	}
}

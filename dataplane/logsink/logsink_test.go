package logsink

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	logs "go.opentelemetry.io/proto/otlp/logs/v1"

	"github.com/warrenedge/warren/dataplane/requestlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func record() requestlog.Record {
	return requestlog.Record{
		At: time.Date(2026, 11, 26, 12, 0, 0, 5000, time.UTC), ID: requestlog.NewID(), Service: "service_a", Site: "site_a", Client: netip.MustParseAddr("192.0.2.7"), Method: "GET", Host: "wiki.example.org",
		Path: "/a\"]\\\x1b\xff", Status: 502, In: 1, Out: 2, Total: 1500 * time.Microsecond, Error: "target",
	}
}

func start(t *testing.T, c Config) *Sinks {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s := New([]Config{c}, "edge-1", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

func TestLinesOfJSON(t *testing.T) {
	got := make(chan []byte, 1)
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable) // it is asked again
			return
		}
		if r.Header.Get("Authorization") != "Bearer x" || r.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%v", r.Header)
		}
		got <- b
	}))
	defer srv.Close()
	s := start(t, Config{Kind: HTTP, URL: srv.URL, Headers: map[string]string{"Authorization": "Bearer x"}})
	s.Records([]requestlog.Record{record(), record()})
	text := strings.Split(strings.TrimSpace(string(<-got)), "\n")
	var m map[string]any
	if err := json.Unmarshal([]byte(text[0]), &m); err != nil || len(text) != 2 || m["service"] != "service_a" || m["status"] != 502. || m["at"] != "2026-11-26T12:00:00.000005Z" || m["node"] != "edge-1" || m["total_ms"] != 1.5 || m["client"] != "192.0.2.7" {
		t.Errorf("%v, %v", m, err)
	}
	s.Flush(30 * time.Second)
	if n := testutil.ToFloat64(s.sent.WithLabelValues("0", HTTP)); n != 2 {
		t.Errorf("%v sent", n)
	}
}

func TestOpenTelemetry(t *testing.T) {
	got := make(chan []byte, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- b
	}))
	defer srv.Close()
	s := start(t, Config{Kind: OTLP, URL: srv.URL + "/v1/logs"})
	s.Records([]requestlog.Record{record()})
	var m logs.LogsData
	if err := proto.Unmarshal(<-got, &m); err != nil {
		t.Fatal(err)
	}
	r := m.GetResourceLogs()[0].GetScopeLogs()[0].GetLogRecords()[0]
	attributes := map[string]string{}
	for _, a := range r.GetAttributes() {
		attributes[a.GetKey()] = fmt.Sprint(a.GetValue().GetStringValue(), a.GetValue().GetDoubleValue())
	}
	if r.GetSeverityText() != "ERROR" || r.GetTimeUnixNano() != uint64(record().At.UnixNano()) || attributes["warren.host"] != "wiki.example.org0" || attributes["warren.status"] != "502" {
		t.Errorf("%v", r)
	}
}

func TestSyslogOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := start(t, Config{Kind: Syslog, URL: "tcp://" + l.Addr().String()})
	s.Records([]requestlog.Record{record(), record()})
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for range 2 { // each with its length before it
		var n int
		if _, err := fmt.Fscanf(r, "%d", &n); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, n+1)
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatal(err)
		}
		m := string(b[1:])
		if !strings.HasPrefix(m, "<131>1 2026-11-26T12:00:00.000005Z ") || !strings.Contains(m, ` warren-node `) || !strings.Contains(m, ` path="/a\"\]\\?`) || !strings.Contains(m, `] GET wiki.example.org/a"]\?`) {
			t.Errorf("%s", m)
		}
	}
}

func TestSyslogOverUDP(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := start(t, Config{Kind: Syslog, URL: "udp://" + c.LocalAddr().String()})
	r := record()
	r.Path = "/" + strings.Repeat("x", 5000)
	s.Records([]requestlog.Record{r})
	b := make([]byte, 65536)
	if n, _, err := c.ReadFrom(b); err != nil || n != maxDatagram || !strings.HasPrefix(string(b), "<131>1 ") {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// A receiver that takes nothing costs its own records, and they are counted.
func TestAReceiverThatIsSlow(t *testing.T) {
	stuck, asked := make(chan struct{}), make(chan struct{}, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-stuck
		w.WriteHeader(http.StatusForbidden) // it would say the same once more
	}))
	defer srv.Close()
	s := start(t, Config{Kind: HTTP, URL: srv.URL})
	s.Records([]requestlog.Record{record()})
	<-asked // the first is on its way
	for range queued + 3 {
		s.Records([]requestlog.Record{record()})
	}
	if n := testutil.ToFloat64(s.lost.WithLabelValues("0", HTTP)); n != 3 {
		t.Errorf("%v lost, want 3", n)
	}
	s.Flush(time.Millisecond) // nobody waits for ever
	go func() {
		for range asked {
		}
	}()
	close(stuck)
	s.Flush(30 * time.Second)
	close(asked)
	if n := testutil.ToFloat64(s.lost.WithLabelValues("0", HTTP)); n != queued+4 {
		t.Errorf("%v lost, want %d", n, queued+4)
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []Config{
		{Kind: Syslog, URL: "udp://192.0.2.1:514"}, {Kind: Syslog, URL: "tls://log.example.org:6514"}, {Kind: OTLP, URL: "https://otel.example.org/v1/logs"}, {Kind: HTTP, URL: "http://127.0.0.1:9000/in"},
	} {
		if err := c.Validate(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range []Config{
		{}, {Kind: "x", URL: "https://a"}, {Kind: Syslog, URL: "http://a:1"}, {Kind: Syslog, URL: "udp://a"}, {Kind: Syslog, URL: "udp://a:1", Headers: map[string]string{"a": "b"}}, {Kind: OTLP, URL: "tcp://a:1"}, {Kind: HTTP, URL: "x"},
	} {
		if err := c.Validate(); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

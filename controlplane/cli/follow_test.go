package cli

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"
)

// screen is what a command that goes on has shown so far.
type screen struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// following runs a command until it has shown something, then ends it as Ctrl-C does.
func following(t *testing.T, want string, args ...string) (stdout, stderr string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, errw := &screen{}, &screen{}
	root := Root(strings.NewReader(""), out, errw)
	root.SetArgs(args)
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(ctx) }()
	for !strings.Contains(out.String(), want) {
		select {
		case err := <-ended:
			t.Fatalf("%v ended with %v before it showed %q: %s%s", args, err, want, out, errw)
		case <-time.After(5 * time.Millisecond):
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("%v: Ctrl-C: %v", args, err)
	}
	return out.String(), errw.String()
}

const oneRequest = `{"id":"r1","at":"2026-11-27T01:02:03Z","kind":"http","service":"wiki","node":"n1","site":"home","client":"198.51.100.7","method":"GET","host":"wiki.example.org","path":"/x","status":502,"total_ms":12.5,"decision":"allowed","error":"target"}`

func TestLogsFollow(t *testing.T) {
	newAPI(t, map[string]answer{
		"GET /api/v1/orgs/default/requests": {200, "", `{"items":[` + strings.ReplaceAll(oneRequest, `"/x"`, `"/before"`) + `],"gaps":[]}`},
		"GET /api/v1/orgs/default/requests/tail": {200, "", "event: request\ndata: " + oneRequest + "\n\nevent: gap\ndata: {\"at\":\"2026-11-27T01:02:03Z\",\"service\":\"wiki\",\"requests\":7}\n\n" +
			"event: dropped\ndata: {\"requests\":3}\n\nevent: unheard-of\ndata: {}\n\nevent: request\ndata: " + strings.ReplaceAll(oneRequest, `"/x"`, `"/last"`) + "\n\n"},
	})
	stdout, stderr := following(t, "/last", "logs", "-f", "--since", "1h")
	for _, want := range []string{"/before", "502  12.5ms 198.51.100.7  GET wiki.example.org/x  (allowed, target)"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in %s", want, stdout)
		}
	}
	for _, want := range []string{"7 requests of wiki are not in the log", "3 requests are not shown"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in %s", want, stderr)
		}
	}
	// Lines of JSON alone, as they came.
	stdout, _ = following(t, "/last", "logs", "-f", "-o", "json")
	for line := range strings.Lines(stdout) {
		if !json.Valid([]byte(line)) || strings.Contains(line, "/before") {
			t.Errorf("%q", line)
		}
	}
}

func TestEventsFollow(t *testing.T) {
	event := func(id string) string {
		return `{"id":"` + id + `","at":"2026-11-27T01:02:03Z","type":"certificate.issued","object":"example.org","data":{"names":["example.org"]}}`
	}
	newAPI(t, map[string]answer{
		"GET /api/v1/orgs/default/events":      {200, "", `{"items":[` + event("e2") + `,` + event("e1") + `]}`},
		"GET /api/v1/orgs/default/events/tail": {200, "", "event: event\ndata: " + event("e3") + "\n\n"},
	})
	stdout, _ := following(t, `"e3"`, "events", "-f", "-o", "json")
	if at := strings.Index(stdout, `"e1"`); at < 0 || at > strings.Index(stdout, `"e2"`) || strings.Index(stdout, `"e2"`) > strings.Index(stdout, `"e3"`) {
		t.Errorf("events are not in their order: %s", stdout)
	}
	if stdout, _ := following(t, "example.org", "events", "-f"); !strings.Contains(stdout, `certificate.issued     example.org  {"names":["example.org"]}`) {
		t.Errorf("%s", stdout)
	}
}

// A tail that may not be read ends at once; one whose replica ends is begun again.
func TestFollowEndsWhenItMayNot(t *testing.T) {
	newAPI(t, map[string]answer{"GET /api/v1/orgs/default/requests/tail": {403, "", `{"title":"Forbidden","status":403}`}})
	if code, _, stderr := run(t, "", "logs", "-f"); code != 5 || !strings.Contains(stderr, "Forbidden") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestTop(t *testing.T) {
	newAPI(t, map[string]answer{"GET /api/v1/orgs/default/traffic": {200, "", `{"items":[
		{"name":"quiet","requests":1,"rate":0.1,"statuses":{"2xx":1},"denied":0,"failed":0,"bytes_in":1,"bytes_out":2,"p50_ms":1,"p95_ms":1,"p99_ms":1},
		{"name":"busy","requests":600,"rate":10,"statuses":{"2xx":540,"5xx":60},"denied":0,"failed":6,"bytes_in":2048,"bytes_out":4194304,"p50_ms":3,"p95_ms":20,"p99_ms":80}]}`}})
	code, stdout, stderr := run(t, "", "top", "services")
	if code != 0 || !strings.Contains(stdout, "busy") || strings.Index(stdout, "busy") > strings.Index(stdout, "quiet") || strings.Contains(stdout, "\x1b") {
		t.Errorf("exit %d, the busiest is not first, or a file has control characters: %q %s", code, stdout, stderr)
	}
	if code, stdout, _ := run(t, "", "top", "nodes", "-o", "json"); code != 0 || !json.Valid([]byte(stdout)) || !strings.Contains(stdout, `"busy"`) {
		t.Errorf("exit %d, %s", code, stdout)
	}
	if code, _, _ := run(t, "", "top", "-o", "name"); code != 2 {
		t.Errorf("-o name: exit %d", code)
	}
}

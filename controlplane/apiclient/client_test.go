package apiclient

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// An answer that there were too many calls is waited out, with the whole body sent again; for who asks for long it is the answer.
func TestTooManyCallsAreMadeAgain(t *testing.T) {
	var bodies []string
	busy, gap := 2, "1"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(b))
		if len(bodies) <= busy {
			w.Header().Set("Retry-After", gap)
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"title":"Too Many Requests","status":429}`)
		}
	}))
	defer s.Close()
	c, err := New(Options{Server: s.URL, Key: "key"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(t.Context(), http.MethodPost, "/x", map[string]string{"a": "b"}, nil); err != nil || len(bodies) != 3 || bodies[2] != `{"a":"b"}` {
		t.Errorf("%v, bodies %q", err, bodies)
	}
	for _, gap = range []string{"60", "", "soon", "-1"} {
		bodies, busy = nil, 9
		if _, err := c.Do(t.Context(), http.MethodGet, "/x", nil, nil); StatusOf(err) != http.StatusTooManyRequests || len(bodies) != 1 {
			t.Errorf("Retry-After %q: %v after %d calls", gap, err, len(bodies))
		}
	}
}

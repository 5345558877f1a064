package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// A replica that ends cuts the calls of who waits there, and the one behind the balancer may not be ready: commands that wait ask again.
func TestWaitingOutlivesAReplica(t *testing.T) {
	for _, tc := range []struct {
		args, write, read string
		before, after     string // what is read until the replica ends, and when another one answers
		says              string
	}{
		{"cert renew app.example --wait", "POST /api/v1/orgs/default/managed-certificates/m1/renew", "GET /api/v1/orgs/default/managed-certificates/", `{"id":"m1","names":["app.example"],"certificate":"old"}`, `{"id":"m1","names":["app.example"],"certificate":"new"}`, "does not answer"},
		{"issuer rollover ca --wait", "POST /api/v1/issuers/ca/rollover", "GET /api/v1/issuers/ca", `{"name":"ca","rollover":{}}`, `{"name":"ca"}`, "has another key"},
		{"node drain n1 --wait", "POST /api/v1/nodes/n1/drain", "GET /api/v1/wait", "", `{"revision":7,"applied":[{"kind":"node","name":"n1"}],"pending":[],"offline":[]}`, "is applied by 1"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			var written atomic.Bool
			var reads atomic.Int32
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch call := r.Method + " " + r.URL.Path; {
				case call == tc.write:
					written.Store(true)
					w.Header().Set("X-Warren-Revision", "7")
					_, _ = io.WriteString(w, tc.before)
				case !strings.HasPrefix(call, tc.read):
					t.Errorf("call %s", call)
				case !written.Load():
					_, _ = io.WriteString(w, tc.before)
				case reads.Add(1) == 1:
					panic(http.ErrAbortHandler)
				case reads.Load() == 2:
					w.WriteHeader(http.StatusServiceUnavailable)
				default:
					_, _ = io.WriteString(w, tc.after)
				}
			}))
			t.Cleanup(srv.Close)
			t.Setenv("WARREN_SERVER", srv.URL)
			t.Setenv("WARREN_API_KEY", "key")
			t.Setenv("XDG_CONFIG_HOME", t.TempDir())
			if code, _, stderr := run(t, "", strings.Fields(tc.args)...); code != 0 || !strings.Contains(stderr, tc.says) {
				t.Errorf("exit %d: %s", code, stderr)
			}
			if n := reads.Load(); n != 3 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// controlPlane answers what login, whoami and logout ask, and approves at the second question.
func controlPlane(t *testing.T) (url string, calls *[]string) {
	t.Helper()
	calls = &[]string{}
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*calls = append(*calls, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
		say := func(status int, v any) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(v)
		}
		switch r.URL.Path {
		case "/api/v1/device-logins":
			say(201, map[string]any{"device_code": "d", "user_code": "BCDF-GHJK", "verification_uri": "https://control.example.org/device", "expires_in": 60, "interval": 1})
		case "/api/v1/device-logins/token":
			if asked++; asked == 1 {
				say(409, map[string]any{"title": "Conflict", "status": 409, "detail": "authorization_pending"})
				return
			}
			say(200, map[string]any{"token": "wrn_session_x", "expires_at": "2100-01-01T00:00:00Z"})
		case "/api/v1/me":
			say(200, map[string]any{"user": map[string]any{"name": "alice@example.org"}, "permissions": []string{}, "organizations": []string{}})
		default:
			w.WriteHeader(204)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, calls
}

func TestLogin(t *testing.T) {
	url, calls := controlPlane(t)
	dir := t.TempDir()
	for _, name := range []string{"WARREN_API_KEY", "WARREN_API_KEY_FILE", "WARREN_SERVER"} {
		t.Setenv(name, "")
	}
	t.Setenv("WARREN_CONFIG", "")
	t.Setenv("XDG_CONFIG_HOME", dir)
	run := func(args ...string) (int, string, string) {
		var out, errw bytes.Buffer
		code := Main(append([]string{"--server", url}, args...), strings.NewReader(""), &out, &errw)
		return code, out.String(), errw.String()
	}
	if code, _, said := run("whoami"); code != exitUsage || !strings.Contains(said, "warren login") {
		t.Errorf("before: %d %s", code, said)
	}
	if code, _, said := run("login"); code != 0 || !strings.Contains(said, "BCDF-GHJK") || !strings.Contains(said, "as alice@example.org") || strings.Contains(said, "wrn_session") {
		t.Fatalf("%d %s", code, said)
	}
	file := filepath.Join(dir, "warren", "credentials.yaml")
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", fi, err)
	}
	if code, out, said := run("whoami"); code != 0 || out != "alice@example.org\n" {
		t.Errorf("%d %q %s", code, out, said)
	}
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte("wrn_key_y"), 0o600); err != nil {
		t.Fatal(err)
	}
	if run("whoami", "--api-key-file", key); !strings.HasSuffix((*calls)[len(*calls)-1], "Bearer wrn_key_y") {
		t.Errorf("a key that is given does not win: %s", (*calls)[len(*calls)-1])
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, said := run("whoami"); code != exitFailed || !strings.Contains(said, "others can read") {
		t.Errorf("open to others: %d %s", code, said)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, said := run("logout"); code != 0 || !strings.Contains((*calls)[len(*calls)-1], "DELETE /api/v1/me/session Bearer wrn_session_x") {
		t.Errorf("%d %s %s", code, said, (*calls)[len(*calls)-1])
	}
	if code, _, _ := run("whoami"); code != exitUsage {
		t.Errorf("after: %d", code)
	}
}

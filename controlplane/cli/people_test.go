package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Commands about people are one call each, which the API has, with what was given in it.
func TestPeopleCommands(t *testing.T) {
	var calls []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		calls = append(calls, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+string(body)))
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"items": []any{map[string]any{"name": "x", "id": "y"}}, "name": "x", "link": "https://x", "secret": "wrn_key_x"})
	}))
	t.Cleanup(srv.Close)
	t.Setenv("WARREN_API_KEY", "wrn_key_test")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for args, want := range map[string]string{
		"user list":                "GET /api/v1/users",
		"user get ann@example.org": "GET /api/v1/users/ann@example.org",
		"user create ann@example.org --display-name A": `POST /api/v1/users {"name":"ann@example.org","display_name":"A"}`,
		"user delete ann@example.org --yes":            "DELETE /api/v1/users/ann@example.org",
		"user reset-password ann@example.org":          "POST /api/v1/users/ann@example.org/password-reset",
		"user invite ann@example.org":                  `POST /api/v1/orgs/acme/invitations {"name":"ann@example.org","roles":["member"]}`,
		"role create reader --permissions sites:read":  `POST /api/v1/orgs/acme/roles {"name":"reader","permissions":["sites:read"]}`,
		"role list": "GET /api/v1/orgs/acme/roles",
		"member create ann@example.org --roles viewer": `POST /api/v1/orgs/acme/members {"name":"ann@example.org","roles":["viewer"]}`,
		"member delete ann@example.org --yes":          "DELETE /api/v1/orgs/acme/members/ann@example.org",
		"group create writers --users ann@example.org": `POST /api/v1/orgs/acme/groups {"name":"writers","users":["ann@example.org"]}`,
		"group get writers":                            "GET /api/v1/orgs/acme/groups/writers",
		"invite create ann@example.org --roles viewer": `POST /api/v1/orgs/acme/invitations {"name":"ann@example.org","roles":["viewer"]}`,
		"invite list":                             "GET /api/v1/orgs/acme/invitations",
		"invite revoke invitation_x --yes":        "DELETE /api/v1/orgs/acme/invitations/invitation_x",
		"key list":                                "GET /api/v1/api-keys",
		"key list --mine":                         "GET /api/v1/me/api-keys",
		"key create ci --organization acme":       `POST /api/v1/api-keys {"name":"ci","organization":"acme"}`,
		"key delete laptop --mine --yes":          "DELETE /api/v1/me/api-keys/laptop",
		"session list":                            "GET /api/v1/me/sessions",
		"session revoke session_x --yes":          "DELETE /api/v1/me/sessions/session_x",
		"session revoke --others --yes":           "DELETE /api/v1/me/sessions",
		"account show":                            "GET /api/v1/me/account",
		"account passkey list":                    "GET /api/v1/me/passkeys",
		"account identity list":                   "GET /api/v1/me/identities",
		"account passkey rename passkey_x laptop": `PUT /api/v1/me/passkeys/passkey_x {"name":"laptop"}`,
	} {
		calls = nil
		var out, errw bytes.Buffer
		code := Main(append([]string{"--server", srv.URL, "--org", "acme"}, strings.Fields(args)...), strings.NewReader(""), &out, &errw)
		if code != 0 || !slices.Equal(calls, []string{want}) {
			t.Errorf("%s: %d %q %s; want %q", args, code, calls, errw.String(), want)
		}
	}
	for _, args := range []string{"session revoke", "session revoke x --others", "user delete x", "member create x", "account totp confirm"} {
		calls = nil
		if code := Main(append([]string{"--server", srv.URL}, strings.Fields(args)...), strings.NewReader(""), io.Discard, io.Discard); code != exitUsage || len(calls) > 0 {
			t.Errorf("%s: %d after %q", args, code, calls)
		}
	}
}

// A change of what somebody signs in with asks for his password, sends it in the body alone, and keeps the session's new token
// where the old one was.
func TestAccountCommands(t *testing.T) {
	var calls []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		calls = append(calls, r.Method+" "+r.URL.RequestURI()+" "+string(body)+" "+r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"token": "wrn_session_new", "expires_at": "2100-01-01T00:00:00Z", "backup_codes": []string{"aaaa-bbbb"}, "secret": "JBSW", "uri": "otpauth://totp/x",
		})
	}))
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	for _, name := range []string{"WARREN_API_KEY", "WARREN_API_KEY_FILE", "WARREN_SERVER", "WARREN_CONFIG"} {
		t.Setenv(name, "")
	}
	t.Setenv("XDG_CONFIG_HOME", dir)
	file := filepath.Join(dir, "warren", "credentials.yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	call := func(typed string, args ...string) (int, string, string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(srv.URL+":\n  token: wrn_session_old\n  expires: 2100-01-01T00:00:00Z\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		calls = nil
		var out, errw bytes.Buffer
		code := Main(append([]string{"--server", srv.URL}, args...), strings.NewReader(typed), &out, &errw)
		return code, out.String(), errw.String()
	}
	run := func(typed string, args ...string) (int, string, string) {
		t.Helper()
		return call(typed, append([]string{"account"}, args...)...)
	}
	kept := func() string {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if code, _, said := run("old\nnew\nother\n", "password"); code != exitFailed || len(calls) > 0 {
		t.Errorf("two new passwords: %d %s, %q", code, said, calls)
	}
	code, out, said := run("old\nnew\nnew\n", "password")
	if want := `PUT /api/v1/me/password {"current_password":"old","new_password":"new"} Bearer wrn_session_old`; code != 0 || !slices.Equal(calls, []string{want}) {
		t.Errorf("%d %s, %q", code, said, calls)
	}
	if !strings.Contains(kept(), "wrn_session_new") || strings.Contains(out+said, "wrn_session") {
		t.Errorf("the new token is not kept, or shown: %q %q", out, said)
	}
	if code, out, said := run("old\n", "totp", "begin"); code != 0 || !strings.Contains(out, "otpauth://") || !strings.HasPrefix(calls[0], `POST /api/v1/me/totp {"current_password":"old"}`) {
		t.Errorf("%d %q %s %q", code, out, said, calls)
	}
	if code, out, said := run("", "totp", "confirm", "123456"); code != 0 || out != "aaaa-bbbb\n" || !strings.Contains(kept(), "wrn_session_new") {
		t.Errorf("%d %q %s", code, out, said)
	}
	for _, c := range []struct{ args, path string }{{"totp remove", "totp/remove"}, {"backup-codes", "backup-codes"}, {"passkey remove passkey_x", "passkeys/passkey_x/remove"}, {"identity remove sso", "identities/sso/remove"}} {
		if code, _, said := run("old", strings.Fields(c.args)...); code != 0 || !strings.HasPrefix(calls[0], "POST /api/v1/me/"+c.path+` {"current_password":"old"}`) {
			t.Errorf("%s: %d %s, %q", c.args, code, said, calls)
		}
	}
	// A key of one's own outlives the session: it asks, too.
	laptop := []string{"key", "create", "laptop", "--mine", "--allow", "192.0.2.0/24"}
	code, out, said = call("old\n", laptop...)
	if want := `POST /api/v1/me/api-keys {"name":"laptop","allow":["192.0.2.0/24"],"current_password":"old"} Bearer wrn_session_old`; code != 0 || !slices.Equal(calls, []string{want}) {
		t.Errorf("a key: %d %q %s, %q", code, out, said, calls)
	}
	if code, _, _ := call("", laptop...); code != exitFailed || len(calls) > 0 {
		t.Errorf("a key without a password: %d, %q", code, calls)
	}
	if code, _, _ := run("", "totp", "remove"); code != exitFailed || len(calls) > 0 {
		t.Errorf("without a password: %d, %q", code, calls)
	}
}

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	printed = `{"site":"router","configuration":"[Interface]\n# PrivateKey = yours\n","nodes":[]}`
	rotated = `{"site":"router","private_key":"sekret","qr_png":"UE5H","configuration":"[Interface]\nPrivateKey = sekret\n","nodes":[]}`
)

func wireGuardAPI(t *testing.T) *fakeAPI {
	t.Helper()
	return newAPI(t, map[string]answer{
		"GET /api/v1/orgs/default/sites/router":                   {200, "", `{"name":"router"}`},
		"GET /api/v1/orgs/default/sites/router/wireguard":         {200, "", printed},
		"POST /api/v1/orgs/default/sites/router/wireguard/rotate": {200, "7", rotated},
		"GET /api/v1/wait": {200, "", `{}`},
	})
}

func TestSiteWireGuard(t *testing.T) {
	api := wireGuardAPI(t)
	if code, out, _ := run(t, "", "site", "wireguard", "router", "--node", "n1"); code != 0 || out != "[Interface]\n# PrivateKey = yours\n" {
		t.Errorf("%d %q", code, out)
	}
	code, out, errw := run(t, "", "site", "wireguard", "router", "--rotate")
	if code != 0 || out != "[Interface]\nPrivateKey = sekret\n" || !strings.Contains(errw, "this once") {
		t.Errorf("%d %q %q", code, out, errw)
	}
	if code, out, _ = run(t, "", "site", "wireguard", "router", "--rotate", "--qr"); code != 0 || !strings.Contains(out, "█") || strings.Contains(out, "sekret") {
		t.Errorf("%d %q", code, out)
	}
	if code, out, _ = run(t, "", "site", "wireguard", "router", "--rotate", "-o", "json"); code != 0 || !strings.Contains(out, `"private_key": "sekret"`) {
		t.Errorf("%d %q", code, out)
	}
	if code, _, _ = run(t, "", "site", "wireguard", "router", "--public-key", "abc="); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if last := api.calls[len(api.calls)-1]; last != `POST /api/v1/orgs/default/sites/router/wireguard/rotate {"public_key":"abc="}` {
		t.Errorf("%q", last)
	}
	// Files are for nobody else, and are no devices.
	file := filepath.Join(t.TempDir(), "wg0.conf")
	for args, want := range map[string]string{"": "[Interface]\nPrivateKey = sekret\n", "--qr": "PNG"} {
		code, out, errw := run(t, "", strings.Fields("site wireguard router --rotate --wait --file "+file+" "+args)...)
		b, err := os.ReadFile(file)
		fi, serr := os.Stat(file)
		if code != 0 || err != nil || serr != nil || string(b) != want || fi.Mode().Perm() != 0o600 || strings.Contains(out+errw, "sekret") {
			t.Errorf("%s: %d %q %v %q %v %q", args, code, b, err, out, fi.Mode(), errw)
		}
	}
}

// What would make the private key be lost is refused before there is another one.
func TestSiteWireGuardRefusesBeforeItRotates(t *testing.T) {
	api := wireGuardAPI(t)
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"--qr", 2, "--rotate"},
		{"--rotate --public-key abc=", 2, "one of them"},
		{"--rotate --qr -o json", 2, "qr_png"},
		{"--rotate --file /dev/full", 1, "no regular file"},
		{"--rotate --file /nowhere/wg0.conf", 1, "/nowhere"},
	} {
		if code, _, errw := run(t, "", strings.Fields("site wireguard router "+c.args)...); code != c.code || !strings.Contains(errw, c.says) {
			t.Errorf("%s: %d %q", c.args, code, errw)
		}
	}
	if len(api.calls) != 0 {
		t.Errorf("called %q", api.calls)
	}
}

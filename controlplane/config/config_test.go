package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func load(t *testing.T, text string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		return nil, err
	}
	return c, c.Validate()
}

const good = "database_url: postgres://u:geheim@db/warren\nkek_file: /k\n"

func TestLoad(t *testing.T) {
	t.Setenv("WARREN_CONTROL_LISTEN_PUSH", "192.0.2.1:8443")
	t.Setenv("WARREN_CONTROL_ROLES", "push,worker")
	c, err := load(t, good+"dns_roots: [192.0.2.53, \"2001:db8::53\"]\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.DNSRoots) != 2 || c.Roots()[1].String() != "2001:db8::53" {
		t.Errorf("dns_roots %v", c.DNSRoots)
	}
	if c.Listen.Push != "192.0.2.1:8443" || c.Listen.API != "127.0.0.1:8080" || c.Has(RoleAPI) || !c.Has(RoleWorker) {
		t.Errorf("%+v", c)
	}
	if s := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(s, "geheim") {
		t.Errorf("shows its secrets: %s", s)
	}
}

// The example that comes with the unit is settings as it is, and the unit hands over what it names.
func TestExample(t *testing.T) {
	c, err := Load("../../deploy/systemd/control.yaml")
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	unit, err := os.ReadFile("../../deploy/systemd/warren-control.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{c.KEKFile, c.APITLSCert, c.APITLSKey} {
		name, ok := strings.CutPrefix(path, "/run/credentials/warren-control.service/")
		if !ok || !strings.Contains(string(unit), "LoadCredential="+name+":") {
			t.Errorf("%s is not handed over", path)
		}
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for name, tc := range map[string]struct{ text, says string }{
		"unknown key":  {good + "databse_url: x\n", "[3:1]"},
		"two of them":  {good + "---\nlog_level: debug\n", "line 3"},
		"no database":  {"kek_file: /k\n", "database_url: missing"},
		"no kek":       {"database_url: x\n", "kek_file"},
		"role":         {good + "roles: [api, cook]\n", "roles[1]"},
		"open to all":  {good + "listen: {api: \":8080\"}\n", "not loopback"},
		"half TLS":     {good + "api_tls_cert: c\n", "api_tls_key"},
		"push address": {good + "listen: {push: x}\n", "listen.push"},
		"away":         {good + "challenge_away: never\n", "challenge_away"},
		"a root":       {good + "dns_roots: [a.root-servers.net]\n", "dns_roots[0]"},
		"nested key":   {good + "listen:\n  psuh: x\n", "[4:3]"},
		"wrong type":   {good + "api_insecure: perhaps\n", "[3:15]"},
		"replica":      {good + "replica_id: a b\n", "replica_id"},
		"open name":    {good + "listen: {api: \"control.example:8080\"}\n", "not loopback"},
		"log":          {good + "log_format: xml\n", "log_format"},
	} {
		if _, err := load(t, tc.text); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v; want %q", name, err, tc.says)
		} else if strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: the message shows the password: %v", name, err)
		}
	}
}

func TestKEKFromTheEnvironment(t *testing.T) {
	t.Setenv("WARREN_KEK", "{}")
	c, err := load(t, "database_url: x\n")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := c.ReadKEK(t.Context()); err != nil || string(b) != "{}" {
		t.Errorf("keyset %q, %v", b, err)
	}
	if _, there := os.LookupEnv("WARREN_KEK"); there {
		t.Error("the key is left in the environment")
	}
}

func TestReplicasDiffer(t *testing.T) {
	a, err := load(t, good)
	if err != nil {
		t.Fatal(err)
	}
	b, err := load(t, good)
	if err != nil {
		t.Fatal(err)
	}
	if a.ReplicaID == b.ReplicaID {
		t.Errorf("two replicas are called %s", a.ReplicaID)
	}
}

func TestUnknownVariableIsNamed(t *testing.T) {
	t.Setenv("WARREN_CONTROL_DATABASE_URI", "postgres://u:geheim@db/warren")
	_, err := load(t, good)
	if err == nil || !strings.Contains(err.Error(), "WARREN_CONTROL_DATABASE_URI, did you mean WARREN_CONTROL_DATABASE_URL?") || strings.Contains(err.Error(), "geheim") {
		t.Errorf("%v", err)
	}
}

func TestKEKFromACommand(t *testing.T) {
	for name, tc := range map[string]struct {
		argv []string
		want string // the key, or a part of the error
		bad  bool
	}{
		"prints":   {[]string{"echo", "{}"}, "{}\n", false},
		"fails":    {[]string{"sh", "-c", "echo geheim; echo no token >&2; exit 3"}, "no token", true},
		"silent":   {[]string{"true"}, "printed nothing", true},
		"missing":  {[]string{"/nowhere/kek"}, "/nowhere/kek", true},
		"too much": {[]string{"head", "-c", "70000", "/dev/zero"}, "more than 65536 bytes", true},
	} {
		b, err := (&Config{KEKCommand: tc.argv}).ReadKEK(t.Context())
		if tc.bad != (err != nil) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err == nil && string(b) != tc.want || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %q, %v; want %q", name, b, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: the error shows what was printed: %v", name, err)
		}
	}
}

func TestOneKEK(t *testing.T) {
	for _, yaml := range []string{"database_url: x\n", "database_url: x\nkek_file: a\nkek_command: [b]\n"} {
		if _, err := load(t, yaml); err == nil || !strings.Contains(err.Error(), "kek_file, kek_command, WARREN_KEK") {
			t.Errorf("%q: %v", yaml, err)
		}
	}
}

func TestKEKExposed(t *testing.T) {
	c := &Config{KEKFile: filepath.Join(t.TempDir(), "kek.json")}
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		if err := os.WriteFile(c.KEKFile, nil, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(c.KEKFile, mode); err != nil {
			t.Fatal(err)
		}
		if got := c.KEKExposed(); got != want {
			t.Errorf("mode %o: %v", mode, got)
		}
	}
	c.KEK = "{}"
	if c.KEKExposed() {
		t.Error("a file that is not used")
	}
}

// A password in a URL that can't be read is not repeated.
func TestValkeyURL(t *testing.T) {
	_, err := load(t, good+"valkey_url: \"redis://:geheim%t@cache:6379\"\n")
	if err == nil || !strings.Contains(err.Error(), "valkey_url: want redis://") || strings.Contains(err.Error(), "geheim") {
		t.Errorf("%v", err)
	}
}

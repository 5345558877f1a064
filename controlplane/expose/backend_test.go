package expose

import (
	"strings"
	"testing"
)

func TestParseBackend(t *testing.T) {
	for _, tc := range []struct {
		text string
		tcp  bool
		want string // scheme and where
	}{
		{"8080", false, "http :8080"},
		{"localhost:3000", false, "http :3000"},
		{"192.168.1.5:80", false, "http 192.168.1.5:80"},
		{"[::1]:80", false, "http [::1]:80"},
		{"http://localhost", false, "http :80"},
		{"http://printer:631/", false, "http printer:631"},
		{"https://192.168.1.20", false, "https 192.168.1.20:443"},
		{"https://[fd00::1]:8443", false, "https [fd00::1]:8443"},
		{"h2c://:9090", false, "h2c :9090"},
		{"22", true, "tcp :22"},
		{"db:5432", true, "tcp db:5432"},
		{"tcp://db:5432", false, "tcp db:5432"},
	} {
		b, err := ParseBackend(tc.text, tc.tcp)
		if got := b.Scheme + " " + b.String(); err != nil || got != tc.want {
			t.Errorf("%s: %s, %v; want %s", tc.text, got, err, tc.want)
		}
	}
	for text, want := range map[string]string{
		"": "port", "0": "port", "65536": "port", "-1": "port", "http": "port", "host": "port", "ftp://x": "scheme ftp", "http://": "no URL", "a:b:c": "too many colons",
		"http://x/base": "no path", "http://x?q": "no path", "http://me@x": "no path", "tcp://db": "port",
	} {
		if _, err := ParseBackend(text, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
	if _, err := ParseBackend("https://x", true); err == nil {
		t.Error("--tcp of https is taken")
	}
	if _, err := ParseBackend("http://x", true); err == nil {
		t.Error("--tcp of http:// is taken")
	}
}

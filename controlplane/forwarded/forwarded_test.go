package forwarded

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

var trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

func TestClient(t *testing.T) {
	for name, tt := range map[string]struct {
		peer   string
		fields []string
		want   string
	}{
		"a client":                         {"192.0.2.1", nil, "192.0.2.1"},
		"a client who says something":      {"192.0.2.1", []string{"198.51.100.1"}, "192.0.2.1"},
		"a client who knows our proxies":   {"192.0.2.1", []string{"198.51.100.1, 10.0.0.1"}, "192.0.2.1"},
		"by a proxy":                       {"10.0.0.1", []string{"192.0.2.1"}, "192.0.2.1"},
		"by two":                           {"10.0.0.1", []string{"192.0.2.1, 10.0.0.2"}, "192.0.2.1"},
		"by two, in two fields":            {"10.0.0.1", []string{"192.0.2.1", "10.0.0.2"}, "192.0.2.1"},
		"forged before it came to a proxy": {"10.0.0.1", []string{"127.0.0.1, 10.9.9.9, 192.0.2.1"}, "192.0.2.1"},
		"by a proxy that says nothing":     {"10.0.0.1", nil, "10.0.0.1"},
		"of nonsense":                      {"10.0.0.1", []string{"192.0.2.1, unknown"}, "10.0.0.1"},
		"of nothing":                       {"10.0.0.1", []string{"192.0.2.1,"}, "10.0.0.1"},
		"all of them ours":                 {"10.0.0.1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"with a port":                      {"10.0.0.1", []string{"192.0.2.1:4711"}, "192.0.2.1"},
		"of IPv6":                          {"fd00::1", []string{"2001:db8::1"}, "2001:db8::1"},
		"of IPv6 with a port":              {"fd00::1", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		"of IPv4 in IPv6":                  {"::ffff:10.0.0.1", []string{"::ffff:192.0.2.1"}, "192.0.2.1"},
	} {
		if got := Client(netip.MustParseAddr(tt.peer), tt.fields, trusted); got.String() != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestHandler(t *testing.T) {
	for name, tt := range map[string]struct {
		trusted    []netip.Prefix
		peer, want string
	}{
		"trusted":        {trusted, "10.0.0.1:99", "192.0.2.1:0"},
		"not trusted":    {trusted, "203.0.113.1:99", "203.0.113.1:99"},
		"nobody trusted": {nil, "10.0.0.1:99", "10.0.0.1:99"},
	} {
		got := ""
		h := Handler(tt.trusted, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = tt.peer
		r.Header.Set("X-Forwarded-For", "192.0.2.1")
		if h.ServeHTTP(httptest.NewRecorder(), r); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func FuzzClient(f *testing.F) {
	f.Add("192.0.2.1, 10.0.0.1")
	f.Add("[::1]:1,,%")
	f.Fuzz(func(t *testing.T, field string) {
		if c := Client(netip.MustParseAddr("10.0.0.1"), []string{field}, trusted); !c.IsValid() || c.Zone() != "" {
			t.Errorf("%q: %v", field, c)
		}
		if c := Client(netip.MustParseAddr("192.0.2.1"), []string{field}, trusted); c.String() != "192.0.2.1" {
			t.Errorf("%q is believed of a stranger: %v", field, c)
		}
	})
}

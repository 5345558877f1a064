package httpproxy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/requestlog"
	"github.com/warrenedge/warren/shared/policy"
)

// collected keeps what a request log collects.
type collected struct{ list []requestlog.Record }

func (c *collected) Records(l []requestlog.Record) { c.list = append(c.list, l...) }
func (c *collected) Counted(requestlog.Counted)    {}

// pathGuard decides by the path, as a guard does.
type pathGuard struct{}

func (pathGuard) Admit(w http.ResponseWriter, r *http.Request, v *Visit) *Pass {
	switch {
	case v.Path == "/.warren/sign-out", v.Path == "/limited":
	case v.Path == "/denied":
		v.Decided, v.Decision = true, policy.Decision{Action: policy.Deny, Rule: 1}
	case v.Path == "/who":
		v.Decided, v.Decision = true, policy.Decision{Action: policy.Authenticate, Rule: policy.NoRule, Reason: policy.NotAuthenticated}
	default:
		v.Decided, v.Decision = true, policy.Decision{Action: policy.Allow, Rule: 2, Reason: policy.Proven, Way: policy.WayBasic}
		return &Pass{User: "user_1", Login: "ann@example.org"}
	}
	w.WriteHeader(http.StatusForbidden)
	return nil
}

// Each request is one record, which says what became of it and why; those of no service are nobody's.
func TestRecords(t *testing.T) {
	e := newEdge(t, map[string]string{"t": backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })})
	l, c := requestlog.New(prometheus.NewRegistry()), &collected{}
	l.Consume(c)
	e.SetRequestLog(l)
	e.SetGuard(pathGuard{})
	e.way = fabric.Way{Peer: "node_2", Relay: true}
	cert := e.certificate(t, "app.example.org", "empty.example.org", "away.example.org", "plain.example.org")
	decides, err := policy.Compile(&policy.Policy{ID: "policy_1"})
	if err != nil {
		t.Fatal(err)
	}
	to := func(id string) []Rule {
		return []Rule{{PathPrefix: "/", Targets: []balance.Target{{ID: id, Site: "site", Weight: 1}}}}
	}
	e.Apply(Config{Certificates: []Certificate{cert}, Routes: []Route{
		{Service: "s", Hostname: "app.example.org", Certificate: cert.Name, Rules: to("t"), Policy: "policy/1", Decides: decides},
		{Service: "plain", Hostname: "plain.example.org", Certificate: cert.Name, Rules: to("t")},
		{Service: "empty", Hostname: "empty.example.org", Certificate: cert.Name},
		{Service: "away", Hostname: "away.example.org", Certificate: cert.Name, Rules: to("nobody")},
	}})
	for _, tc := range []struct {
		url      string
		decision requestlog.Decision
		why      string
		failure  string
		site     string
	}{
		{"https://plain.example.org/a?secret=1", requestlog.Allowed, "", "", "site"},
		{"https://app.example.org/in", requestlog.Allowed, "rule 3, authenticated by basic", "", "site"},
		{"https://app.example.org/denied", requestlog.Denied, "rule 2, the rule says so", "", ""},
		{"https://app.example.org/who", requestlog.SignIn, "no rule applies, not authenticated", "", ""},
		{"https://app.example.org/limited", requestlog.Refused, "access", "", ""},
		{"https://app.example.org/.warren/sign-out", requestlog.Answered, "", "", ""},
		{"https://empty.example.org/", requestlog.Refused, "no_target", "", ""},
		{"https://away.example.org/", requestlog.Allowed, "", "unavailable", "site"},
	} {
		host := strings.Split(tc.url, "/")[2]
		status, body := get(t, e.client(t, false, host), tc.url)
		c.list = nil
		for len(c.list) == 0 { // the record follows the answer
			l.Collect()
		}
		r := c.list[0]
		if len(c.list) != 1 || r.Decision != tc.decision || r.Why() != tc.why || r.Error != tc.failure || r.Site != tc.site || r.Status != status || r.Host != host || strings.Contains(r.Path, "?") || r.Method != "GET" || r.Total <= 0 || !r.Client.IsLoopback() {
			t.Errorf("%s: %+v, why %q", tc.url, r, r.Why())
		}
		if ok := tc.site != "" && tc.failure == ""; ok != (r.FirstByte > 0) || ok != (r.Relay == "node_2") || ok && r.Out != int64(len(body)) {
			t.Errorf("%s: %+v", tc.url, r)
		}
		if (r.User == "ann@example.org") != (tc.url == "https://app.example.org/in") {
			t.Errorf("%s: user %q", tc.url, r.User)
		}
	}
}

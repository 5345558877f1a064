package access_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/warrenedge/warren/dataplane/access"
	"github.com/warrenedge/warren/shared/policy"
)

// T7: nothing that a client says of itself changes what is decided, but credentials that the policy names.
func TestT7WhatClientsSayChangesNothing(t *testing.T) {
	a := newAccess(access.Options{Places: places{netip.MustParseAddr("192.0.2.1"): "CH"}})
	e := newEdge(t, a)
	e.apply(t, map[string]*policy.Compiled{
		"closed.example": compiled(t, &policy.Policy{}),
		"path.example":   compiled(t, &policy.Policy{Rules: []policy.Rule{{Action: policy.Allow, Conditions: policy.Conditions{Paths: []string{"/in/**"}}}}}),
		"method.example": compiled(t, &policy.Policy{Rules: []policy.Rule{{Action: policy.Allow, Conditions: policy.Conditions{Methods: []string{"OPTIONS", "PUT"}}}}}),
		"from.example":   compiled(t, &policy.Policy{Rules: []policy.Rule{{Action: policy.Allow, Conditions: policy.Conditions{Networks: []string{"192.0.2.0/24"}}}}}),
		"place.example":  compiled(t, &policy.Policy{Rules: []policy.Rule{{Action: policy.Allow, Conditions: policy.Conditions{Countries: []string{"CH"}}}}}),
		"basic.example":  compiled(t, &policy.Policy{Otherwise: policy.Authenticate, Auth: policy.Auth{Basic: []policy.Basic{{User: "ada", PasswordHash: cheap(t, "lovelace")}}}}),
	})
	said := map[string][]string{
		"/in/x": {"X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Original-Url", "X-Original-Uri", "X-Rewrite-Url", "X-Envoy-Original-Path", "Referer"},
		"PUT":   {"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Forwarded-Method", "X-Original-Method"},
		"192.0.2.1": {"X-Forwarded-For", "X-Real-Ip", "Forwarded", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Cluster-Client-Ip", "X-Forwarded", "Via",
			"X-Forwarded-Host", "X_forwarded_for"},
		"CH":                 {"Cf-Ipcountry", "X-Country-Code", "X-Geo-Country"},
		"ada":                {"Remote-User", "X-Remote-User", "X-Forwarded-User", "Remote_user", "X-Warren-User", "Warren-Assertion", "Remote-Groups", "X-Auth-Request-User", "Proxy-Authorization"},
		"kube-probe/1.30":    {"User-Agent"},
		"GoogleHC/1.0":       {"User-Agent"},
		"https://a.example":  {"Origin"},
		"same-origin":        {"Sec-Fetch-Site"},
		"XMLHttpRequest":     {"X-Requested-With"},
		"__Host-warren=x":    {"Cookie"},
		"Bearer wrn_key_x_x": {"Authorization"},
	}
	asked := 0
	for _, h2 := range []bool{false, true} {
		for _, host := range []string{"closed.example", "path.example", "method.example", "from.example", "place.example", "basic.example"} {
			c := e.client(t, h2, "")
			want := ask(t, c, "https://"+host+"/out", func(*http.Request) {}).StatusCode
			for value, fields := range said {
				for _, field := range fields {
					asked++
					resp := ask(t, c, "https://"+host+"/out?path=/in/x&method=PUT&_method=PUT", func(r *http.Request) { r.Header[field] = []string{value} })
					if resp.StatusCode != want && resp.StatusCode != http.StatusBadRequest {
						t.Errorf("%s, h2 %t, %s: %s: %d, want %d", host, h2, field, value, resp.StatusCode, want)
					}
				}
			}
		}
	}
	if len(e.seen) > 0 || asked < 400 {
		t.Errorf("the target has seen %d of %d requests", len(e.seen), asked)
	}
	// The same decisions let in whom they are for.
	for url, method := range map[string]string{"https://path.example/in/x": "GET", "https://method.example/out": "PUT"} {
		if resp := ask(t, e.client(t, true, ""), url, func(r *http.Request) { r.Method = method }); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", url, resp.StatusCode)
		}
	}
}

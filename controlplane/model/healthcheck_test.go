package model

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestHealthCheck(t *testing.T) {
	tcp := HealthCheck{Kind: CheckTCP, Interval: 10 * time.Second, Timeout: 2 * time.Second, HealthyThreshold: 2, UnhealthyThreshold: 3}
	web := tcp
	web.Kind, web.Method, web.Path, web.Statuses = CheckHTTP, "GET", "/healthz?deep=1", []StatusRange{{200, 399}}
	long := strings.Repeat("x", 1025)
	for _, c := range []struct {
		check  HealthCheck
		change func(*HealthCheck)
		want   string // field within health_check; "" is valid
	}{
		{tcp, func(*HealthCheck) {}, ""},
		{tcp, func(h *HealthCheck) { h.Kind = "icmp" }, "kind"},
		{tcp, func(h *HealthCheck) { h.Interval = time.Second - 1 }, "interval"},
		{tcp, func(h *HealthCheck) { h.Interval = time.Hour + 1 }, "interval"},
		{tcp, func(h *HealthCheck) { h.Interval = time.Hour }, ""},
		{tcp, func(h *HealthCheck) { h.Timeout = 0 }, "timeout"},
		{tcp, func(h *HealthCheck) { h.Timeout = h.Interval }, "timeout"},
		{tcp, func(h *HealthCheck) { h.HealthyThreshold = 0 }, "healthy_threshold"},
		{tcp, func(h *HealthCheck) { h.UnhealthyThreshold = 101 }, "unhealthy_threshold"},
		{tcp, func(h *HealthCheck) { h.Method = "GET" }, "method"},
		{tcp, func(h *HealthCheck) { h.Path = "/" }, "path"},
		{tcp, func(h *HealthCheck) { h.Host = "a" }, "host"},
		{tcp, func(h *HealthCheck) { h.Headers = []CheckHeader{{"A", "b"}} }, "headers"},
		{tcp, func(h *HealthCheck) { h.Statuses = []StatusRange{{200, 200}} }, "expected_statuses"},
		{tcp, func(h *HealthCheck) { h.BodyContains = "ok" }, "body_contains"},
		{tcp, func(h *HealthCheck) { h.TLS = true }, "tls"},
		{web, func(*HealthCheck) {}, ""},
		{web, func(h *HealthCheck) { h.TLS, h.Host, h.BodyContains = true, "[2001:db8::1]:8080", "ok" }, ""},
		{web, func(h *HealthCheck) { h.Method = "" }, "method"},
		{web, func(h *HealthCheck) { h.Method = "get" }, "method"},
		{web, func(h *HealthCheck) { h.Method = "CONNECT" }, "method"},
		{web, func(h *HealthCheck) { h.Method = "GET / HTTP/1.1\r\nX:" }, "method"},
		{web, func(h *HealthCheck) { h.Path = "healthz" }, "path"},
		{web, func(h *HealthCheck) { h.Path = "/a b" }, "path"},
		{web, func(h *HealthCheck) { h.Path = "/a\r\nX: y" }, "path"},
		{web, func(h *HealthCheck) { h.Path = "/#top" }, "path"},
		{web, func(h *HealthCheck) { h.Path = "/é" }, "path"},
		{web, func(h *HealthCheck) { h.Path = "/" + long }, "path"},
		{web, func(h *HealthCheck) { h.Host = "a b" }, "host"},
		{web, func(h *HealthCheck) { h.Host = "a\r\nX: y" }, "host"},
		{web, func(h *HealthCheck) { h.Headers = []CheckHeader{{"X-A", "1"}, {"X-B", "2"}} }, ""},
		{web, func(h *HealthCheck) { h.Headers = []CheckHeader{{"X-B", "1"}, {"X-A", "2"}} }, "headers.X-A"},
		{web, func(h *HealthCheck) { h.Headers = []CheckHeader{{"X-A", "1"}, {"X-A", "2"}} }, "headers.X-A"},
		{web, func(h *HealthCheck) { h.Headers = []CheckHeader{{"X A", "1"}} }, "headers"},
		{web, func(h *HealthCheck) { h.Headers = []CheckHeader{{"X-A", "1\r\nX: y"}} }, "headers.X-A"},
		{web, func(h *HealthCheck) { h.Headers = []CheckHeader{{"X-A", "\xff"}} }, "headers.X-A"},
		{web, func(h *HealthCheck) { h.Headers = []CheckHeader{{"X-A", long}} }, "headers.X-A"},
		{web, func(h *HealthCheck) { h.Headers = []CheckHeader{{"Host", "a"}} }, "headers.Host"},
		{web, func(h *HealthCheck) { h.Headers = []CheckHeader{{"Transfer-Encoding", "chunked"}} }, "headers.Transfer-Encoding"},
		{web, func(h *HealthCheck) { h.Headers = make([]CheckHeader, 17) }, "headers"},
		{web, func(h *HealthCheck) { h.Statuses = nil }, "expected_statuses"},
		{web, func(h *HealthCheck) { h.Statuses = []StatusRange{{200, 600}} }, "expected_statuses[0]"},
		{web, func(h *HealthCheck) { h.Statuses = []StatusRange{{200, 299}, {250, 251}} }, "expected_statuses[1]"},
		{web, func(h *HealthCheck) { h.Statuses = make([]StatusRange, 17) }, "expected_statuses"},
		{web, func(h *HealthCheck) { h.BodyContains = "a\x00" }, "body_contains"},
		{web, func(h *HealthCheck) { h.BodyContains = "\xff" }, "body_contains"},
		{web, func(h *HealthCheck) { h.BodyContains = long }, "body_contains"},
		{web, func(h *HealthCheck) { h.Method, h.BodyContains = "HEAD", "ok" }, "body_contains"},
	} {
		h := c.check
		c.change(&h)
		want := c.want
		if want != "" {
			want = "health_check." + want
		}
		if got := field(h.Validate()); got != want {
			t.Errorf("%+v: field %q (%v), want %q", h, got, h.Validate(), want)
		}
	}
}

func TestStatuses(t *testing.T) {
	var list []StatusRange
	for _, s := range []string{"500", "200-299", "404", "300-399", "250-310"} {
		r, err := ParseStatus(s)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	if got := JoinStatuses(list); !slices.Equal(got, []StatusRange{{200, 399}, {404, 404}, {500, 500}}) {
		t.Errorf("joined to %v", got)
	}
	for _, s := range []string{"", "99", "600", "300-200", "2xx", "200-", "-200", "200-299-300"} {
		if r, err := ParseStatus(s); err == nil {
			t.Errorf("%q is %v", s, r)
		}
	}
}

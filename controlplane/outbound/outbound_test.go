package outbound

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestCheck(t *testing.T) {
	inside := Policy{Allowed: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}}
	for _, tc := range []struct {
		addr string
		zero bool // the zero Policy lets it pass
		some bool // inside does
	}{
		{"8.8.8.8", true, true},
		{"2606:4700::1111", true, true},
		{"100.128.0.1", true, true},
		{"127.0.0.1", false, false},
		{"127.255.255.254", false, false},
		{"::1", false, false},
		{"::", false, false},
		{"0.0.0.0", false, false},
		{"::ffff:127.0.0.1", false, false},
		{"::127.0.0.1", false, false},
		{"169.254.169.254", false, false},
		{"::ffff:169.254.169.254", false, false},
		{"64:ff9b::a9fe:a9fe", false, false},
		{"64:ff9b::808:808", true, true},
		{"64:ff9b::a01:1", false, true},
		{"64:ff9b:1::a01:1", false, false},
		{"2002:a9fe:a9fe::1", false, false},
		{"2001:0:a9fe::1", false, false},
		{"10.1.2.3", false, true},
		{"10.2.2.3", false, false},
		{"172.16.0.1", false, false},
		{"172.31.255.255", false, false},
		{"172.32.0.1", true, true},
		{"192.168.1.1", false, false},
		{"100.100.100.200", false, false},
		{"198.19.0.1", false, false},
		{"224.0.0.1", false, false},
		{"255.255.255.255", false, false},
		{"fd00:1::1", false, true},
		{"fd00:2::1", false, false},
		{"fe80::1%eth0", false, false},
		{"fec0::1", false, false},
		{"ff02::1", false, false},
	} {
		a := netip.MustParseAddr(tc.addr)
		if err := (Policy{}).Check(a); (err == nil) != tc.zero {
			t.Errorf("%s: %v", tc.addr, err)
		}
		if err := inside.Check(a); (err == nil) != tc.some {
			t.Errorf("%s, with networks inside: %v", tc.addr, err)
		}
	}
	if (Policy{}).Check(netip.Addr{}) == nil {
		t.Error("no address passes")
	}
}

// A name is no way around: what it resolves to is checked when it is dialled, each time.
func TestNamesAreCheckedAtDial(t *testing.T) {
	called := 0
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called++ }))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	strict, loose := Policy{}, Policy{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	for _, url := range []string{srv.URL, "http://localhost:" + port, "http://127.1:" + port, "http://[::ffff:127.0.0.1]:" + port} {
		if _, err := get(strict.Client(time.Minute), url); err == nil {
			t.Errorf("%s is reached", url)
		} else if !IsRefused(err) && !strings.Contains(err.Error(), "no such host") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if called != 0 {
		t.Errorf("called %d times", called)
	}
	if _, err := get(loose.Client(time.Minute), srv.URL); err != nil || called != 1 {
		t.Errorf("allowed: %v, called %d times", err, called)
	}
}

func TestRedirectsAreAnswers(t *testing.T) {
	inside := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/inside" {
			inside++
			return
		}
		http.Redirect(w, r, "/inside", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	loose := Policy{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	status, err := get(loose.Client(time.Minute), srv.URL)
	if err != nil || status != http.StatusTemporaryRedirect || inside != 0 {
		t.Errorf("status %d, %v, followed %d times", status, err, inside)
	}
}

func get(c *http.Client, url string) (int, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, nil
}

package connector

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/fabric"
)

func TestParseTarget(t *testing.T) {
	for _, tt := range []struct {
		in       string
		loopback bool
		err      string // "" = taken
	}{
		{in: "192.168.1.10:80"},
		{in: "[fd00::10]:443"},
		{in: "web.internal:8080"},
		{in: "web.internal.:8080"},
		{in: "web_1:8080"},
		{in: "127.0.0.1:80", loopback: true},
		{in: "127.8.9.10:80", loopback: true},
		{in: "[::1]:80", loopback: true},
		{in: "[::ffff:127.0.0.1]:80", loopback: true},
		{in: "localhost:80", loopback: true},
		{in: "LOCALHOST.:80", loopback: true},
		{in: "localhost.internal:80"},
		{in: "", err: "is not host:port"},
		{in: "web.internal", err: "is not host:port"},
		{in: "fd00::10:443", err: "is not host:port"},
		{in: ":80", err: "neither an address nor a name"},
		{in: "web.internal:0", err: `port "0"`},
		{in: "web.internal:65536", err: `port "65536"`},
		{in: "web.internal:http", err: `port "http"`},
		{in: "127.1:80", err: "neither an address nor a name"},
		{in: "2130706433:80", err: "neither an address nor a name"},
		{in: "a b:80", err: "neither an address nor a name"},
		{in: "a/b:80", err: "neither an address nor a name"},
		{in: "a\x00b:80", err: "neither an address nor a name"},
		{in: strings.Repeat("a", 255) + ":80", err: "neither an address nor a name"},
		{in: "0.0.0.0:80", err: "unspecified"},
		{in: "[::]:80", err: "unspecified"},
		{in: "169.254.169.254:80", err: "link-local"},
		{in: "[fe80::1%eth0]:80", err: "link-local"},
		{in: "224.0.0.1:80", err: "multicast"},
		{in: "[fd57:6172:7265::1]:7100", err: "inside the tunnels"},
	} {
		t.Run(tt.in, func(t *testing.T) {
			got, err := parseTarget(Target{Address: tt.in}, permit)
			switch {
			case tt.err == "" && err != nil:
				t.Error(err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("error %v, want %q", err, tt.err)
			case tt.err == "" && got.loopback != tt.loopback:
				t.Errorf("loopback %v, want %v", got.loopback, tt.loopback)
			}
		})
	}
}

func TestTargetAddress(t *testing.T) {
	for _, tt := range []struct {
		in      Target
		network fabric.Network
		offset  uint16
		want    string // address, or what the error says
	}{
		{Target{Address: "10.0.0.1:5000"}, fabric.TCP, 0, "10.0.0.1:5000"},
		{Target{Address: "10.0.0.1:5000"}, fabric.TCP, 1, "port 2 of a target that has 1"},
		{Target{Address: "10.0.0.1:5000", Ports: 10}, fabric.TCP, 9, "10.0.0.1:5009"},
		{Target{Address: "10.0.0.1:5000", Ports: 10}, fabric.TCP, 10, "port 11 of a target that has 10"},
		{Target{Address: "[fd00::1]:65535", Ports: 1}, fabric.TCP, 65535, "port 65536 of a target that has 1"},
		{Target{Address: "10.0.0.1:5000", Network: fabric.UDP}, fabric.UDP, 0, "10.0.0.1:5000"},
		{Target{Address: "10.0.0.1:5000", Network: fabric.UDP}, fabric.TCP, 0, "the target speaks udp, not tcp"},
		{Target{Address: "10.0.0.1:5000"}, fabric.UDP, 0, "the target speaks tcp, not udp"},
		{Target{Address: "10.0.0.1:1", Ports: 65535}, fabric.TCP, 65534, "10.0.0.1:65535"},
		{Target{Address: "10.0.0.1:2", Ports: 65535}, fabric.TCP, 0, "the last one is behind 65535"},
	} {
		target, err := parseTarget(tt.in, permit)
		got := ""
		if err == nil {
			got, err = target.address(tt.network, tt.offset)
		}
		if err != nil {
			got = err.Error()
		}
		if !strings.HasSuffix(got, tt.want) {
			t.Errorf("%+v, %s, offset %d: %q, want %q", tt.in, tt.network, tt.offset, got, tt.want)
		}
	}
}

func TestT19_Permit(t *testing.T) {
	for _, tt := range []struct {
		ip             string
		loopback, want bool
	}{
		{"192.168.1.1", false, true},
		{"10.0.0.1", false, true},
		{"100.64.0.1", false, true},
		{"8.8.8.8", false, true},
		{"fd00::1", false, true},
		{"fd57:6172:7266::1", false, true},
		{"2001:db8::1", false, true},
		{"127.0.0.1", false, false},
		{"127.0.0.1", true, true},
		{"127.255.255.254", false, false},
		{"::1", false, false},
		{"::1", true, true},
		{"::ffff:127.0.0.1", false, false},
		{"::ffff:169.254.169.254", true, false},
		{"0.0.0.0", true, false},
		{"0.1.2.3", true, false},
		{"::", true, false},
		{"169.254.169.254", true, false},
		{"fe80::1", true, false},
		{"fe80::1%eth0", true, false},
		{"224.0.0.1", true, false},
		{"ff02::1", true, false},
		{"255.255.255.255", true, false},
		{"fd57:6172:7265::", false, false},
		{"fd57:6172:7265:ffff:ffff:ffff:ffff:ffff", true, false},
	} {
		err := permit(netip.MustParseAddr(tt.ip), tt.loopback)
		if (err == nil) != tt.want {
			t.Errorf("%s, loopback allowed %v: %v", tt.ip, tt.loopback, err)
		}
		var de *DeniedError
		if err != nil && !errors.As(err, &de) {
			t.Errorf("%s: error %T", tt.ip, err)
		}
	}
	if permit(netip.Addr{}, true) == nil {
		t.Error("no address is permitted")
	}
}

func TestApplyReportsBadTargets(t *testing.T) {
	c := New(nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	err := c.Apply(Config{Site: "s", Targets: map[string]Target{"good": {Address: "192.0.2.1:80"}, "b": {Address: "x"}, "a": {Address: "169.254.1.1:80"}}})
	var te *TargetError
	if !errors.As(err, &te) || te.ID != "a" || !strings.Contains(err.Error(), "target b: ") || strings.Contains(err.Error(), "good") {
		t.Errorf("error %v", err)
	}
	if n := len(c.table.Load().targets); n != 1 {
		t.Errorf("%d targets, want the good one", n)
	}
}

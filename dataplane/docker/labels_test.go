package docker

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// web is a container in one network with one port, and labels in pairs.
func web(name string, labels ...string) Container {
	c := Container{
		ID: "id-" + name, Name: name, NetworkMode: "bridge", Labels: map[string]string{enableLabel: "true"},
		Networks: map[string]Network{"bridge": {IPv4: "172.17.0.2"}}, Ports: []Port{{Private: 8080, Type: "tcp"}},
	}
	for i := 0; i < len(labels); i += 2 {
		c.Labels[labels[i]] = labels[i+1]
	}
	return c
}

func with(c Container, change func(c *Container)) Container {
	change(&c)
	return c
}

func shop(targets ...Target) Service {
	return Service{Name: "shop", Kind: "http", Hostname: "shop.example.org", Targets: targets}
}

func TestRead(t *testing.T) {
	const host = "warren.service.shop.hostname"
	plain := Target{Container: "web", Address: "172.17.0.2", Port: 8080}
	for _, tt := range []struct {
		name     string
		o        Options
		in       []Container
		services []Service
		held     []string
		problems []string
	}{
		{"nothing", Options{}, nil, nil, nil, nil},
		{"the only port of the only network", Options{}, []Container{web("web", host, "Shop.Example.org")}, []Service{shop(plain)}, nil, nil},
		{"not asked", Options{}, []Container{with(web("web", host, "shop.example.org"), func(c *Container) { delete(c.Labels, enableLabel) })}, nil, nil, nil},
		{"not enabled", Options{}, []Container{web("web", host, "shop.example.org", enableLabel, "false")}, nil, nil, nil},
		{
			"neither", Options{}, []Container{web("web", host, "shop.example.org", enableLabel, "yes")}, nil, []string{"shop"},
			[]string{`container web: label warren.enable: "yes", want true or false`},
		},
		{"enabled without a service", Options{}, []Container{web("web")}, nil, nil, []string{"container web: no label warren.service.NAME.FIELD"}},
		{"all fields", Options{}, []Container{web("web", host, "*.example.org", "warren.service.shop.policy", "staff", "warren.service.shop.pool", "eu", "warren.service.shop.port", "81",
			"warren.service.shop.path_prefix", "/a", "warren.service.shop.strip_prefix", "true", "warren.service.shop.weight", "7", "warren.service.shop.scheme", "https",
			"warren.service.shop.server_name", "in.example.org", "warren.service.shop.health_check.path", "/up", "warren.service.shop.health_check.interval", "3s",
			"warren.service.shop.health_check.expected_statuses", "200, 204", "com.docker.compose.project", "p")}, []Service{{
			Name: "shop", Kind: "http", Hostname: "*.example.org", Pool: "eu", Policy: "staff",
			Targets: []Target{{
				Container: "web", Address: "172.17.0.2", Port: 81, PathPrefix: "/a", Weight: 7, Scheme: "https", ServerName: "in.example.org", StripPrefix: true,
				HealthCheck: &HealthCheck{Kind: "http", Interval: "3s", Path: "/up", ExpectedStatuses: []string{"200", "204"}},
			}},
		}}, nil, nil},
		{"ports of nodes", Options{}, []Container{with(web("db", "warren.service.db.kind", "udp", "warren.service.db.ports", "6000-6001", "warren.service.db.allow", "192.0.2.0/24,2001:db8::1"),
			func(c *Container) { c.Ports = append(c.Ports, Port{Private: 53, Type: "udp"}) })},
			[]Service{{Name: "db", Kind: "udp", Ports: "6000-6001", Allow: []string{"192.0.2.0/24", "2001:db8::1"}, Targets: []Target{{Container: "db", Address: "172.17.0.2", Port: 53}}}}, nil, nil},
		{"two services of one container", Options{}, []Container{web("web", host, "shop.example.org", "warren.service.api.hostname", "api.example.org", "warren.service.api.port", "9")}, []Service{
			{Name: "api", Kind: "http", Hostname: "api.example.org", Targets: []Target{{Container: "web", Address: "172.17.0.2", Port: 9}}}, shop(plain),
		}, nil, nil},
		{"two containers of one service", Options{}, []Container{
			with(web("web2", "warren.service.shop.path_prefix", "/b"), func(c *Container) { c.Networks = map[string]Network{"bridge": {IPv6: "fd00::3"}} }), web("web", host, "shop.example.org"),
		}, []Service{shop(plain, Target{Container: "web2", Address: "fd00::3", Port: 8080, PathPrefix: "/b"})}, nil, nil},
		{"two containers that disagree", Options{}, []Container{web("a", host, "a.example.org"), web("b", host, "b.example.org")}, nil, []string{"shop"},
			[]string{`service shop: label warren.service.shop.hostname: container a says "a.example.org", and b says "b.example.org"`}},
		{"what has gone does not gainsay", Options{}, []Container{with(web("a", host, "old.example.org"), func(c *Container) { c.Gone = true }), web("web", host, "shop.example.org")},
			[]Service{shop(Target{Container: "a", Address: "172.17.0.2", Port: 8080}, plain)}, nil, nil},
		{"what has gone stays as it was, and nobody hears of its labels", Options{}, []Container{with(web("web", host, "shop.example.org", "warren.x", ""), func(c *Container) { c.Gone = true })}, []Service{shop(plain)}, nil, nil},
		{"an unknown field publishes nothing", Options{}, []Container{web("web", host, "shop.example.org", "warren.service.shop.polcy", "staff")}, nil, []string{"shop"},
			[]string{"service shop: container web: label warren.service.shop.polcy: not known: want one of allow, health_check.body_contains, "}},
		{"one that can't be read leaves the others", Options{}, []Container{web("a", host, "shop.example.org", "warren.service.shop.weight", "0"), web("web", host, "shop.example.org")}, []Service{shop(plain)}, nil,
			[]string{`service shop: container a: label warren.service.shop.weight: "0", want a number from 1 to 1000`}},
		{"an unknown label", Options{}, []Container{web("web", host, "shop.example.org", "warren.enabled", "true")}, []Service{shop(plain)}, nil,
			[]string{"container web: label warren.enabled: not known: want warren.enable, warren.network or warren.service.NAME.FIELD"}},
		{"no name", Options{}, []Container{web("web", "warren.service.Shop_1.hostname", "a.b")}, nil, nil,
			[]string{`container web: label warren.service.Shop_1.hostname: "Shop_1" is no name of a service: want lower-case letters, digits and inner hyphens, 63 at most`}},
		{"an allow list that has come to nothing", Options{}, []Container{web("web", "warren.service.shop.allow", " ")}, nil, []string{"shop"},
			[]string{"service shop: container web: label warren.service.shop.allow: empty: it would let everybody in"}},
		{"a long value", Options{}, []Container{web("web", "warren.service.shop.policy", strings.Repeat("x", 2000))}, nil, []string{"shop"},
			[]string{"service shop: container web: label warren.service.shop.policy: want one line of text of 1024 bytes at most"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Read(tt.in, tt.o)
			if diff := cmp.Diff(tt.services, got.Services); diff != "" {
				t.Errorf("services:\n%s", diff)
			}
			if diff := cmp.Diff(tt.held, got.Held); diff != "" {
				t.Errorf("held:\n%s", diff)
			}
			checkProblems(t, got.Problems, tt.problems)
		})
	}
}

// checkProblems compares how problems begin.
func checkProblems(t *testing.T, got []Problem, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d problems, want %d: %v", len(got), len(want), got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i].String(), want[i]) {
			t.Errorf("problem %q, want %q", got[i], want[i])
		}
	}
}

func TestPlace(t *testing.T) {
	ports := func(list ...Port) func(*Container) { return func(c *Container) { c.Ports = list } }
	for _, tt := range []struct {
		name    string
		o       Options
		c       Container
		network string
		port    int
		want    string // address and port, or the error
	}{
		{"its own address", Options{}, web("web"), "", 0, "172.17.0.2 8080"},
		{"another port", Options{}, web("web"), "", 99, "172.17.0.2 99"},
		{"several ports", Options{}, with(web("web"), ports(Port{Private: 443, Type: "tcp"}, Port{Private: 80, Type: "tcp"}, Port{Private: 80, Type: "tcp", IP: "::", Public: 8})), "", 0, "not said, and the container exposes 80 443"},
		{"no port", Options{}, with(web("web"), ports(Port{Private: 80, Type: "udp"})), "", 0, "not said, and the container exposes no tcp port"},
		{"several networks", Options{}, with(web("web"), func(c *Container) { c.Networks = map[string]Network{"b": {IPv4: "10.0.0.2"}, "a": {IPv4: "10.1.0.2"}} }), "", 0, "it is in the networks a, b: say by label warren.network which one counts"},
		{"several networks, one of which a label names", Options{Network: "a"}, with(web("web"), func(c *Container) { c.Networks = map[string]Network{"b": {IPv4: "10.0.0.2"}, "a": {IPv4: "10.1.0.2"}} }), "b", 0, "10.0.0.2 8080"},
		{"several networks, one of which a setting names", Options{Network: "a"}, with(web("web"), func(c *Container) { c.Networks = map[string]Network{"b": {IPv4: "10.0.0.2"}, "a": {IPv4: "10.1.0.2"}} }), "", 0, "10.1.0.2 8080"},
		{"a network that it is not in", Options{}, web("web"), "front", 0, `it has no address in the network "front", but in bridge`},
		{"the machine's network", Options{}, with(web("web"), func(c *Container) { c.NetworkMode, c.Networks, c.Ports = "host", map[string]Network{"host": {}}, nil }), "", 80, "127.0.0.1 80"},
		{"no network", Options{}, with(web("web"), func(c *Container) { c.NetworkMode, c.Networks = "none", map[string]Network{"none": {}} }), "", 80, "it has no address in any network, and does not publish the port"},
		{"an engine without privileges", Options{}, with(web("web"), func(c *Container) { c.NetworkMode, c.Networks = "host", nil; c.Ports[0].Public = 18080 }), "", 0, "127.0.0.1 18080"},
		{"published", Options{HostAddress: "192.0.2.7"}, with(web("web"), ports(Port{Private: 80, Type: "tcp", IP: "127.0.0.1", Public: 1}, Port{Private: 80, Type: "udp", IP: "0.0.0.0", Public: 2}, Port{Private: 80, Type: "tcp", IP: "0.0.0.0", Public: 3})), "", 0, "192.0.2.7 3"},
		{"published at loopback only", Options{HostAddress: "192.0.2.7"}, with(web("web"), ports(Port{Private: 80, Type: "tcp", IP: "127.0.0.1", Public: 1})), "", 0, "port 80 is not published at 192.0.2.7"},
		{"published, for who stands there", Options{HostAddress: "127.0.0.1"}, with(web("web"), ports(Port{Private: 80, Type: "tcp", IP: "127.0.0.1", Public: 1})), "", 0, "127.0.0.1 1"},
		{"the machine's network at its address", Options{HostAddress: "192.0.2.7"}, with(web("web"), func(c *Container) { c.NetworkMode, c.Networks, c.Ports = "host", map[string]Network{"host": {}}, nil }), "", 80, "192.0.2.7 80"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, p, err := place(&tt.c, tt.o, tt.network, tt.port, "tcp")
			got := fmt.Sprint(a, " ", p)
			if err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	var many []Container
	for i := range maxServices + 3 {
		many = append(many, web(fmt.Sprintf("c%04d", i), fmt.Sprintf("warren.service.s%d.hostname", i), "a.example.org"))
	}
	p := Read(many, Options{})
	if len(p.Services) != maxServices || len(p.Problems) != 3 {
		t.Errorf("%d services, %d problems", len(p.Services), len(p.Problems))
	}
	many = nil
	for i := range maxTargets + 3 + maxProblems {
		many = append(many, web(fmt.Sprintf("c%04d", i), "warren.service.shop.hostname", "a.example.org"))
	}
	p = Read(many, Options{})
	if n := len(p.Services[0].Targets); n != maxTargets || len(p.Problems) != maxProblems+1 || p.Problems[maxProblems].String() != "3 more" {
		t.Errorf("%d targets, %d problems", n, len(p.Problems))
	}
}

func FuzzRead(f *testing.F) {
	f.Add("warren.service.shop.hostname", "shop.example.org", "warren.service.shop.port", "80", "web", "")
	f.Add("warren.service.shop.kind", "udp", "warren.service.shop.ports", "6000-6010", "db", "192.0.2.1")
	f.Add("warren.service.", "", "warren.\xff", "\x00", "", "x")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, name, host string) {
		host = clip(host) // it is a setting, and checked
		in := []Container{web("a", k1, v1), web(name, k2, v2, k1, v2)}
		p := Read(in, Options{HostAddress: host})
		if diff := cmp.Diff(p, Read([]Container{in[1], in[0]}, Options{HostAddress: host})); diff != "" && name != "a" {
			t.Errorf("the order of containers matters:\n%s", diff)
		}
		held := map[string]bool{}
		for _, h := range p.Held {
			held[h] = true
		}
		for _, s := range p.Services {
			if held[s.Name] || !nameSyntax.MatchString(s.Name) || len(s.Targets) == 0 || s.Kind == "" {
				t.Errorf("published: %+v", s)
			}
			for _, target := range s.Targets {
				if target.Address == "" || target.Port < 1 || target.Port > 65535 {
					t.Errorf("target %+v", target)
				}
			}
		}
		for _, pr := range p.Problems {
			if pr.Message == "" || utf8.ValidString(name) && !utf8.ValidString(pr.String()) {
				t.Errorf("problem %q", pr)
			}
		}
	})
}

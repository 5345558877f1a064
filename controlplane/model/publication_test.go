package model

import (
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/shared/wgkey"
)

// merged is what MergePublications comes to, in short: services with the addresses of their targets, what is held, problems.
func merged(w Wishes) string {
	var out []string
	for _, s := range w.Services {
		line := s.Name + " " + s.Hostname + ":"
		for _, t := range s.Targets {
			line += " " + t.Address
		}
		out = append(out, line)
	}
	for _, name := range []string{"a", "b"} {
		if w.Held[name] {
			out = append(out, "held "+name)
		}
	}
	if w.Partial {
		out = append(out, "partial")
	}
	for _, p := range w.Problems {
		out = append(out, strings.Join(strings.Fields(p.Connector+" "+p.Service+" "+p.Message), " "))
	}
	return strings.Join(out, "; ")
}

func TestMergePublications(t *testing.T) {
	site, at := SiteID{}.New(), time.Unix(1e9, 0)
	says := func(connector, engine string, said int, services ...PublishedService) *Publication {
		return &Publication{Connector: ConnectorID{}.New(), Site: site, Name: connector, Engine: engine, Services: services, Said: at.Add(time.Duration(said) * time.Second), Meta: Meta{Created: at}}
	}
	service := func(name, host string, addresses ...string) PublishedService {
		s := PublishedService{Name: name, Kind: "http", Hostname: host}
		for i, a := range addresses {
			s.Targets = append(s.Targets, PublishedTarget{Container: name + "-" + string(rune('1'+i)), Address: a, Port: 80})
		}
		return s
	}
	with := func(p *Publication, change func(*Publication)) *Publication {
		change(p)
		return p
	}
	anywhere := func(p *Publication) { p.Anywhere = true }
	const apart = "another connector of the site reads another engine"
	for _, tt := range []struct {
		name string
		in   []*Publication
		want string
	}{
		{"nobody", nil, ""},
		{"one", []*Publication{says("c1", "e", 1, service("b", "b.x", "1"), service("a", "a.x", "2", "3"))}, "a a.x: 2 3; b b.x: 1"},
		{"two of one engine: who said something last", []*Publication{says("c1", "e", 2, service("a", "a.x", "2")), says("c2", "e", 1, service("b", "b.x", "1"))}, "a a.x: 2"},
		{"two engines whose addresses all reach", []*Publication{with(says("c1", "e", 1, service("a", "a.x", "1")), anywhere), with(says("c2", "f", 1, service("a", "a.x", "2"), service("b", "b.x", "3")), anywhere)}, "a a.x: 1 2; b b.x: 3"},
		{"two engines whose addresses are their machines'", []*Publication{says("c1", "e", 1, service("a", "a.x", "1")), says("c2", "f", 2, service("b", "b.x", "1"))}, "a a.x: 1; held b; c2 " + apart},
		{"two engines that disagree", []*Publication{with(says("c1", "e", 1, service("a", "a.x", "1")), anywhere), with(says("c2", "f", 1, service("a", "b.x", "2")), anywhere)}, "held a; a the labels that connector c1 reads and those that c2 reads say different things"},
		{"held by one, said by the other", []*Publication{with(says("c1", "e", 1), func(p *Publication) { p.Held = []string{"a", "b"} }), with(says("c2", "f", 1, service("a", "a.x", "2")), anywhere)}, "a a.x: 2; held a; held b"},
		{"not all is up", []*Publication{with(says("c1", "e", 1, service("a", "a.x", "1")), func(p *Publication) { p.Partial = true })}, "a a.x: 1; partial"},
		{"the engine is away", []*Publication{with(says("c1", "e", 1, service("a", "a.x", "1")), func(p *Publication) { p.Trouble = "gone" })}, "a a.x: 1; c1 gone"},
		{"it was never there", []*Publication{with(says("c1", "", 1), func(p *Publication) { p.Trouble = "gone" })}, "partial; c1 gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := merged(MergePublications(tt.in)); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestWhoIsAskedForContainersOfAnotherMachine(t *testing.T) {
	key, err := wgkey.New()
	if err != nil {
		t.Fatal(err)
	}
	connector := func(name string, change ...func(*Connector)) *Connector {
		v := &Connector{ID: ConnectorID{}.New(), Name: name, WireGuardKey: key.Public()}
		for _, f := range change {
			f(v)
		}
		return v
	}
	c1, c2 := connector("c1"), connector("c2")
	waits := connector("waits", func(v *Connector) { v.WireGuardKey = wgkey.Public{} })
	revoked := connector("revoked", func(v *Connector) { v.Revoked = time.Unix(1, 0) })
	says := func(c *Connector, engine string, anywhere bool, n int) *Publication {
		return &Publication{Connector: c.ID, Name: c.Name, Engine: engine, Anywhere: anywhere, Services: make([]PublishedService, n)}
	}
	for _, tt := range []struct {
		name string
		list []*Publication
		site []*Connector
		want string
	}{
		{"it is the only one", []*Publication{says(c1, "e", false, 1)}, []*Connector{c1, waits, revoked}, ""},
		{"another one reads nothing", []*Publication{says(c1, "e", false, 1)}, []*Connector{c2, c1}, "c2"},
		{"another one reads the same engine", []*Publication{says(c1, "e", false, 1), says(c2, "e", false, 1)}, []*Connector{c1, c2}, ""},
		{"another one reads another engine", []*Publication{says(c1, "e", false, 1), says(c2, "f", true, 1)}, []*Connector{c1, c2}, "c2"},
		{"all reach it", []*Publication{says(c1, "e", true, 1)}, []*Connector{c1, c2}, ""},
		{"there is nothing to reach", []*Publication{says(c1, "e", false, 0)}, []*Connector{c1, c2}, ""},
	} {
		w := MergePublications(tt.list)
		if got := strings.Join(w.Astray(tt.site), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestTargetNames(t *testing.T) {
	p := &Publication{Site: SiteID{}.New()}
	seen := map[string]string{}
	for _, c := range []string{"web-1", "Web_1", "ü", "", strings.Repeat("x-", 60), "-"} {
		name := targetName(p, "shop", &PublishedTarget{Container: c, Address: "10.0.0.1"})
		if err := checkName(name, MaxName); err != nil {
			t.Errorf("%q: %s: %v", c, name, err)
		}
		if other, taken := seen[name]; taken {
			t.Errorf("%q and %q are both %s", c, other, name)
		}
		seen[name] = c
		if again := targetName(p, "shop", &PublishedTarget{Container: c, Address: "10.0.0.2"}); again != name {
			t.Errorf("%q: %s with one address, %s with another", c, name, again)
		}
		if other := targetName(p, "wiki", &PublishedTarget{Container: c}); other == name {
			t.Errorf("%q has one name in two services", c)
		}
		if other := targetName(&Publication{Site: SiteID{}.New()}, "shop", &PublishedTarget{Container: c}); other == name {
			t.Errorf("%q has one name at two sites", c)
		}
	}
}

func TestPublishAllows(t *testing.T) {
	p := &Publish{Hostnames: []string{"*.apps.example.org", "shop.example.org"}, Ports: []Ports{{6000, 6010}}}
	for _, tt := range []struct {
		service Service
		want    bool
	}{
		{Service{Kind: HTTP, Hostname: "shop.example.org"}, true},
		{Service{Kind: TLS, Hostname: "a.apps.example.org"}, true},
		{Service{Kind: HTTP, Hostname: "*.apps.example.org"}, true},
		{Service{Kind: HTTP, Hostname: "apps.example.org"}, false},
		{Service{Kind: HTTP, Hostname: "a.b.apps.example.org"}, false},
		{Service{Kind: HTTP, Hostname: "*.example.org"}, false},
		{Service{Kind: HTTP}, false},
		{Service{Kind: TCP, Ports: Ports{6000, 6010}}, true},
		{Service{Kind: UDP, Ports: Ports{6010, 6011}}, false},
		{Service{Kind: TCP}, false},
	} {
		if err := p.Allows(&tt.service); (err == nil) != tt.want {
			t.Errorf("%s %q %s: %v", tt.service.Kind, tt.service.Hostname, tt.service.Ports, err)
		}
	}
	if err := (&Publish{}).Allows(&Service{Kind: HTTP, Hostname: "shop.example.org"}); err == nil {
		t.Error("who lists nothing permits something")
	}
}

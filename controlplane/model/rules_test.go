package model

import (
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/fault"
)

// refusal is the kind and field of an error.
func refusal(err error) string {
	if err == nil {
		return ""
	}
	f, ok := err.(*fault.Error)
	if !ok {
		return "?"
	}
	if f.Field == "" {
		return f.Kind.String()
	}
	return f.Kind.String() + " " + f.Field
}

var (
	acme, other = OrgID{}.New(), OrgID{}.New()
	edge, far   = PoolID{}.New(), PoolID{}.New()
)

func domain(org OrgID, pool PoolID, name string) *Domain {
	return &Domain{ID: DomainID{}.New(), Org: org, Pool: pool, Name: name}
}

func service(org OrgID, pool PoolID, hostname string) *Service {
	return &Service{ID: ServiceID{}.New(), Org: org, Name: "web", Kind: HTTP, Hostname: hostname, Pool: pool}
}

func TestCheckServiceDomain(t *testing.T) {
	own := domain(acme, edge, "example.org")
	for _, c := range []struct {
		service *Service
		domain  *Domain
		want    string
	}{
		{service(acme, edge, "www.example.org"), own, ""},
		{service(acme, edge, "example.org"), own, ""},
		{service(acme, edge, "*.example.org"), own, ""},
		{service(acme, edge, "a.b.example.org"), own, ""},
		{service(acme, edge, "www.example.org"), nil, "invalid hostname"},
		{service(acme, edge, "www.example.org"), domain(other, edge, "example.org"), "invalid hostname"},
		{service(acme, edge, "www.example.net"), own, "invalid hostname"},
		{service(acme, edge, "www.example.org"), &Domain{Org: acme, Pool: edge, Name: "example.org", Unproven: true}, "invalid hostname"},
		{service(acme, edge, "www.example.org"), &Domain{Org: other, Pool: edge, Name: "example.org", Unproven: true}, "invalid hostname"},
		{service(acme, edge, "wwwexample.org"), own, "invalid hostname"},
		{service(acme, edge, "*.org"), own, "invalid hostname"},
		{service(acme, far, "www.example.org"), own, "invalid pool"},
		{service(acme, edge, "ns-one.example.org"), own, "invalid hostname"},
		{service(acme, edge, "ns-.example.org"), own, "invalid hostname"},
		{service(acme, edge, "ns1.example.org"), own, ""},
		{service(acme, edge, "ns-a.b.example.org"), own, ""},
		{service(acme, edge, "ns-a.example.org"), domain(acme, edge, "ns-a.example.org"), ""}, // an apex itself
	} {
		if got := refusal(CheckServiceDomain(c.service, c.domain)); got != c.want {
			t.Errorf("%s in %v: %q, want %q", c.service.Hostname, c.domain, got, c.want)
		}
	}
	stranger := CheckServiceDomain(service(acme, edge, "www.example.org"), domain(other, edge, "example.org"))
	nobody := CheckServiceDomain(service(acme, edge, "www.example.org"), nil)
	if stranger.Error() != nobody.Error() {
		t.Errorf("a stranger's domain shows: %q, not %q", stranger, nobody)
	}
}

func TestCheckServiceHostname(t *testing.T) {
	s := service(acme, edge, "www.example.org")
	if err := CheckServiceHostname(s, []*Service{s}); err != nil {
		t.Errorf("in its own way: %v", err)
	}
	if got := refusal(CheckServiceHostname(s, []*Service{s, service(other, far, "www.example.org")})); got != "conflict hostname" {
		t.Errorf("taken: %q", got)
	}
	if err := CheckServiceHostname(s, []*Service{service(acme, edge, "*.example.org")}); err != nil {
		t.Errorf("beside a wildcard: %v", err)
	}
}

func TestCheckServicePorts(t *testing.T) {
	at := func(org OrgID, pool PoolID, kind ServiceKind, first, last uint16) *Service {
		return &Service{ID: ServiceID{}.New(), Org: org, Name: "secret-name", Kind: kind, Pool: pool, Ports: Ports{first, last}}
	}
	s := at(acme, edge, TCP, 6000, 6010)
	for _, c := range []struct {
		other *Service
		taken bool
		named bool
	}{
		{s, false, false},
		{at(acme, edge, TCP, 6010, 6020), true, true},
		{at(acme, edge, TCP, 5990, 6000), true, true},
		{at(acme, edge, TCP, 1, 65535), true, true},
		{at(other, edge, TCP, 6005, 6005), true, false},
		{at(acme, edge, UDP, 6000, 6010), false, false},
		{at(acme, far, TCP, 6000, 6010), false, false},
		{at(acme, edge, TCP, 6011, 6020), false, false},
	} {
		err := CheckServicePorts(s, []*Service{c.other})
		if want := map[bool]string{true: "conflict ports"}[c.taken]; refusal(err) != want {
			t.Errorf("%s %s: %v, want %q", c.other.Kind, c.other.Ports, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret-name") != c.named {
			t.Errorf("%s: a stranger's name shows, or one's own does not", err)
		}
	}
}

func TestCheckTarget(t *testing.T) {
	s, site := service(acme, edge, "www.example.org"), &Site{ID: SiteID{}.New(), Org: acme}
	raw := *s
	raw.Kind = TLS
	foreign, abroad := *s, *site
	foreign.Org, abroad.Org = other, other
	root := &Target{Org: acme, Name: "t", Service: s.ID, Site: site.ID, PathPrefix: "/"}
	deep, checked, datagrams, local := *root, *root, *s, *site
	checked.HealthCheck, local.Kind = &HealthCheck{Kind: CheckTCP}, LocalSite
	peer := *site
	peer.Kind = WireGuardSite
	device, near, strange := *root, *root, *root
	device.Address, strange.Address = OverlayAddress(site.ID).String(), OverlayAddress(SiteID{}.New()).String()
	near.Address = "10.0.0.1"
	checkedDevice := device
	checkedDevice.HealthCheck = checked.HealthCheck
	datagrams.Kind, datagrams.Hostname, datagrams.Ports = UDP, "", Ports{6000, 6000}
	deep.PathPrefix = "/a"
	for _, c := range []struct {
		name    string
		target  *Target
		service *Service
		site    *Site
		want    string
	}{
		{"good", root, s, site, ""},
		{"path", &deep, s, site, ""},
		{"passthrough", root, &raw, site, ""},
		{"passthrough path", &deep, &raw, site, "invalid path_prefix"},
		{"no service", root, nil, site, "invalid service"},
		{"foreign service", root, &foreign, site, "invalid service"},
		{"no site", root, s, nil, "invalid site"},
		{"foreign site", root, s, &abroad, "invalid site"},
		{"checked", &checked, s, site, ""},
		{"checked, of udp", &checked, &datagrams, site, "invalid health_check"},
		{"checked, of a local site", &checked, s, &local, ""},
		{"a device", &device, s, &peer, ""},
		{"checked, of a device", &checkedDevice, s, &peer, ""},
		{"checked, of a device, of udp", &checkedDevice, &datagrams, &peer, "invalid health_check"},
		{"behind a device", &near, s, &peer, "invalid address"},
		{"another device", &strange, s, &peer, "invalid address"},
		{"a device, of a site with connectors", &device, s, site, "invalid address"},
		{"a device, of a local site", &device, s, &local, "invalid address"},
	} {
		if got := refusal(CheckTarget(c.target, c.service, c.site)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	ports := *s
	ports.Kind, ports.Hostname, ports.Ports = TCP, "", Ports{6000, 6009}
	high := *root
	for port, want := range map[uint16]string{65526: "", 65527: "invalid port"} {
		if high.Port = port; refusal(CheckServiceTargets(&ports, []*Target{&high})) != want {
			t.Errorf("ten ports from %d on: %v", port, CheckServiceTargets(&ports, []*Target{&high}))
		}
	}
	if got := refusal(CheckServiceTargets(&ports, []*Target{&deep})); got != "invalid path_prefix" {
		t.Errorf("a path at a port: %q", got)
	}
	if got := refusal(CheckServiceTargets(&raw, []*Target{root, &deep})); got != "invalid path_prefix" {
		t.Errorf("service turned passthrough: %q", got)
	}
}

func TestCheckDomain(t *testing.T) {
	d := domain(acme, edge, "example.org")
	moved := *d
	moved.Pool = far
	www := service(acme, edge, "www.example.org")
	for _, c := range []struct {
		name     string
		domain   *Domain
		others   []*Domain
		services []*Service
		want     string
	}{
		{"alone", d, nil, nil, ""},
		{"itself", d, []*Domain{d}, []*Service{www}, ""},
		{"own child", d, []*Domain{domain(acme, edge, "b.example.org")}, nil, ""},
		{"own parent", domain(acme, edge, "b.example.org"), []*Domain{d}, nil, ""},
		{"taken", d, []*Domain{domain(other, edge, "example.org")}, nil, "conflict name"},
		{"twice", d, []*Domain{domain(acme, edge, "example.org")}, nil, "conflict name"},
		{"within a stranger's", d, []*Domain{domain(other, edge, "org")}, nil, "conflict name"},
		{"contains a stranger's", d, []*Domain{domain(other, edge, "b.example.org")}, nil, "conflict name"},
		{"not related", d, []*Domain{domain(other, edge, "xexample.org")}, nil, ""},
		{"takes a node's name", domain(acme, edge, "ns-a.example.org"), []*Domain{d}, nil, "invalid name"},
		{"has a child with a node's name", d, []*Domain{domain(acme, edge, "ns-a.example.org")}, nil, "invalid name"},
		{"moves away from its services", &moved, []*Domain{d}, []*Service{www}, "conflict pool"},
		{"moves with a child's services", &moved, []*Domain{d, domain(acme, edge, "www.example.org")}, []*Service{www}, ""},
		{"takes services into another pool", domain(acme, far, "www.example.org"), []*Domain{d}, []*Service{www}, "conflict pool"},
		{"makes a service's name a node's", domain(acme, edge, "b.example.org"), []*Domain{d}, []*Service{service(acme, edge, "ns-a.b.example.org")}, "conflict name"},
	} {
		if got := refusal(CheckDomain(c.domain, c.others, c.services)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestCheckDomainRemoval(t *testing.T) {
	d, parent := domain(acme, edge, "b.example.org"), domain(acme, edge, "example.org")
	s := service(acme, edge, "*.b.example.org")
	for _, c := range []struct {
		name      string
		remaining []*Domain
		services  []*Service
		want      string
	}{
		{"unused", nil, nil, ""},
		{"used", nil, []*Service{s}, "conflict"},
		{"listed itself", []*Domain{d}, []*Service{s}, "conflict"},
		{"parent takes over", []*Domain{parent, d}, []*Service{s}, ""},
		{"parent of another pool", []*Domain{domain(acme, far, "example.org")}, []*Service{s}, "conflict"},
		{"used elsewhere", nil, []*Service{service(acme, edge, "www.example.org")}, ""},
	} {
		if got := refusal(CheckDomainRemoval(d, c.remaining, c.services)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestSitesWithoutConnectors(t *testing.T) {
	some := []*Connector{{Name: "pi"}}
	for _, c := range []struct {
		kind       SiteKind
		connectors []*Connector
		want       string
	}{{ConnectorSite, some, ""}, {ConnectorSite, nil, ""}, {LocalSite, nil, ""}, {LocalSite, some, "kind"}} {
		if got := field(CheckSiteKind(&Site{Kind: c.kind}, c.connectors)); got != c.want {
			t.Errorf("%s with %d connectors: %q", c.kind, len(c.connectors), got)
		}
	}
	if got := field(CheckConnector(&Site{Kind: LocalSite})); got != "site" {
		t.Errorf("a connector at a local site: %q", got)
	}
	if err := CheckConnector(&Site{Kind: ConnectorSite}); err != nil {
		t.Error(err)
	}
}

func TestCheckSiteChange(t *testing.T) {
	for _, c := range []struct {
		old, now SiteKind
		want     string
	}{
		{WireGuardSite, WireGuardSite, ""}, {ConnectorSite, LocalSite, ""}, {LocalSite, ConnectorSite, ""},
		{WireGuardSite, ConnectorSite, "invalid kind"}, {ConnectorSite, WireGuardSite, "invalid kind"}, {LocalSite, WireGuardSite, "invalid kind"},
	} {
		if got := refusal(CheckSiteChange(&Site{Kind: c.old}, &Site{Kind: c.now})); got != c.want {
			t.Errorf("%s to %s: %q, want %q", c.old, c.now, got, c.want)
		}
	}
	if got := refusal(CheckConnector(&Site{Kind: WireGuardSite})); got != "invalid site" {
		t.Errorf("a connector of a device: %q", got)
	}
}

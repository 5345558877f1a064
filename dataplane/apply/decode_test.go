package apply

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/shared/resource"
)

func connectorMsg() *nodev1.ConnectorConfig {
	return &nodev1.ConnectorConfig{
		SiteId: "site_1", Nodes: []*nodev1.ConnectorPeer{{
			NodeId: "node_b", Name: "b", WireguardPublicKey: key32, WireguardEndpoint: "198.51.100.2:51820", StreamEndpoint: "198.51.100.2:443", OverlayAddress: "fd57:6172:7265:1::2",
		}},
		Targets:    []*nodev1.ConnectorTarget{{Id: "target_1", Address: "10.0.0.1", Port: 80}},
		Connectors: []*nodev1.ConnectorAddress{{ConnectorId: "connector_1", OverlayAddress: "fd57:6172:7265:2::1"}},
	}
}

func tcpCheckMsg() *nodev1.HealthCheck {
	return &nodev1.HealthCheck{
		Interval: durationpb.New(5 * time.Second), Timeout: durationpb.New(time.Second), HealthyThreshold: 1, UnhealthyThreshold: 1,
		Check: &nodev1.HealthCheck_Tcp{Tcp: &nodev1.TCPCheck{}},
	}
}

func httpCheckMsg() *nodev1.HealthCheck {
	return &nodev1.HealthCheck{
		Interval: durationpb.New(10 * time.Second), Timeout: durationpb.New(2 * time.Second), HealthyThreshold: 2, UnhealthyThreshold: 3,
		Check: &nodev1.HealthCheck_Http{Http: &nodev1.HTTPCheck{
			Method: "HEAD", Path: "/up?deep=1", Host: "app.example.org", Headers: []*nodev1.HTTPHeader{{Name: "x-key", Value: "k"}},
			ExpectedStatuses: []*nodev1.StatusRange{{First: 200, Last: 299}, {First: 404, Last: 404}}, BodyContains: "well", Tls: true,
		}},
	}
}

// checked changes a check of HTTP in a copy of a connector's configuration.
func checked(f func(*nodev1.HealthCheck, *nodev1.HTTPCheck)) proto.Message {
	return edit(connectorMsg(), func(m *nodev1.ConnectorConfig) {
		m.Targets[0].HealthCheck = httpCheckMsg()
		f(m.Targets[0].HealthCheck, m.Targets[0].HealthCheck.GetHttp())
	})
}

// edit changes a copy of a message.
func edit[M proto.Message](m M, f func(M)) proto.Message {
	c := proto.Clone(m).(M)
	f(c)
	return c
}

func TestDecodeNamesTheField(t *testing.T) {
	for _, good := range []proto.Message{
		nodeConfigMsg(), nodeMsg("node_b", "b", 2), siteMsg("site_1", 3, me), certMsg(t, "a.example", "*.b.example"), routeMsg("s", "a.example", "c"),
		routeMsg("s", "*.a.example", ""), zoneMsg(), recordMsg("*.example.org"), connectorMsg(), forwardMsg(), &nodev1.Forward{ServiceId: "s", FirstPort: 1, LastPort: 1000}, tcpRouteMsg(), &nodev1.Trust{IdentityAuthoritiesPem: certMsg(t, "ca").GetChainPem()},
	} {
		if _, err := decode(res(t, "x", good)); err != nil {
			t.Errorf("%T: %v", good, err)
		}
	}
	other := certMsg(t, "a.example")
	for _, tc := range []struct {
		field string
		msg   proto.Message
	}{
		{"node_id", edit(nodeConfigMsg(), func(m *nodev1.NodeConfig) { m.NodeId = "" })},
		{"pool_id", edit(nodeConfigMsg(), func(m *nodev1.NodeConfig) { m.PoolId = "" })},
		{"overlay_address", edit(nodeConfigMsg(), func(m *nodev1.NodeConfig) { m.OverlayAddress = "10.0.0.1" })},
		{"identity_authorities_pem", &nodev1.Trust{IdentityAuthoritiesPem: []byte("x")}},
		{"names", edit(certMsg(t, "a.example"), func(m *nodev1.Certificate) { m.Names = nil })},
		{"names[0]", edit(certMsg(t, "a.example"), func(m *nodev1.Certificate) { m.Names = []string{"A.example"} })},
		{"chain_pem", edit(certMsg(t, "a.example"), func(m *nodev1.Certificate) { m.ChainPem = []byte("x") })},
		{"private_key_pem", edit(certMsg(t, "a.example"), func(m *nodev1.Certificate) { m.PrivateKeyPem = other.PrivateKeyPem })},
		{"id", edit(nodeMsg("node_b", "b", 2), func(m *nodev1.Node) { m.Id = "" })},
		{"name", edit(nodeMsg("node_b", "b", 2), func(m *nodev1.Node) { m.Name = "" })},
		{"addresses[0]", edit(nodeMsg("node_b", "b", 2), func(m *nodev1.Node) { m.Addresses = []string{"x"} })},
		{"wireguard_public_key", edit(nodeMsg("node_b", "b", 2), func(m *nodev1.Node) { m.WireguardPublicKey = key32[1:] })},
		{"wireguard_public_key", edit(nodeMsg("node_b", "b", 2), func(m *nodev1.Node) { m.WireguardPublicKey = make([]byte, 32) })},
		{"wireguard_endpoint", edit(nodeMsg("node_b", "b", 2), func(m *nodev1.Node) { m.WireguardEndpoint = "host:1" })},
		{"wireguard_name", edit(nodeMsg("node_b", "b", 2), func(m *nodev1.Node) { m.WireguardName = "192.0.2.1:51820" })},
		{"stream_name", edit(nodeMsg("node_b", "b", 2), func(m *nodev1.Node) { m.StreamName = "Edge.example.org:443" })},
		{"gossip_name", edit(nodeMsg("node_b", "b", 2), func(m *nodev1.Node) { m.GossipName = "edge.example.org" })},
		{"overlay_address", edit(nodeMsg("node_b", "b", 2), func(m *nodev1.Node) { m.OverlayAddress = "::1" })},
		{"connectors[0].wireguard_public_key", edit(siteMsg("site_1", 3), func(m *nodev1.Site) { m.Connectors[0].WireguardPublicKey = nil })},
		{"connectors[0].overlay_address", edit(siteMsg("site_1", 3), func(m *nodev1.Site) { m.Connectors[0].OverlayAddress = "192.0.2.1" })},
		{"connectors[0].id", edit(siteMsg("site_1", 3), func(m *nodev1.Site) { m.Connectors[0].Id = "" })},
		{"service_id", edit(routeMsg("s", "a.example", "c"), func(m *nodev1.Route) { m.ServiceId = "" })},
		{"hostname", edit(routeMsg("s", "a.example", "c"), func(m *nodev1.Route) { m.Hostname = "a.example." })},
		{"mode", edit(routeMsg("s", "a.example", "c"), func(m *nodev1.Route) { m.Mode = 99 })},
		{"certificate", edit(routeMsg("s", "a.example", "c"), func(m *nodev1.Route) { m.Certificate = "" })},
		{"rules[0].path_prefix", edit(routeMsg("s", "a.example", "c"), func(m *nodev1.Route) { m.Rules[0].PathPrefix = "a" })},
		{"rules[0].path_prefix", edit(routeMsg("s", "a.example", ""), func(m *nodev1.Route) { m.Rules[0].PathPrefix = "/a" })},
		{"rules[0].targets[0].target_id", edit(routeMsg("s", "a.example", "c"), func(m *nodev1.Route) { m.Rules[0].Targets[0].TargetId = "" })},
		{"rules[0].targets[0].site_id", edit(routeMsg("s", "a.example", "c"), func(m *nodev1.Route) { m.Rules[0].Targets[0].SiteId = "" })},
		{"rules[0].targets[0].scheme", edit(routeMsg("s", "a.example", "c"), func(m *nodev1.Route) { m.Rules[0].Targets[0].Scheme = 99 })},
		{"rules[0].targets[0].scheme", edit(routeMsg("s", "a.example", ""), func(m *nodev1.Route) { m.Rules[0].Targets[0].Scheme = nodev1.TargetScheme_TARGET_SCHEME_HTTPS })},
		{"rules[0].targets[0].authorities_pem", edit(routeMsg("s", "a.example", "c"), func(m *nodev1.Route) { m.Rules[0].Targets[0].AuthoritiesPem = "x" })},
		{"delivery", edit(routeMsg("s", "a.example", ""), func(m *nodev1.Route) { m.Maintenance = &nodev1.Maintenance{} })},
		{"delivery.host", edit(routeMsg("s", "a.example", "c"), func(m *nodev1.Route) { m.Delivery = &nodev1.Delivery{Host: "a b"} })},
		{"delivery.request.remove[0]", edit(routeMsg("s", "a.example", "c"), func(m *nodev1.Route) {
			m.Delivery = &nodev1.Delivery{Request: &nodev1.HeaderFields{Remove: []string{"x-a"}}}
		})},
		{"delivery.response.set[0].value", edit(routeMsg("s", "a.example", "c"), func(m *nodev1.Route) {
			m.Delivery = &nodev1.Delivery{Response: &nodev1.HeaderFields{Set: []*nodev1.HeaderField{{Name: "X-A", Value: "b\r\nX-B: c"}}}}
		})},
		{"organization_id", &nodev1.Brand{Name: "Acme"}},
		{"organization_id", &nodev1.Quota{RequestsPerSecond: 1}},
		{"requests_per_second", &nodev1.Quota{OrganizationId: "o", RequestsPerSecond: 1<<32 - 1}},
		{"accent", &nodev1.Brand{OrganizationId: "o", Accent: "#000000;}*{display:none"}},
		{"logo", &nodev1.Brand{OrganizationId: "o", Logo: []byte("<script>")}},
		{"apex", edit(zoneMsg(), func(m *nodev1.Zone) { m.Apex = "-" })},
		{"pool_id", edit(zoneMsg(), func(m *nodev1.Zone) { m.PoolId = "" })},
		{"caa[1]", edit(zoneMsg(), func(m *nodev1.Zone) {
			m.Caa = []*nodev1.CaaProperty{{Tag: "issue", Value: "ca.example"}, {Tag: "issue", Value: `"`}}
		})},
		{"owner", edit(recordMsg("a.example.org"), func(m *nodev1.RecordSet) { m.Owner = "" })},
		{"answer", edit(recordMsg("a.example.org"), func(m *nodev1.RecordSet) { m.Answer = nil })},
		{"pool_addresses.pool_id", edit(recordMsg("a.example.org"), func(m *nodev1.RecordSet) {
			m.Answer = &nodev1.RecordSet_PoolAddresses{PoolAddresses: &nodev1.PoolAddresses{}}
		})},
		{"site_id", edit(connectorMsg(), func(m *nodev1.ConnectorConfig) { m.SiteId = "" })},
		{"nodes[0].overlay_address", edit(connectorMsg(), func(m *nodev1.ConnectorConfig) { m.Nodes[0].OverlayAddress = "" })},
		{"nodes[0].wireguard_endpoint", edit(connectorMsg(), func(m *nodev1.ConnectorConfig) { m.Nodes[0].WireguardEndpoint = "x" })},
		{"nodes[0].stream_endpoint", edit(connectorMsg(), func(m *nodev1.ConnectorConfig) { m.Nodes[0].StreamEndpoint = "x" })},
		{"nodes[0].wireguard_name", edit(connectorMsg(), func(m *nodev1.ConnectorConfig) { m.Nodes[0].WireguardName = "edge.example.org:0" })},
		{"nodes[0].stream_name", edit(connectorMsg(), func(m *nodev1.ConnectorConfig) { m.Nodes[0].StreamName = "-:1" })},
		{"targets[0].port", edit(connectorMsg(), func(m *nodev1.ConnectorConfig) { m.Targets[0].Port = 70000 })},
		{"targets[0].ports", edit(connectorMsg(), func(m *nodev1.ConnectorConfig) { m.Targets[0].Ports = 1001 })},
		{"targets[0].ports", edit(connectorMsg(), func(m *nodev1.ConnectorConfig) { m.Targets[0].Port, m.Targets[0].Ports = 65535, 2 })},
		{"targets[0].protocol", edit(connectorMsg(), func(m *nodev1.ConnectorConfig) { m.Targets[0].Protocol = 9 })},
		{"proxy_protocol", edit(routeMsg("s", "a.example", ""), func(m *nodev1.Route) { m.ProxyProtocol = 3 })},
		{"proxy_protocol", edit(routeMsg("s", "a.example", "c"), func(m *nodev1.Route) { m.ProxyProtocol = 1 })},
		{"certificate", edit(tcpRouteMsg(), func(m *nodev1.Route) { m.Certificate = "" })},
		{"rules[0].path_prefix", edit(tcpRouteMsg(), func(m *nodev1.Route) { m.Rules[0].PathPrefix = "/a" })},
		{"service_id", edit(forwardMsg(), func(m *nodev1.Forward) { m.ServiceId = "" })},
		{"protocol", edit(forwardMsg(), func(m *nodev1.Forward) { m.Protocol = 9 })},
		{"first_port", edit(forwardMsg(), func(m *nodev1.Forward) { m.FirstPort = 0 })},
		{"first_port", edit(forwardMsg(), func(m *nodev1.Forward) { m.FirstPort, m.LastPort = 65536, 65536 })},
		{"last_port", edit(forwardMsg(), func(m *nodev1.Forward) { m.LastPort = 5999 })},
		{"last_port", edit(forwardMsg(), func(m *nodev1.Forward) { m.LastPort = 7000 })},
		{"last_port", edit(forwardMsg(), func(m *nodev1.Forward) { m.FirstPort, m.LastPort = 65535, 65536 })},
		{"proxy_protocol", edit(forwardMsg(), func(m *nodev1.Forward) { m.ProxyProtocol = 3 })},
		{"proxy_protocol", edit(forwardMsg(), func(m *nodev1.Forward) { m.Protocol = nodev1.TargetProtocol_TARGET_PROTOCOL_UDP })},
		{"allowed_cidrs[1]", edit(forwardMsg(), func(m *nodev1.Forward) { m.AllowedCidrs[1] = "home" })},
		{"allowed_cidrs[0]", edit(forwardMsg(), func(m *nodev1.Forward) { m.AllowedCidrs[0] = "10.0.0.1/8" })},
		{"targets[0].target_id", edit(forwardMsg(), func(m *nodev1.Forward) { m.Targets[0].TargetId = "" })},
		{"targets[0].site_id", edit(forwardMsg(), func(m *nodev1.Forward) { m.Targets[0].SiteId = "" })},
		{"kind", edit(siteMsg("site_1", 3), func(m *nodev1.Site) { m.Kind = 9 })},
		{"targets[0].port", edit(localSiteMsg(), func(m *nodev1.Site) { m.Targets[0].Port = 0 })},
		{"targets[0].health_check.interval", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { c.Interval = nil })},
		{"targets[0].health_check.interval", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { c.Interval.Nanos = -1 })},
		{"targets[0].health_check.interval", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { c.Interval = durationpb.New(time.Millisecond) })},
		{"targets[0].health_check.timeout", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { c.Timeout = nil })},
		{"targets[0].health_check.timeout", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { c.Timeout.Seconds = 11 })},
		{"targets[0].health_check.healthy_threshold", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { c.HealthyThreshold = 0 })},
		{"targets[0].health_check.unhealthy_threshold", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { c.UnhealthyThreshold = 1 << 31 })},
		{"targets[0].health_check.check: none", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { c.Check = nil })},
		{"targets[0].health_check.http.method", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { h.Method = "GET /" })},
		{"targets[0].health_check.http.path", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { h.Path = "up" })},
		{"targets[0].health_check.http.path", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { h.Path = "/\n" })},
		{"targets[0].health_check.http.host", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { h.Host = "a b" })},
		{"targets[0].health_check.http.headers[0].name", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { h.Headers[0].Name = "x key" })},
		{"targets[0].health_check.http.headers[0].name", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { h.Headers[0].Name = "host" })},
		{"targets[0].health_check.http.headers[0].value", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { h.Headers[0].Value = "a\r\nb" })},
		{"targets[0].health_check.http.expected_statuses: missing", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { h.ExpectedStatuses = nil })},
		{"targets[0].health_check.http.expected_statuses[1]", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { h.ExpectedStatuses[1].Last = 403 })},
		{"targets[0].health_check.http.expected_statuses[0]", checked(func(c *nodev1.HealthCheck, h *nodev1.HTTPCheck) { h.ExpectedStatuses[0].First = 0 })},
		{"targets[0].address", edit(connectorMsg(), func(m *nodev1.ConnectorConfig) { m.Targets[0].Address = "" })},
	} {
		_, err := decode(res(t, "x", tc.msg))
		if err == nil || !strings.Contains(err.Error(), tc.field) {
			t.Errorf("%T: %v, want %s", tc.msg, err, tc.field)
		}
	}
	if _, err := decode(ads.Resource{TypeURL: "type.googleapis.com/x"}); err == nil {
		t.Error("an unknown type")
	}
	if _, err := decode(ads.Resource{TypeURL: resource.Node, Body: []byte{0xff}}); err == nil || !strings.Contains(err.Error(), "not a Node") {
		t.Errorf("garbage: %v", err)
	}
}

// What is refused must never quote a key.
func TestT24_RefusalsShowNoKey(t *testing.T) {
	c := certMsg(t, "a.example")
	c.PrivateKeyPem = []byte("-----BEGIN PRIVATE KEY-----\nZ2VoZWltZ2VoZWlt\n-----END PRIVATE KEY-----\n")
	if _, err := decode(res(t, "x", c)); err == nil || strings.Contains(err.Error(), "Z2VoZWlt") || strings.Contains(err.Error(), "geheim") {
		t.Errorf("%v", err)
	}
}

func FuzzDecode(f *testing.F) {
	types := append(append(resource.NodeTypes(), resource.ConnectorTypes()...), resource.Forward)
	for i, m := range []proto.Message{
		nodeConfigMsg(), &nodev1.Trust{}, certMsg(f, "a.example"), nodeMsg("node_b", "b", 2), siteMsg("site_1", 3, me), routeMsg("s", "a.example", "c"), zoneMsg(), recordMsg("a.example.org"), connectorMsg(), forwardMsg(),
	} {
		b, _ := proto.Marshal(m)
		f.Add(uint8(i), b)
	}
	for typ, m := range map[string]proto.Message{
		resource.Site: localSiteMsg(), resource.ConnectorConfig: checked(func(*nodev1.HealthCheck, *nodev1.HTTPCheck) {}),
	} {
		b, _ := proto.Marshal(m)
		f.Add(uint8(slices.Index(types, typ)), b)
	}
	f.Fuzz(func(t *testing.T, i uint8, b []byte) {
		_, _ = decode(ads.Resource{TypeURL: types[int(i)%len(types)], Name: "x", Body: b})
	})
}

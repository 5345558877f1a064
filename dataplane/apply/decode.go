package apply

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/gossip"
	"github.com/warrenedge/warren/dataplane/health"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/dataplane/session"
	"github.com/warrenedge/warren/dataplane/sni"
	"github.com/warrenedge/warren/dataplane/terminate"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/hostname"
	"github.com/warrenedge/warren/shared/resource"
	"github.com/warrenedge/warren/shared/wgkey"
)

// The validated forms of resources. Protobuf stops here.

type self struct {
	id, name, pool, region string
	addr                   netip.Addr
	gossipKeys             []gossip.Key
	ticketKeys             []terminate.TicketKey
}

type trust struct {
	pem    []byte
	keys   map[string]ed25519.PublicKey // of access tokens, by kid
	signIn *url.URL                     // nil: nowhere
}

type node struct {
	id, name, pool, region string
	addresses              []netip.Addr
	key                    wgkey.Public
	endpoint               endpoint.Endpoint // zero: can't be dialled
	stream                 endpoint.Endpoint // its TLS port; zero: not known, relays go inside the tunnel
	addr                   netip.Addr
	gossip                 endpoint.Endpoint // zero: it has none
	draining               bool
}

type site struct {
	id         string
	connectors []end
	nodes      []string
	carrier    string // to prefer; empty: by measurement
	region     string
	local      bool                        // the nodes stand in its network
	stock      bool                        // it is a WireGuard peer that knows nothing of us
	peer       *end                        // of a stock one; nil: it has no key yet
	targets    map[string]connector.Target // of a local or stock one
	checks     []health.Target             // of these
}

// end is the far end of a tunnel.
type end struct {
	id       string
	key      wgkey.Public
	endpoint endpoint.Endpoint
	stream   endpoint.Endpoint // of a node: its TLS port; zero: not known, streams go inside the tunnel
	addr     netip.Addr
}

type route struct {
	service, hostname, certificate string
	mode                           sni.Mode
	proxy                          int // version of the PROXY protocol towards the target; 0: none
	rules                          []httpproxy.Rule
	checked                        []string // targets with a health check
	policy                         string   // resource name; "": everybody may come
	further                        []string // certificates beside the first, with keys of other types
	upstreams                      map[string]httpproxy.Upstream
	delivery                       httpproxy.Delivery
	maintenance                    *httpproxy.Maintenance
	org                            string // id; its pages have that one's look
}

type zone struct {
	id, apex, pool string
	issuers        []string
}

type recordSet struct {
	zone, owner, pool string
	ttl               uint32
}

type connectorConfig struct {
	site    string
	nodes   []end
	targets map[string]connector.Target
	checks  []health.Target
	own     map[string]netip.Addr // connector id to overlay address
}

// decode makes a validated value of a resource. Its errors name the field.
func decode(r ads.Resource) (any, error) {
	switch r.TypeURL {
	case resource.NodeConfig:
		return message(r, &nodev1.NodeConfig{}, decodeSelf)
	case resource.Trust:
		return message(r, &nodev1.Trust{}, decodeTrust)
	case resource.Certificate:
		return message(r, &nodev1.Certificate{}, func(m *nodev1.Certificate) (httpproxy.Certificate, error) { return decodeCertificate(r.Name, m) })
	case resource.Node:
		return message(r, &nodev1.Node{}, decodeNode)
	case resource.Site:
		return message(r, &nodev1.Site{}, decodeSite)
	case resource.Policy:
		return decodePolicy(r.Body)
	case resource.Quota:
		return message(r, &nodev1.Quota{}, decodeQuota)
	case resource.Brand:
		return message(r, &nodev1.Brand{}, decodeBrand)
	case resource.Route:
		return message(r, &nodev1.Route{}, decodeRoute)
	case resource.Forward:
		return message(r, &nodev1.Forward{}, decodeForward)
	case resource.Zone:
		return message(r, &nodev1.Zone{}, decodeZone)
	case resource.RecordSet:
		return message(r, &nodev1.RecordSet{}, decodeRecordSet)
	case resource.Challenge:
		return message(r, &nodev1.Challenge{}, decodeChallenge)
	case resource.Revocation:
		return message(r, &nodev1.Revocation{}, decodeRevocation)
	case resource.ConnectorConfig:
		return message(r, &nodev1.ConnectorConfig{}, decodeConnectorConfig)
	}
	return nil, fmt.Errorf("unknown type %s", r.TypeURL)
}

func message[M proto.Message, V any](r ads.Resource, m M, f func(M) (V, error)) (any, error) {
	if err := proto.Unmarshal(r.Body, m); err != nil {
		return nil, errors.New("not a " + resource.ShortType(r.TypeURL) + " message")
	}
	v, err := f(m)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func field(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

func required(name, value string) error {
	if value == "" {
		return fmt.Errorf("%s: missing", name)
	}
	return nil
}

// overlay reads an address that must be in the overlay: no resource makes a tunnel carry others.
func overlay(name, s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err == nil && !fabric.Overlay.Contains(a) {
		err = fmt.Errorf("%s is not in %s", a, fabric.Overlay)
	}
	return a, field(name, err)
}

func key(name string, b []byte) (wgkey.Public, error) {
	k, err := wgkey.PublicFromBytes(b)
	if err == nil && k.IsZero() {
		err = errors.New("zero")
	}
	return k, field(name, err)
}

// reached reads where a node is reached, by its address and by its name, if there is one: the fields are kind and what
// is behind it.
func reached(kind, addr, name string) (e endpoint.Endpoint, err error) {
	if addr != "" {
		if e.Addr, err = netip.ParseAddrPort(addr); err != nil {
			return endpoint.Endpoint{}, field(kind+"_endpoint", err)
		}
	}
	if name == "" {
		return e, nil
	}
	named, err := endpoint.Parse(name)
	if err == nil && named.Named() != name {
		err = fmt.Errorf("%q is no canonical name with a port", name)
	}
	if err != nil {
		return endpoint.Endpoint{}, field(kind+"_name", err)
	}
	return named.Or(e.Addr.Addr()), nil
}

func decodeSelf(m *nodev1.NodeConfig) (self, error) {
	addr, err := overlay("overlay_address", m.GetOverlayAddress())
	s := self{id: m.GetNodeId(), name: m.GetName(), pool: m.GetPoolId(), region: m.GetRegionId(), addr: addr}
	errs := []error{required("node_id", m.GetNodeId()), required("pool_id", m.GetPoolId()), err}
	for i, k := range m.GetGossipKeys() {
		if len(k) != gossip.KeySize {
			errs = append(errs, fmt.Errorf("gossip_keys[%d]: %d bytes, want %d", i, len(k), gossip.KeySize))
		}
		s.gossipKeys = append(s.gossipKeys, bytes.Clone(k))
	}
	for i, k := range m.GetTicketKeys() {
		if len(k) != len(terminate.TicketKey{}) {
			errs = append(errs, fmt.Errorf("ticket_keys[%d]: %d bytes, want %d", i, len(k), len(terminate.TicketKey{})))
			continue
		}
		s.ticketKeys = append(s.ticketKeys, terminate.TicketKey(k))
	}
	return s, errors.Join(errs...)
}

func decodeTrust(m *nodev1.Trust) (trust, error) {
	if !x509.NewCertPool().AppendCertsFromPEM(m.GetIdentityAuthoritiesPem()) {
		return trust{}, errors.New("identity_authorities_pem: no certificate in it")
	}
	t := trust{pem: bytes.Clone(m.GetIdentityAuthoritiesPem()), keys: map[string]ed25519.PublicKey{}}
	for i, k := range m.GetAccessKeys() {
		if len(k.GetPublicKey()) != ed25519.PublicKeySize {
			return trust{}, fmt.Errorf("access_keys[%d].public_key: %d bytes, want %d", i, len(k.GetPublicKey()), ed25519.PublicKeySize)
		}
		if err := required(fmt.Sprintf("access_keys[%d].key_id", i), k.GetKeyId()); err != nil {
			return trust{}, err
		}
		t.keys[k.GetKeyId()] = bytes.Clone(k.GetPublicKey())
	}
	var err error
	t.signIn, err = signInURL(m.GetSignInUrl())
	return t, field("sign_in_url", err)
}

// signInURL reads where people sign in; nil: nowhere.
func signInURL(s string) (*url.URL, error) {
	if s == "" {
		return nil, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not https://host", s)
	}
	return u, nil
}

func decodeRevocation(m *nodev1.Revocation) (session.Revoked, error) {
	r := session.Revoked{Session: m.GetSession(), Subject: m.GetSubject(), Stale: m.GetStale(), Before: m.GetBefore().AsTime()}
	if (r.Session == "") == (r.Subject == "") {
		return r, errors.New("what: want a session or a subject")
	}
	if r.Stale && r.Subject == "" {
		return r, errors.New("stale: want a subject")
	}
	return r, field("before", m.GetBefore().CheckValid())
}

func decodeCertificate(name string, m *nodev1.Certificate) (httpproxy.Certificate, error) {
	c := httpproxy.Certificate{Name: name}
	for i, n := range m.GetNames() {
		s, err := hostname.CanonicalPattern(n)
		if err != nil || s != n {
			return c, fmt.Errorf("names[%d]: %q is not canonical", i, n)
		}
		c.Names = append(c.Names, s)
	}
	if len(c.Names) == 0 {
		return c, errors.New("names: missing")
	}
	if b, _ := pem.Decode(m.GetChainPem()); b == nil {
		return c, errors.New("chain_pem: no PEM block in it")
	}
	var err error
	if c.TLS, err = tls.X509KeyPair(m.GetChainPem(), m.GetPrivateKeyPem()); err != nil {
		// What crypto/tls says of a key that it can't read never quotes it.
		return c, fmt.Errorf("chain_pem, private_key_pem: %s", strings.TrimPrefix(err.Error(), "tls: "))
	}
	return c, nil
}

func decodeNode(m *nodev1.Node) (node, error) {
	n := node{id: m.GetId(), name: m.GetName(), pool: m.GetPoolId(), region: m.GetRegionId(), draining: m.GetLifecycle() == nodev1.NodeLifecycle_NODE_LIFECYCLE_DRAINING}
	errs := []error{required("id", n.id), required("name", n.name)}
	for i, s := range m.GetAddresses() {
		a, err := netip.ParseAddr(s)
		errs = append(errs, field(fmt.Sprintf("addresses[%d]", i), err))
		n.addresses = append(n.addresses, a)
	}
	var err error
	n.key, err = key("wireguard_public_key", m.GetWireguardPublicKey())
	errs = append(errs, err)
	n.endpoint, err = reached("wireguard", m.GetWireguardEndpoint(), m.GetWireguardName())
	errs = append(errs, err)
	n.stream, err = reached("stream", m.GetStreamEndpoint(), m.GetStreamName())
	errs = append(errs, err)
	n.gossip, err = reached("gossip", m.GetGossipEndpoint(), m.GetGossipName())
	if n.gossip.Addr.IsValid() && n.gossip.Addr.Port() == 0 {
		err = fmt.Errorf("gossip_endpoint: %s has no port", n.gossip)
	}
	errs = append(errs, err)
	n.addr, err = overlay("overlay_address", m.GetOverlayAddress())
	return n, errors.Join(append(errs, err)...)
}

func decodeSite(m *nodev1.Site) (site, error) {
	s := site{id: m.GetId(), nodes: slices.Clone(m.GetNodeIds()), carrier: carrier(m.GetCarrier()), region: m.GetRegionId()}
	errs := []error{required("id", s.id)}
	for i, c := range m.GetConnectors() {
		at := fmt.Sprintf("connectors[%d].", i)
		e := end{id: c.GetId()}
		var kerr, aerr error
		e.key, kerr = key(at+"wireguard_public_key", c.GetWireguardPublicKey())
		e.addr, aerr = overlay(at+"overlay_address", c.GetOverlayAddress())
		errs = append(errs, required(at+"id", e.id), kerr, aerr)
		s.connectors = append(s.connectors, e)
	}
	switch m.GetKind() {
	case nodev1.SiteKind_SITE_KIND_UNSPECIFIED, nodev1.SiteKind_SITE_KIND_CONNECTOR:
	case nodev1.SiteKind_SITE_KIND_LOCAL:
		var err error
		s.local = true
		s.targets, s.checks, err = decodeTargets(m.GetTargets())
		errs = append(errs, err)
	case nodev1.SiteKind_SITE_KIND_WIREGUARD:
		var err, perr error
		s.stock = true
		s.targets, s.checks, err = decodeTargets(m.GetTargets())
		s.peer, perr = decodePeer(s.id, m.GetWireguardPeer())
		errs = append(errs, err, perr)
	default:
		errs = append(errs, fmt.Errorf("kind: %v is not known here", m.GetKind()))
	}
	return s, errors.Join(errs...)
}

// decodePeer makes the peer that a site is; nil if there is none yet.
func decodePeer(site string, m *nodev1.WireGuardPeer) (*end, error) {
	if m == nil {
		return nil, nil
	}
	k, kerr := key("wireguard_peer.public_key", m.GetPublicKey())
	addr, aerr := overlay("wireguard_peer.overlay_address", m.GetOverlayAddress())
	return &end{id: site, key: k, addr: addr}, errors.Join(kerr, aerr)
}

// carrier is the name of a carrier; a later version's is none.
func carrier(c nodev1.Carrier) string {
	switch c {
	case nodev1.Carrier_CARRIER_STREAM:
		return fabric.CarrierStream
	case nodev1.Carrier_CARRIER_WIREGUARD:
		return fabric.CarrierWireGuard
	}
	return ""
}

func decodeRoute(m *nodev1.Route) (route, error) {
	r := route{service: m.GetServiceId(), hostname: m.GetHostname(), certificate: m.GetCertificate(), further: slices.Clone(m.GetFurtherCertificates()), proxy: int(m.GetProxyProtocol()), policy: m.GetPolicy(), org: m.GetOrganizationId()}
	mode, err := guardedMode(m)
	errs := []error{required("service_id", r.service), err}
	if s, err := hostname.CanonicalPattern(r.hostname); err != nil || s != r.hostname {
		errs = append(errs, fmt.Errorf("hostname: %q is not canonical", r.hostname))
	}
	switch mode {
	case nodev1.RouteMode_ROUTE_MODE_TERMINATE:
		errs = append(errs, required("certificate", r.certificate))
		r.mode = sni.HTTP
	case nodev1.RouteMode_ROUTE_MODE_TERMINATE_TCP:
		errs = append(errs, required("certificate", r.certificate))
		r.mode = sni.TCP
	case nodev1.RouteMode_ROUTE_MODE_PASSTHROUGH:
		r.mode = sni.Passthrough
	default:
		errs = append(errs, fmt.Errorf("mode: %v is not known here", mode))
	}
	if m.GetProxyProtocol() > 2 || r.mode == sni.HTTP && r.proxy != 0 {
		errs = append(errs, fmt.Errorf("proxy_protocol: %d", m.GetProxyProtocol()))
	}
	for i, rule := range m.GetRules() {
		if !strings.HasPrefix(rule.GetPathPrefix(), "/") || r.mode != sni.HTTP && rule.GetPathPrefix() != "/" {
			errs = append(errs, fmt.Errorf("rules[%d].path_prefix: %q", i, rule.GetPathPrefix()))
		}
		out := httpproxy.Rule{PathPrefix: rule.GetPathPrefix()}
		for j, t := range rule.GetTargets() {
			at := fmt.Sprintf("rules[%d].targets[%d].", i, j)
			errs = append(errs, required(at+"target_id", t.GetTargetId()), required(at+"site_id", t.GetSiteId()))
			if t.GetHealthChecked() {
				r.checked = append(r.checked, t.GetTargetId())
			}
			errs = append(errs, r.decodeUpstream(at, t))
			out.Targets = append(out.Targets, balance.Target{ID: t.GetTargetId(), Site: t.GetSiteId(), Weight: int(t.GetWeight())})
		}
		r.rules = append(r.rules, out)
	}
	errs = append(errs, r.decodeDelivery(m))
	return r, errors.Join(errs...)
}

func decodeZone(m *nodev1.Zone) (zone, error) {
	s, err := hostname.Canonical(m.GetApex())
	if err == nil && s != m.GetApex() {
		err = fmt.Errorf("%q is not canonical", m.GetApex())
	}
	errs := []error{required("id", m.GetId()), required("pool_id", m.GetPoolId()), field("apex", err)}
	for i, name := range m.GetCaaIssuers() {
		if c, err := hostname.Canonical(name); err != nil || c != name {
			errs = append(errs, fmt.Errorf("caa_issuers[%d]: %q is not canonical", i, name))
		}
	}
	return zone{m.GetId(), s, m.GetPoolId(), slices.Clone(m.GetCaaIssuers())}, errors.Join(errs...)
}

func decodeRecordSet(m *nodev1.RecordSet) (recordSet, error) {
	s, err := hostname.CanonicalPattern(m.GetOwner())
	if err == nil && s != m.GetOwner() {
		err = fmt.Errorf("%q is not canonical", m.GetOwner())
	}
	r := recordSet{zone: m.GetZoneId(), owner: s, ttl: m.GetTtlSeconds()}
	errs := []error{required("zone_id", r.zone), field("owner", err)}
	switch a := m.GetAnswer().(type) {
	case *nodev1.RecordSet_PoolAddresses:
		r.pool = a.PoolAddresses.GetPoolId()
		errs = append(errs, required("pool_addresses.pool_id", r.pool))
	default:
		errs = append(errs, errors.New("answer: none that is known here"))
	}
	return r, errors.Join(errs...)
}

func decodeConnectorConfig(m *nodev1.ConnectorConfig) (connectorConfig, error) {
	c := connectorConfig{site: m.GetSiteId(), own: map[string]netip.Addr{}}
	errs := []error{required("site_id", c.site)}
	for i, n := range m.GetNodes() {
		at := fmt.Sprintf("nodes[%d].", i)
		e := end{id: n.GetNodeId()}
		var kerr, eerr, serr, aerr error
		e.key, kerr = key(at+"wireguard_public_key", n.GetWireguardPublicKey())
		e.endpoint, eerr = reached(at+"wireguard", n.GetWireguardEndpoint(), n.GetWireguardName())
		e.stream, serr = reached(at+"stream", n.GetStreamEndpoint(), n.GetStreamName())
		e.addr, aerr = overlay(at+"overlay_address", n.GetOverlayAddress())
		errs = append(errs, required(at+"node_id", e.id), kerr, eerr, serr, aerr)
		c.nodes = append(c.nodes, e)
	}
	var err error
	c.targets, c.checks, err = decodeTargets(m.GetTargets())
	errs = append(errs, err)
	for i, a := range m.GetConnectors() {
		addr, err := overlay(fmt.Sprintf("connectors[%d].overlay_address", i), a.GetOverlayAddress())
		errs = append(errs, err)
		c.own[a.GetConnectorId()] = addr
	}
	return c, errors.Join(errs...)
}

package apply

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/dataplane/sni"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/hostname"
	"github.com/warrenedge/warren/shared/resource"
	"github.com/warrenedge/warren/shared/wgkey"
)

// The validated forms of resources. Protobuf stops here.

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

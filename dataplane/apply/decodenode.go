package apply

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/gossip"
	"github.com/warrenedge/warren/dataplane/session"
	"github.com/warrenedge/warren/dataplane/terminate"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/wgkey"
)

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

// Package modeltest makes configurations for tests, from a short text or at random.
package modeltest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/brand"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/policy"
	"github.com/warrenedge/warren/shared/wgkey"
)

// Epoch is when rows of tests were made.
var Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// UUID is the id of the row of a kind and name, the same in every run: UUID("site", "home").
func UUID(kind, name string) uuid.UUID {
	h := sha256.Sum256([]byte(kind + "/" + name))
	u := uuid.UUID(h[:16])
	u[6] = u[6]&0x0f | 0x70 // version 7
	u[8] = u[8]&0x3f | 0x80 // RFC 9562
	return u
}

// Key is the WireGuard key of the node or connector with an id.
func Key(id uuid.UUID) wgkey.Public { return wgkey.Public(sha256.Sum256(id[:])) }

// NewBatch is a step from one revision to the next, without changes yet.
func NewBatch(from model.Revision) model.Batch {
	return model.Batch{
		From: from, To: from + 1, CommittedAt: Epoch.Add(time.Duration(from+1) * time.Second),
		Organizations: map[model.OrgID]*model.Organization{},
		Regions:       map[model.RegionID]*model.Region{},
		Pools:         map[model.PoolID]*model.Pool{},
		Nodes:         map[model.NodeID]*model.Node{},
		Sites:         map[model.SiteID]*model.Site{},
		Connectors:    map[model.ConnectorID]*model.Connector{},
		Services:      map[model.ServiceID]*model.Service{},
		Targets:       map[model.TargetID]*model.Target{},
		Domains:       map[model.DomainID]*model.Domain{},
		Certificates:  map[model.CertificateID]*model.Certificate{},
		GossipKeys:    map[model.GossipKeyID]*model.GossipKey{},
		Challenges:    map[model.ChallengeID]*model.Challenge{},
		TicketKeys:    map[model.TicketKeyID]*model.TicketKey{},
		Policies:      map[model.PolicyID]*model.Policy{},
		AccessKeys:    map[model.AccessKeyID]*model.AccessKey{},
		Revocations:   map[model.RevocationID]*model.AccessRevocation{},
		Authorities:   map[string][]byte{},
	}
}

// Parse reads the changes of one step, a row per line:
//
//	organization acme
//	node n1 pool=edge region=eu addresses=192.0.2.1,2001:db8::1 endpoint=192.0.2.1:51820 enrolled
//	site home organization=acme pool=edge tunnels=2
//	site shed organization=acme pool=edge kind=local nodes=n1,n2
//	site router organization=acme pool=edge kind=wireguard enrolled
//	gossipkey k1 state=seals
//	ticketkey t1 pool=edge state=seals
//	accesskey a1 state=current
//	revocation r1 session=s1
//	signin https://warren.example.org
//	challenge c1 organization=acme order=o1 type=dns-01 for=example.org value=v
//	target web organization=acme service=web site=home address=10.0.0.1 port=80 path=/ weight=1
//	service db organization=acme pool=edge kind=tcp ports=5432 allow=192.0.2.0/24 proxy=2
//	policy staff organization=acme networks=192.0.2.0/24 links=l1,l2
//	certificate old organization=acme names=example.org expires=2026-04-01 key=rsa issuer=le superseded=new
//	delete node n1
//
// Rows refer to each other by name; a service is named by itself, whatever its organization. Flags
// are "enrolled", "revoked", "draining", "terminate", "trusted", "unproven", "caa-account" and "uploaded". A certificate's sealed key is "sealed:" and its name, or
// what sealed= says; so is a gossip key's. Empty lines and lines that start with # mean nothing.
func Parse(from model.Revision, text string) (model.Batch, error) {
	b := NewBatch(from)
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := parseRow(b, line); err != nil {
			return b, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return b, nil
}

// fields are the words of a row after its name.
type fields struct {
	name   string
	values map[string]string
	err    error // the first
}

func parseRow(b model.Batch, line string) error {
	words := strings.Fields(line)
	deleted := words[0] == "delete"
	if deleted {
		words = words[1:]
	}
	if len(words) < 2 {
		return fmt.Errorf("%q: want a kind and a name", line)
	}
	kind := words[0]
	f := &fields{name: words[1], values: map[string]string{}}
	for _, w := range words[2:] {
		k, v, ok := strings.Cut(w, "=")
		if !ok {
			v = "yes"
		}
		f.values[k] = v
	}
	if kind == "signin" {
		b.SignInURL = &f.name
	} else if kind == "authority" {
		b.Authorities[f.name] = []byte(f.take("pem"))
		if deleted {
			b.Authorities[f.name] = nil
		}
	} else if !put(b, kind, deleted, f) {
		return fmt.Errorf("kind %q is not known", kind)
	}
	if f.err != nil {
		return fmt.Errorf("%s %s: %w", kind, f.name, f.err)
	}
	for k := range f.values {
		return fmt.Errorf("%s %s: field %q is not known", kind, f.name, k)
	}
	return nil
}

func put(b model.Batch, kind string, deleted bool, f *fields) bool {
	u := UUID(kind, f.name)
	switch kind {
	case "organization":
		set(b.Organizations, model.OrgID{UUID: u}, deleted, func(id model.OrgID) *model.Organization {
			return &model.Organization{ID: id, Name: f.name, Trusted: f.flag("trusted"), RequestsPerSecond: f.number("rate", 0), Brand: brand.Brand{Name: f.text("brand", ""), Accent: f.text("accent", "")}}
		})
	case "region":
		set(b.Regions, model.RegionID{UUID: u}, deleted, func(id model.RegionID) *model.Region {
			return &model.Region{ID: id, Name: f.name}
		})
	case "pool":
		set(b.Pools, model.PoolID{UUID: u}, deleted, func(id model.PoolID) *model.Pool {
			return &model.Pool{ID: id, Name: f.text("name", f.name)}
		})
	case "node":
		set(b.Nodes, model.NodeID{UUID: u}, deleted, f.node)
	case "site":
		set(b.Sites, model.SiteID{UUID: u}, deleted, func(id model.SiteID) *model.Site {
			return f.site(id)
		})
	case "gossipkey":
		set(b.GossipKeys, model.GossipKeyID{UUID: u}, deleted, func(id model.GossipKeyID) *model.GossipKey {
			return &model.GossipKey{ID: id, State: model.GossipKeyState(f.take("state")), SealedKey: []byte(f.text("sealed", "sealed:"+f.name))}
		})
	case "ticketkey":
		set(b.TicketKeys, model.TicketKeyID{UUID: u}, deleted, func(id model.TicketKeyID) *model.TicketKey {
			return &model.TicketKey{ID: id, Pool: f.pool(), State: model.TicketKeyState(f.take("state")), SealedKey: []byte(f.text("sealed", "sealed:"+f.name))}
		})
	case "policy":
		set(b.Policies, model.PolicyID{UUID: u}, deleted, f.policy)
	case "accesskey":
		set(b.AccessKeys, model.AccessKeyID{UUID: u}, deleted, func(id model.AccessKeyID) *model.AccessKey {
			return accessKey(id, model.AccessKeyState(f.take("state")), f.name)
		})
	case "revocation":
		set(b.Revocations, model.RevocationID{UUID: u}, deleted, func(id model.RevocationID) *model.AccessRevocation {
			return &model.AccessRevocation{ID: id, Session: f.text("session", ""), Subject: f.text("subject", ""), Stale: f.flag("stale"), Before: Epoch}
		})
	case "challenge":
		set(b.Challenges, model.ChallengeID{UUID: u}, deleted, func(id model.ChallengeID) *model.Challenge {
			return &model.Challenge{
				ID: id, Org: f.org(), Order: model.OrderID{UUID: f.ref("order")}, Type: model.ChallengeType(f.take("type")), Name: f.take("for"),
				Token: f.text("token", f.name), Value: model.Authorization(f.text("value", "value:"+f.name)), Expires: Epoch.Add(model.ChallengeLifetime),
			}
		})
	case "connector":
		set(b.Connectors, model.ConnectorID{UUID: u}, deleted, func(id model.ConnectorID) *model.Connector {
			v := &model.Connector{ID: id, Org: f.org(), Site: model.SiteID{UUID: f.ref("site")}, Name: f.name}
			f.joined(u, &v.WireGuardKey, &v.Revoked)
			return v
		})
	case "service":
		set(b.Services, model.ServiceID{UUID: u}, deleted, func(id model.ServiceID) *model.Service {
			return f.service(id)
		})
	case "target":
		set(b.Targets, model.TargetID{UUID: u}, deleted, func(id model.TargetID) *model.Target {
			return &model.Target{
				ID: id, Org: f.org(), Name: f.name, Service: model.ServiceID{UUID: f.ref("service")}, Site: model.SiteID{UUID: f.ref("site")},
				Address: f.take("address"), Port: uint16(f.number("port", 80)), PathPrefix: f.text("path", "/"),
				Upstream: model.Upstream{Scheme: f.text("scheme", ""), ServerName: f.text("server", ""), StripPrefix: f.flag("strip")}, Weight: uint16(f.number("weight", 1)),
				HealthCheck: Check(f.text("check", "")),
			}
		})
	case "domain":
		set(b.Domains, model.DomainID{UUID: u}, deleted, func(id model.DomainID) *model.Domain {
			return &model.Domain{ID: id, Org: f.org(), Name: f.name, Pool: f.pool(), Unproven: f.flag("unproven"), CAAAccount: f.flag("caa-account")}
		})
	case "certificate":
		set(b.Certificates, model.CertificateID{UUID: u}, deleted, f.certificate)
	default:
		return false
	}
	return true
}

func accessKey(id model.AccessKeyID, state model.AccessKeyState, name string) *model.AccessKey {
	seed := sha256.Sum256([]byte(name))
	return &model.AccessKey{ID: id, State: state, Public: ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey), SealedKey: []byte("sealed:" + name)}
}

func set[K comparable, V any](rows map[K]*V, id K, deleted bool, make func(K) *V) {
	rows[id] = nil
	if !deleted {
		rows[id] = make(id)
	}
}

func (f *fields) node(id model.NodeID) *model.Node {
	n := &model.Node{ID: id, Name: f.text("name", f.name), Pool: f.pool(), Lifecycle: model.Active}
	if _, ok := f.values["region"]; ok {
		n.Region = model.RegionID{UUID: f.ref("region")}
	}
	if f.flag("draining") {
		n.Lifecycle = model.Draining
	}
	if v := f.text("lifecycle", ""); v != "" {
		n.Lifecycle = model.Lifecycle(v)
	}
	for _, s := range strings.Split(f.text("addresses", ""), ",") {
		if s == "" {
			continue
		}
		a, err := netip.ParseAddr(s)
		f.note(err)
		n.Addresses = append(n.Addresses, a)
	}
	n.WireGuardEndpoint, n.StreamEndpoint, n.GossipEndpoint = f.endpoint("endpoint"), f.endpoint("stream"), f.endpoint("gossip")
	n.Capacity = f.number("capacity", model.DefaultCapacity)
	f.joined(id.UUID, &n.WireGuardKey, &n.Revoked)
	return n
}

func (f *fields) endpoint(k string) endpoint.Endpoint {
	s := f.text(k, "")
	if s == "" {
		return endpoint.Endpoint{}
	}
	e, err := endpoint.Parse(s)
	f.note(err)
	return e
}

func (f *fields) site(id model.SiteID) *model.Site {
	s := &model.Site{
		ID: id, Org: f.org(), Name: f.name, Pool: f.pool(), Tunnels: f.number("tunnels", 2),
		Kind: model.SiteKind(f.text("kind", "connector")), Carrier: model.Carrier(f.text("carrier", "auto")),
	}
	if _, ok := f.values["region"]; ok {
		s.Region = model.RegionID{UUID: f.ref("region")}
	}
	if f.flag("enrolled") {
		s.PeerKey = Key(id.UUID)
	}
	for name := range strings.SplitSeq(f.text("nodes", ""), ",") {
		if name != "" {
			s.Nodes = append(s.Nodes, model.NodeID{UUID: UUID("node", name)})
		}
	}
	slices.SortFunc(s.Nodes, model.NodeID.Compare)
	return s
}

func (f *fields) service(id model.ServiceID) *model.Service {
	s := &model.Service{
		ID: id, Org: f.org(), Name: f.name, Kind: model.ServiceKind(f.text("kind", "http")), Pool: f.pool(),
		ProxyProtocol: f.number("proxy", 0), Terminate: f.flag("terminate"),
	}
	if p := f.text("policy", ""); p != "" {
		s.Policy = model.PolicyID{UUID: UUID("policy", p)}
	}
	if !s.Raw() {
		s.Hostname = f.take("hostname")
		if host := f.text("host", ""); host != "" {
			s.Delivery = &model.Delivery{Host: host, Request: model.Fields{Set: []model.Field{{Name: "X-Env", Value: "prod"}}}, Response: model.Fields{Remove: []string{"X-Powered-By"}}}
		}
		if title := f.text("maintenance", ""); title != "" {
			s.Maintenance = &model.Maintenance{Always: f.flag("always"), Title: title}
		}
		return s
	}
	var err error
	s.Ports, err = model.ParsePorts(f.take("ports"))
	f.note(err)
	for _, text := range strings.Split(f.text("allow", ""), ",") {
		if text == "" {
			continue
		}
		p, err := netip.ParsePrefix(text)
		f.note(err)
		s.Allow = append(s.Allow, p)
	}
	return s
}

// policy lets in who comes from some networks, and whoever else has one of its links.
func (f *fields) policy(id model.PolicyID) *model.Policy {
	p := &model.Policy{ID: id, Org: f.org(), Name: f.name, Broken: f.text("broken", "")}
	if n := f.text("networks", ""); n != "" {
		p.Rules = []policy.Rule{{Action: policy.Allow, Conditions: policy.Conditions{Networks: strings.Split(n, ",")}}}
	}
	if l := f.text("links", ""); l != "" {
		p.Otherwise = policy.Authenticate
		for _, name := range strings.Split(l, ",") {
			p.ShareLinks = append(p.ShareLinks, &model.ShareLink{ID: model.ShareLinkID{UUID: UUID("link", name)}, Policy: id, Hash: policy.HashSecret(name), Expires: Epoch.Add(time.Hour)})
		}
	}
	return p
}

// Check is a health check of a kind; nil if that is "".
func Check(kind string) *model.HealthCheck {
	h := &model.HealthCheck{Kind: model.CheckKind(kind), Interval: 10 * time.Second, Timeout: 2 * time.Second, HealthyThreshold: 2, UnhealthyThreshold: 3}
	switch h.Kind {
	case "":
		return nil
	case model.CheckHTTP:
		h.Method, h.Path, h.Host, h.BodyContains, h.TLS = "GET", "/healthz", "app.internal", "ok", true
		h.Headers = []model.CheckHeader{{Name: "X-Probe", Value: "1"}}
		h.Statuses = []model.StatusRange{{First: 200, Last: 399}, {First: 404, Last: 404}}
	}
	return h
}

func (f *fields) certificate(id model.CertificateID) *model.Certificate {
	expires, err := time.Parse(time.DateOnly, f.text("expires", "2026-04-01"))
	f.note(err)
	c := &model.Certificate{
		ID: id, Org: f.org(), Names: strings.Split(f.take("names"), ","), ChainPEM: []byte(f.text("chain", "chain:"+f.name)),
		SealedKey: []byte(f.text("sealed", "sealed:"+f.name)), NotBefore: Epoch, NotAfter: expires,
		KeyType: model.KeyType(f.text("key", "")), Uploaded: f.flag("uploaded"),
	}
	if i := f.text("issuer", ""); i != "" {
		c.Issuer.UUID = UUID("issuer", i)
	}
	if by := f.text("superseded", ""); by != "" {
		c.SupersededBy.UUID = UUID("certificate", by)
	}
	return c
}

func (f *fields) org() model.OrgID   { return model.OrgID{UUID: f.ref("organization")} }
func (f *fields) pool() model.PoolID { return model.PoolID{UUID: f.ref("pool")} }

func (f *fields) joined(u uuid.UUID, key *wgkey.Public, revoked *time.Time) {
	if f.flag("enrolled") {
		*key = Key(u)
	}
	if f.flag("revoked") {
		*revoked = Epoch
	}
}

func (f *fields) take(k string) string {
	v, ok := f.values[k]
	if !ok {
		f.note(fmt.Errorf("%s is missing", k))
	}
	delete(f.values, k)
	return v
}

func (f *fields) text(k, otherwise string) string {
	if _, ok := f.values[k]; !ok {
		return otherwise
	}
	return f.take(k)
}

func (f *fields) flag(k string) bool { return f.text(k, "") == "yes" }

func (f *fields) ref(k string) uuid.UUID { return UUID(k, f.take(k)) }

func (f *fields) number(k string, otherwise int) int {
	n, err := strconv.Atoi(f.text(k, strconv.Itoa(otherwise)))
	f.note(err)
	return n
}

func (f *fields) note(err error) {
	if f.err == nil {
		f.err = err
	}
}

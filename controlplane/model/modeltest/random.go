package modeltest

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/brand"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/policy"
)

// World makes one random step after the other. Its rows are few and collide often: nodes join, drain,
// are revoked and move, certificates replace each other, rows that others need disappear. It obeys no
// rule of package model, because rows written with psql do not either.
type World struct {
	rnd  *rand.Rand
	rows model.Batch // everything that there is
}

// NewWorld makes a world that is empty. The same seed makes the same steps.
func NewWorld(seed uint64) *World {
	empty := NewBatch(0)
	empty.To = 0
	return &World{rnd: rand.New(rand.NewPCG(seed, 0)), rows: empty}
}

// All returns everything there is after the last step, as a reload.
func (w *World) All() model.Batch {
	b := w.rows
	b.Reload = true
	return b
}

// Step changes up to most rows and returns the batch that says so.
func (w *World) Step(most int) model.Batch {
	b := NewBatch(w.rows.To)
	for range 1 + w.rnd.IntN(most) {
		w.change(b)
	}
	w.rows.To, w.rows.CommittedAt = b.To, b.CommittedAt
	merge(w.rows.Organizations, b.Organizations)
	merge(w.rows.Regions, b.Regions)
	merge(w.rows.Pools, b.Pools)
	merge(w.rows.Nodes, b.Nodes)
	merge(w.rows.Sites, b.Sites)
	merge(w.rows.Connectors, b.Connectors)
	merge(w.rows.Services, b.Services)
	merge(w.rows.Targets, b.Targets)
	merge(w.rows.Domains, b.Domains)
	merge(w.rows.Certificates, b.Certificates)
	merge(w.rows.GossipKeys, b.GossipKeys)
	merge(w.rows.Challenges, b.Challenges)
	merge(w.rows.TicketKeys, b.TicketKeys)
	merge(w.rows.Policies, b.Policies)
	merge(w.rows.AccessKeys, b.AccessKeys)
	merge(w.rows.Revocations, b.Revocations)
	if b.SignInURL != nil {
		w.rows.SignInURL = b.SignInURL
	}
	for k, v := range b.Authorities {
		if v == nil {
			delete(w.rows.Authorities, k)
		} else {
			w.rows.Authorities[k] = v
		}
	}
	return b
}

// Join makes one batch of consecutive ones.
func Join(batches ...model.Batch) model.Batch {
	out := NewBatch(batches[0].From)
	for _, b := range batches {
		out.To, out.CommittedAt = b.To, b.CommittedAt
		maps.Copy(out.Organizations, b.Organizations)
		maps.Copy(out.Regions, b.Regions)
		maps.Copy(out.Pools, b.Pools)
		maps.Copy(out.Nodes, b.Nodes)
		maps.Copy(out.Sites, b.Sites)
		maps.Copy(out.Connectors, b.Connectors)
		maps.Copy(out.Services, b.Services)
		maps.Copy(out.Targets, b.Targets)
		maps.Copy(out.Domains, b.Domains)
		maps.Copy(out.Certificates, b.Certificates)
		maps.Copy(out.GossipKeys, b.GossipKeys)
		maps.Copy(out.Challenges, b.Challenges)
		maps.Copy(out.TicketKeys, b.TicketKeys)
		maps.Copy(out.Policies, b.Policies)
		maps.Copy(out.AccessKeys, b.AccessKeys)
		maps.Copy(out.Revocations, b.Revocations)
		if b.SignInURL != nil {
			out.SignInURL = b.SignInURL
		}
		maps.Copy(out.Authorities, b.Authorities)
	}
	return out
}

func merge[K comparable, V any](rows, changed map[K]*V) {
	maps.Copy(rows, changed)
	maps.DeleteFunc(rows, func(_ K, v *V) bool { return v == nil })
}

// names of a kind: "pool2".
func (w *World) name(kind string, n int) string { return fmt.Sprintf("%s%d", kind, w.rnd.IntN(n)) }

func (w *World) org() model.OrgID { return model.OrgID{UUID: UUID("organization", w.name("org", 2))} }
func (w *World) pool() model.PoolID {
	return model.PoolID{UUID: UUID("pool", w.name("pool", 3))}
}
func (w *World) site() model.SiteID { return model.SiteID{UUID: UUID("site", w.name("site", 5))} }

var hostnames = []string{
	"example.org", "*.example.org", "a.example.org", "b.example.org", "a.b.example.org", "*.b.example.org", "c.a.b.example.org",
	"example.net", "www.example.net", "*.example.net", "xexample.net",
}

// change changes one row. A quarter of the changes are deletions.
func (w *World) change(b model.Batch) {
	deleted := w.rnd.IntN(4) == 0
	switch w.rnd.IntN(27) {
	case 0:
		name := w.name("org", 2)
		set(b.Organizations, model.OrgID{UUID: UUID("organization", name)}, deleted, func(id model.OrgID) *model.Organization {
			return &model.Organization{ID: id, Name: name, Brand: brand.Brand{Name: []string{"", "A", "B"}[w.rnd.IntN(3)]}, RequestsPerSecond: w.rnd.IntN(3)}
		})
	case 1:
		id := w.pool()
		set(b.Pools, id, deleted, func(id model.PoolID) *model.Pool { return &model.Pool{ID: id, Name: w.name("called", 3)} })
	case 2:
		name := w.name("region", 2)
		set(b.Regions, model.RegionID{UUID: UUID("region", name)}, deleted, func(id model.RegionID) *model.Region {
			return &model.Region{ID: id, Name: name}
		})
	case 3:
		kind := []string{model.IdentityAuthority, model.WebAuthority}[w.rnd.IntN(2)]
		b.Authorities[kind] = nil
		if !deleted {
			b.Authorities[kind] = []byte(w.name("pem", 3))
		}
	case 4, 5, 6, 7:
		name := w.name("node", 7)
		set(b.Nodes, model.NodeID{UUID: UUID("node", name)}, deleted, func(id model.NodeID) *model.Node { return w.node(id, name) })
	case 8, 9:
		set(b.Sites, w.site(), deleted, func(id model.SiteID) *model.Site {
			return w.siteRow(id)
		})
	case 20:
		name := w.name("gossipkey", 4)
		set(b.GossipKeys, model.GossipKeyID{UUID: UUID("gossipkey", name)}, deleted, func(id model.GossipKeyID) *model.GossipKey {
			k := &model.GossipKey{ID: id, State: []model.GossipKeyState{model.GossipKeyAsked, model.GossipKeyOpens, model.GossipKeySeals, model.GossipKeyRetired}[w.rnd.IntN(4)]}
			if k.State != model.GossipKeyAsked {
				k.SealedKey = []byte([]string{"sealed:" + name, "sealed:" + name, "torn"}[w.rnd.IntN(3)])
			}
			return k
		})
	case 21, 22:
		set(b.Challenges, model.ChallengeID{UUID: UUID("challenge", w.name("challenge", 8))}, deleted, func(id model.ChallengeID) *model.Challenge {
			return w.challenge(id)
		})
	case 26:
		w.access(b, deleted)
	case 23:
		name := w.name("ticketkey", 5)
		set(b.TicketKeys, model.TicketKeyID{UUID: UUID("ticketkey", name)}, deleted, func(id model.TicketKeyID) *model.TicketKey {
			return &model.TicketKey{
				ID: id, Pool: w.pool(), State: []model.TicketKeyState{model.TicketKeyOpens, model.TicketKeySeals, model.TicketKeyRetired}[w.rnd.IntN(3)],
				SealedKey: []byte([]string{"sealed:" + name, "sealed:" + name, "torn"}[w.rnd.IntN(3)]),
			}
		})
	case 24, 25:
		name := w.name("policy", 4)
		set(b.Policies, model.PolicyID{UUID: UUID("policy", name)}, deleted, func(id model.PolicyID) *model.Policy {
			return &model.Policy{
				ID: id, Org: w.org(), Name: name, Otherwise: policy.Action(w.rnd.IntN(2) * 2), Broken: []string{"", "", "", "torn"}[w.rnd.IntN(4)],
				ShareLinks: []*model.ShareLink{{ID: model.ShareLinkID{UUID: UUID("link", name)}, Policy: id, Hash: policy.HashSecret(w.name("secret", 2))}},
			}
		})
	case 10, 11:
		name := w.name("connector", 6)
		set(b.Connectors, model.ConnectorID{UUID: UUID("connector", name)}, deleted, func(id model.ConnectorID) *model.Connector {
			return w.connector(id, name)
		})
	case 12, 13:
		name := w.name("service", 8)
		set(b.Services, model.ServiceID{UUID: UUID("service", name)}, deleted, func(id model.ServiceID) *model.Service {
			return w.service(id, name)
		})
	case 14, 15, 16:
		name := w.name("target", 15)
		set(b.Targets, model.TargetID{UUID: UUID("target", name)}, deleted, func(id model.TargetID) *model.Target { return w.target(id, name) })
	case 17:
		set(b.Domains, model.DomainID{UUID: UUID("domain", w.name("domain", 6))}, deleted, func(id model.DomainID) *model.Domain {
			apex := strings.TrimPrefix(hostnames[w.rnd.IntN(len(hostnames))], "*.")
			return &model.Domain{ID: id, Org: w.org(), Name: apex, Pool: w.pool(), Unproven: w.rnd.IntN(4) == 0, CAAAccount: w.rnd.IntN(2) == 0}
		})
	case 18, 19:
		name := w.name("certificate", 8)
		set(b.Certificates, model.CertificateID{UUID: UUID("certificate", name)}, deleted, func(id model.CertificateID) *model.Certificate {
			return w.certificate(id, name)
		})
	}
}

func (w *World) node(id model.NodeID, name string) *model.Node {
	n := &model.Node{
		ID: id, Name: name + w.name("-", 2), Pool: w.pool(), Lifecycle: model.Active,
		Addresses:         []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(w.rnd.IntN(3))}), netip.AddrFrom4([4]byte{192, 0, 2, 99})},
		WireGuardEndpoint: endpoint.At(netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(w.rnd.IntN(3))}), 51820)),
	}
	n.Capacity = []int{0, 1, 100, 1000}[w.rnd.IntN(4)]
	n.Region = w.region()
	if w.rnd.IntN(3) == 0 {
		n.StreamEndpoint = endpoint.At(netip.AddrPortFrom(n.Addresses[0], 8443))
	}
	if w.rnd.IntN(3) == 0 {
		n.Addresses = nil
	}
	switch w.rnd.IntN(10) {
	case 0, 1:
		n.Lifecycle = model.Draining
	case 2:
		n.Lifecycle = "retired"
	}
	if w.rnd.IntN(5) > 0 {
		n.WireGuardKey = Key(id.UUID)
	}
	if w.rnd.IntN(6) == 0 {
		n.Revoked = Epoch
	}
	return n
}

// region is none as often as one of two.
func (w *World) region() model.RegionID {
	if w.rnd.IntN(3) == 0 {
		return model.RegionID{}
	}
	return model.RegionID{UUID: UUID("region", w.name("region", 2))}
}

func (w *World) siteRow(id model.SiteID) *model.Site {
	s := &model.Site{
		ID: id, Org: w.org(), Name: w.name("called", 3), Pool: w.pool(), Tunnels: w.rnd.IntN(4), Region: w.region(),
		Carrier: []model.Carrier{"", model.AutoCarrier, model.StreamCarrier, model.WireGuardCarrier, "pigeon"}[w.rnd.IntN(5)],
	}
	if w.rnd.IntN(3) == 0 {
		s.Kind = model.LocalSite
		for range w.rnd.IntN(3) {
			s.Nodes = append(s.Nodes, model.NodeID{UUID: UUID("node", w.name("node", 7))})
		}
	}
	if s.Kind != model.LocalSite && w.rnd.IntN(4) == 0 {
		s.Kind = model.WireGuardSite
		if w.rnd.IntN(3) > 0 {
			s.PeerKey = Key(id.UUID)
		}
	}
	return s
}

func (w *World) connector(id model.ConnectorID, name string) *model.Connector {
	c := &model.Connector{ID: id, Org: w.org(), Site: w.site(), Name: name}
	if w.rnd.IntN(5) > 0 {
		c.WireGuardKey = Key(id.UUID)
	}
	if w.rnd.IntN(6) == 0 {
		c.Revoked = Epoch
	}
	return c
}

func (w *World) service(id model.ServiceID, name string) *model.Service {
	kinds := []model.ServiceKind{model.HTTP, model.HTTP, model.HTTP, model.TLS, model.TLS, model.TCP, model.TCP, model.UDP, "carrier-pigeon"}
	s := &model.Service{ID: id, Org: w.org(), Name: name, Kind: kinds[w.rnd.IntN(len(kinds))], Pool: w.pool()}
	if w.rnd.IntN(2) == 0 {
		s.Policy = model.PolicyID{UUID: UUID("policy", w.name("policy", 4))}
	}
	switch {
	case s.Raw():
		first := uint16(5000 + w.rnd.IntN(3))
		s.Ports = model.Ports{First: first, Last: first + uint16(w.rnd.IntN(3))}
	default:
		s.Hostname, s.Terminate = hostnames[w.rnd.IntN(len(hostnames))], s.Kind == model.TLS && w.rnd.IntN(2) == 0
	}
	if s.Kind == model.HTTP && w.rnd.IntN(4) == 0 {
		s.Delivery = &model.Delivery{Host: "inner.example.org", Request: model.Fields{Remove: []string{"X-Debug"}, Set: []model.Field{{Name: "X-Env", Value: name}}}}
		s.Maintenance = &model.Maintenance{Always: w.rnd.IntN(2) == 0, Title: name}
	}
	return s
}

func (w *World) target(id model.TargetID, name string) *model.Target {
	return &model.Target{
		ID: id, Org: w.org(), Name: name, Service: model.ServiceID{UUID: UUID("service", w.name("service", 8))}, Site: w.site(),
		Address: "10.0.0.1", Port: uint16(1 + w.rnd.IntN(3)), PathPrefix: []string{"/", "/", "/a", "/a/b"}[w.rnd.IntN(4)], Weight: 1,
		HealthCheck: Check([]string{"", "", "tcp", "http"}[w.rnd.IntN(4)]),
		Upstream:    []model.Upstream{{}, {}, {StripPrefix: true}, {Scheme: model.SchemeHTTPS}, {Scheme: model.SchemeH2C}}[w.rnd.IntN(5)],
	}
}

func (w *World) certificate(id model.CertificateID, name string) *model.Certificate {
	c := &model.Certificate{
		ID: id, Org: w.org(), ChainPEM: []byte("chain:" + name), SealedKey: []byte("sealed:" + name),
		NotBefore: Epoch, NotAfter: Epoch.Add(time.Duration(w.rnd.IntN(3)) * time.Hour),
	}
	for range 1 + w.rnd.IntN(2) {
		c.Names = append(c.Names, hostnames[w.rnd.IntN(len(hostnames))])
	}
	slices.Sort(c.Names)
	c.Names = slices.Compact(c.Names)
	if w.rnd.IntN(6) == 0 {
		c.SealedKey = []byte("torn")
	}
	c.KeyType = []model.KeyType{"", model.ECDSA, model.RSA, model.RSA}[w.rnd.IntN(4)]
	switch w.rnd.IntN(4) {
	case 0, 1:
		c.Issuer.UUID = UUID("issuer", "issuer0")
	case 2:
		c.Uploaded = true
	}
	if w.rnd.IntN(5) == 0 {
		c.SupersededBy.UUID = UUID("certificate", w.name("certificate", 8))
	}
	return c
}

func (w *World) challenge(id model.ChallengeID) *model.Challenge {
	return &model.Challenge{
		ID: id, Org: w.org(), Type: []model.ChallengeType{model.DNS01, model.HTTP01, model.TLSALPN01, "smoke-01"}[w.rnd.IntN(4)],
		Name: strings.TrimPrefix(hostnames[w.rnd.IntN(len(hostnames))], "*."), Token: w.name("token", 3), Value: model.Authorization(w.name("value", 3)),
		Expires: Epoch.Add(model.ChallengeLifetime),
	}
}

// Open unseals the keys that this package seals.
func Open(sealed []byte, aad string) ([]byte, error) {
	name, ok := bytes.CutPrefix(sealed, []byte("sealed:"))
	if !ok {
		return nil, fmt.Errorf("not sealed for %s", aad)
	}
	return fmt.Appendf(nil, "key:%s", name), nil
}

// Clone copies a batch's maps; the rows, which nobody modifies, are shared.
func Clone(b model.Batch) model.Batch {
	c := Join(b)
	c.From, c.Reload = b.From, b.Reload
	return c
}

// NewWorldAt makes a world that goes on from everything there is in all.
func NewWorldAt(seed uint64, all model.Batch) *World {
	w := NewWorld(seed)
	w.rows = Clone(all)
	return w
}

// access changes who is known to nodes, and who must not be any more.
func (w *World) access(b model.Batch, deleted bool) {
	switch w.rnd.IntN(3) {
	case 0:
		url := []string{"", "https://warren.example.org", "https://warren.example.net"}[w.rnd.IntN(3)]
		b.SignInURL = &url
	case 1:
		name := w.name("accesskey", 3)
		set(b.AccessKeys, model.AccessKeyID{UUID: UUID("accesskey", name)}, deleted, func(id model.AccessKeyID) *model.AccessKey {
			return accessKey(id, []model.AccessKeyState{model.AccessKeyNext, model.AccessKeyCurrent, model.AccessKeyRetired}[w.rnd.IntN(3)], name)
		})
	case 2:
		name := w.name("revocation", 5)
		set(b.Revocations, model.RevocationID{UUID: UUID("revocation", name)}, deleted, func(id model.RevocationID) *model.AccessRevocation {
			return &model.AccessRevocation{ID: id, Session: w.name("session", 3), Before: Epoch}
		})
	}
}

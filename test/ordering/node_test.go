package ordering

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/challenge"
	"github.com/warrenedge/warren/dataplane/dns"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/reach"
	"github.com/warrenedge/warren/dataplane/sni"
)

// node answers DNS and TLS as a node does, from what it has applied: that is what was true some time ago.
type node struct {
	row      *model.Node
	dnsPort  uint16
	tlsPort  uint16
	lag      atomic.Int64 // a duration: at most, before it applies; each time another one
	restarts atomic.Int64

	mu      sync.Mutex
	model   *model.Model // guarded by mu; applied, and kept while it restarts
	down    bool         // guarded by mu
	turns   int          // guarded by mu; how often it has come up or gone down
	servers *servers     // guarded by mu; nil while it is down
}

// servers are what ends with the process of a node.
type servers struct {
	dns   *dns.Server
	asked *challenge.Answerer
	end   func()
}

// apply gives the servers what the model says, as the snapshot of a node does.
func (s *servers) apply(m *model.Model) error {
	cfg := dns.Config{Serial: uint32(m.Revision())}
	for n := range m.Nodes() {
		cfg.Nodes = append(cfg.Nodes, dns.Node{ID: n.ID.String(), Name: n.Name, Pool: n.Pool.String(), Addresses: n.Addresses})
	}
	for d := range m.Domains() {
		cfg.Zones = append(cfg.Zones, dns.Zone{ID: d.ID.String(), Apex: d.Name, Pool: d.Pool.String()})
	}
	for v := range m.Services() {
		if d := m.DomainCovering(v.Hostname); d != nil {
			cfg.RecordSets = append(cfg.RecordSets, dns.RecordSet{Zone: d.ID.String(), Owner: v.Hostname, TTL: 30, Pool: v.Pool.String()})
		}
	}
	var proofs challenge.Config
	for c := range m.Challenges() {
		switch c.Type {
		case model.DNS01:
			cfg.Challenges = append(cfg.Challenges, dns.Challenge{ID: c.ID.String(), Name: c.Name, Text: string(c.Value), Expires: c.Expires})
		case model.TLSALPN01:
			sum, err := base64.RawURLEncoding.DecodeString(string(c.Value))
			if err != nil || len(sum) != sha256.Size {
				return errors.New("a digest of another size")
			}
			proofs.Challenges = append(proofs.Challenges, challenge.Challenge{Name: c.Name, Digest: [sha256.Size]byte(sum), Expires: c.Expires})
		}
	}
	s.asked.Apply(proofs)
	return s.dns.Apply(cfg)
}

// start opens the ports, having applied what it had before.
func (n *node) start() error {
	reg, log := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	s := &servers{dns: dns.New(log, reg)}
	limit := inbound.NewLimiter(inbound.PerIP, inbound.MaxConns())
	var err error
	if s.asked, err = challenge.New(challenge.Options{HTTPS: 443, Limit: limit, Log: log, Registerer: reg}); err != nil {
		return err
	}
	proofs, nobody := sni.NewHandoff(), sni.NewHandoff()
	forward := sni.New(sni.Options{
		Reach: reach.Dialer{Dial: func(context.Context, fabric.Request) (net.Conn, error) { return nil, errors.New("no target") }, Health: balance.NewHealth(log, reg), Log: log},
		Limit: limit, HTTP: nobody, TCP: nobody, Own: []sni.Own{{Protocol: challenge.Protocol, To: proofs, For: s.asked.Asked}}, Log: log, Registerer: reg,
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := s.apply(n.model); err != nil {
		return err
	}
	packets, stream, tls, err := n.listen()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.dns.Serve(ctx, []net.PacketConn{packets}, stream) })
	running.Go(func() { _ = forward.Serve(ctx, tls) })
	running.Go(func() { _ = s.asked.TLS(ctx, proofs) })
	s.end = func() { cancel(); running.Wait() }
	n.servers, n.down = s, false
	n.turns++
	return nil
}

func (n *node) listen() (packets net.PacketConn, stream, tls net.Listener, err error) {
	at := func(port uint16) string { return netip.AddrPortFrom(n.row.Addresses[0], port).String() }
	if packets, err = net.ListenPacket("udp", at(n.dnsPort)); err != nil {
		return nil, nil, nil, err
	}
	if stream, err = net.Listen("tcp", at(n.dnsPort)); err != nil {
		_ = packets.Close()
		return nil, nil, nil, err
	}
	if tls, err = net.Listen("tcp", at(n.tlsPort)); err != nil {
		_, _ = packets.Close(), stream.Close()
		return nil, nil, nil, err
	}
	return packets, stream, tls, nil
}

// stop ends the servers. From here on it is away: nobody is told that it has applied anything.
func (n *node) stop() {
	n.mu.Lock()
	s := n.servers
	n.servers, n.down = nil, true
	n.turns++
	n.mu.Unlock()
	if s != nil {
		s.end()
	}
}

// follow applies what the model has become, always later, until ctx ends.
func (n *node) follow(ctx context.Context, t testing.TB, world *model.Current, dice *rand.Rand) {
	for ctx.Err() == nil {
		n.mu.Lock()
		have := n.model.Revision()
		n.mu.Unlock()
		m, err := world.Wait(ctx, have+1)
		if err != nil {
			return
		}
		if lag := n.lag.Load(); lag > 0 {
			rest(ctx, time.Duration(dice.Int64N(lag)))
		}
		n.mu.Lock()
		if n.servers != nil {
			if err := n.servers.apply(m); err != nil {
				t.Error(err)
			}
			n.model = m
		}
		n.mu.Unlock()
		if n.isDown() {
			rest(ctx, 20*time.Millisecond)
		}
	}
}

func (n *node) isDown() bool {
	_, up := n.standing()
	return !up
}

// standing is whether it is up, and for which time: it has been all along if it is the same as before.
func (n *node) standing() (turn int, up bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.turns, !n.down
}

// fleet is a gate.Fleet and an orders.Fleet of nodes in this process.
type fleet []*node

// Standing implements gate.Fleet.
func (f fleet) Standing(_ time.Time, ids []model.NodeID, rev model.Revision) map[model.NodeID]presence.Standing {
	out := map[model.NodeID]presence.Standing{}
	for _, n := range f {
		n.mu.Lock()
		switch {
		case n.down:
			out[n.row.ID] = presence.Away
		case n.model.Revision() < rev:
			out[n.row.ID] = presence.Behind
		default:
			out[n.row.ID] = presence.Ready
		}
		n.mu.Unlock()
	}
	return out
}

// Behind implements orders.Fleet.
func (f fleet) Behind(rev model.Revision) (names []string) {
	for _, n := range f {
		n.mu.Lock()
		if !n.down && n.model.Revision() < rev {
			names = append(names, n.row.Name)
		}
		n.mu.Unlock()
	}
	return names
}

// dial finds the ports of nodes behind their addresses.
func (f fleet) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	to := map[string]uint16{"53": f[0].dnsPort, "443": f[0].tlsPort}[port]
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, network, netip.AddrPortFrom(ip, to).String())
}

// restart takes one node after the other down for a moment, until ctx ends.
func (f fleet) restart(ctx context.Context, t testing.TB, dice *rand.Rand) {
	pause := time.Duration(0) // at first: how long there is something to order depends on the machine
	for ; rest(ctx, pause); pause = time.Second + time.Duration(dice.Int64N(int64(3*time.Second))) {
		n := f[dice.IntN(len(f))]
		n.stop()
		rest(ctx, time.Duration(dice.Int64N(int64(600*time.Millisecond))))
		if err := n.start(); err != nil {
			t.Errorf("%s does not start again: %v", n.row.Name, err)
			return
		}
		n.restarts.Add(1)
	}
}

// rest reports whether ctx has not ended meanwhile.
func rest(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

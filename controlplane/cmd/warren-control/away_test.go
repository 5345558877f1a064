package main

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/gate"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/orders"
	"github.com/warrenedge/warren/controlplane/preflight"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/wgkey"
)

// pair is a domain that its parent delegates to two nodes, the second of which can be dead.
type pair struct {
	db     *store.Store
	world  *model.Current
	first  *model.Node
	second *model.Node

	mu    sync.Mutex
	dead  bool              // guarded by mu
	where map[string]string // "udp 192.0.2.1" -> socket
}

func newPair(t *testing.T) *pair {
	p := &pair{db: storetest.New(t), world: model.NewCurrent(), dead: true, where: map[string]string{}}
	org, pool := &model.Organization{ID: model.OrgID{}.New(), Name: "o"}, &model.Pool{ID: model.PoolID{}.New(), Name: "p"}
	node := func(name, address string) *model.Node {
		key, err := wgkey.New()
		if err != nil {
			t.Fatal(err)
		}
		return &model.Node{ID: model.NodeID{}.New(), Name: name, Pool: pool.ID, Addresses: []netip.Addr{netip.MustParseAddr(address)}, WireGuardKey: key.Public(), Lifecycle: model.Active}
	}
	p.first, p.second = node("n1", "198.51.100.1"), node("n2", "198.51.100.2")
	p.tx(t, func(tx *store.Tx) error {
		ctx := t.Context()
		for _, err := range []error{
			tx.CreateOrganization(ctx, org), tx.CreatePool(ctx, pool), tx.CreateNode(ctx, p.first), tx.CreateNode(ctx, p.second),
			tx.CreateDomain(ctx, &model.Domain{ID: model.DomainID{}.New(), Org: org.ID, Name: "shop.test", Pool: pool.ID}),
			tx.CreateService(ctx, &model.Service{ID: model.ServiceID{}.New(), Org: org.ID, Name: "s", Kind: model.HTTP, Hostname: "www.shop.test", Pool: pool.ID}),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	p.listen(t, "192.0.2.53", func(m *dns.Msg) { // the root, which delegates the domain
		for _, rr := range []string{"shop.test. 300 IN NS ns-n1.shop.test.", "shop.test. 300 IN NS ns-n2.shop.test."} {
			m.Ns = append(m.Ns, record(t, rr))
		}
		m.Extra = append(m.Extra, record(t, "ns-n1.shop.test. 300 IN A 198.51.100.1"), record(t, "ns-n2.shop.test. 300 IN A 198.51.100.2"))
		if m.Question[0].Qtype == dns.TypeDS {
			m.Authoritative, m.Ns, m.Extra = true, []dns.RR{record(t, ". 30 IN SOA a. b. 1 1 1 1 30")}, nil
		}
	})
	p.listen(t, "198.51.100.1", p.answer(t))
	p.listen(t, "198.51.100.2", p.answer(t))
	return p
}

func record(t *testing.T, text string) dns.RR {
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Error(err)
	}
	return rr
}

// answer is what a node answers: challenges, and that it has the zone.
func (p *pair) answer(t *testing.T) func(*dns.Msg) {
	return func(m *dns.Msg) {
		m.Authoritative = true
		soa := record(t, "shop.test. 30 IN SOA a. b. 1 1 1 1 30")
		q := m.Question[0]
		for c := range p.world.Get().Challenges() {
			if name := "_acme-challenge." + c.Name + "."; q.Qtype == dns.TypeTXT && strings.EqualFold(q.Name, name) {
				m.Answer = append(m.Answer, record(t, name+` 0 IN TXT "`+string(c.Value)+`"`))
			}
		}
		switch {
		case q.Qtype == dns.TypeSOA:
			m.Answer = append(m.Answer, soa)
		case len(m.Answer) == 0:
			m.Ns = append(m.Ns, soa)
		}
	}
}

// listen answers at an address of documentation.
func (p *pair) listen(t *testing.T, address string, answer func(*dns.Msg)) {
	h := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		answer(m)
		_ = w.WriteMsg(m)
	})
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: h}, {Listener: l, Handler: h}} {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		var serving sync.WaitGroup
		serving.Go(func() { _ = s.ActivateAndServe() })
		<-up
		t.Cleanup(func() { _ = s.Shutdown(); serving.Wait() })
	}
	p.where["udp "+address], p.where["tcp "+address] = pc.LocalAddr().String(), l.Addr().String()
}

func (p *pair) kill(dead bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = dead
}

func (p *pair) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

func (p *pair) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	to := p.where[network+" "+host]
	if to == "" || host == "198.51.100.2" && p.isDead() {
		return nil, syscall.ECONNREFUSED
	}
	return new(net.Dialer).DialContext(ctx, network, to)
}

// Standing implements gate.Fleet.
func (p *pair) Standing(_ time.Time, nodes []model.NodeID, rev model.Revision) map[model.NodeID]presence.Standing {
	out := map[model.NodeID]presence.Standing{}
	for _, n := range nodes {
		switch {
		case n == p.second.ID && p.isDead():
			out[n] = presence.Away
		case p.world.Get().Revision() >= rev:
			out[n] = presence.Ready
		}
	}
	return out
}

// Behind implements orders.Fleet.
func (p *pair) Behind(model.Revision) []string { return nil }

func (p *pair) tx(t *testing.T, fn func(*store.Tx) error) {
	t.Helper()
	if _, err := p.db.Tx(context.WithoutCancel(t.Context()), "test", fn); err != nil {
		t.Fatal(err)
	}
}

// run orders what the service needs, with the real pre-flight and the real gate.
func (p *pair) run(t *testing.T, policy gate.Policy) *acmetest.Proxy {
	proxy := acmetest.StartProxy(t, acmetest.Start(t, acmetest.Config{DNS: p.where["tcp 198.51.100.1"]}), 1)
	kek, err := authority.NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := authority.NewSealer(kek)
	if err != nil {
		t.Fatal(err)
	}
	p.tx(t, func(tx *store.Tx) error {
		return tx.CreateIssuer(t.Context(), &model.Issuer{ID: model.IssuerID{}.New(), Name: "pebble", DirectoryURL: proxy.Directory, RootsPEM: proxy.RootsPEM, Rank: 1})
	})
	checker := preflight.New(preflight.Options{
		Roots: []netip.Addr{netip.MustParseAddr("192.0.2.53")}, Dial: p.dial, Log: slog.New(slog.DiscardHandler),
		Away: func(n model.NodeID) bool { return n == p.second.ID && p.isDead() },
	})
	w := orders.New(orders.Options{
		Store: p.db, Sealer: sealer, World: p.world, Gate: gate.New(gate.Options{World: p.world, Fleet: p, Policy: policy, Dial: p.dial, Log: slog.New(slog.DiscardHandler)}),
		Preflight: preflights{checker, p.world}, Fleet: p, Replica: "a", UserAgent: "warren-test", Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry(), Every: 100 * time.Millisecond,
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	running.Go(func() { _ = w.Run(ctx) })
	running.Go(func() { _ = orders.NewPlanner(w).Run(ctx) })
	running.Go(func() {
		for tick := time.NewTicker(20 * time.Millisecond); ctx.Err() == nil; <-tick.C {
			m := p.world.Get()
			if b, err := p.db.Changes(ctx, m.Revision(), 1000); err == nil && b.To != m.Revision() {
				p.world.Set(m.Apply(b))
			}
		}
	})
	return proxy
}

// until waits for something to be true of the newest order.
func (p *pair) until(t *testing.T, what string, ok func(*model.Order) bool) {
	t.Helper()
	var o *model.Order
	for end := time.Now().Add(4 * time.Minute); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		p.tx(t, func(tx *store.Tx) error {
			all, err := tx.AllManagedCertificates(t.Context())
			if err != nil || len(all) == 0 {
				return err
			}
			list, err := tx.ListOrdersOf(t.Context(), all[0].ID, 1)
			if len(list) > 0 {
				o = list[0]
			}
			return err
		})
		if o != nil && ok(o) {
			return
		}
	}
	t.Fatalf("not %s in time: %+v", what, o)
}

// A node is killed that the registrar names: by the policy certificates are issued without it, or wait for it; by neither is that the
// customer's failure.
func TestKilledNodeHoldsUpNobody(t *testing.T) {
	t.Run("withdraw", func(t *testing.T) {
		t.Parallel()
		p := newPair(t)
		proxy := p.run(t, gate.Withdraw)
		p.until(t, "issued", func(o *model.Order) bool { return o.State == model.OrderAcked })
		if n := proxy.NewOrders()["*.shop.test,shop.test"]; n != 1 || len(proxy.FailedValidations()) != 0 {
			t.Errorf("%d orders; failed validations %v", n, proxy.FailedValidations())
		}
	})
	t.Run("wait", func(t *testing.T) {
		t.Parallel()
		p := newPair(t)
		proxy := p.run(t, gate.Wait)
		p.until(t, "waiting for the node", func(o *model.Order) bool {
			return o.State == model.OrderChallengesWritten && strings.Contains(o.Problem, "n2: is not connected to the control plane, 198.51.100.2: DNS over UDP: does not answer")
		})
		if n := proxy.Requests()[acmetest.Initiate]; n != 0 {
			t.Errorf("the authority was told to look %d times", n)
		}
		p.kill(false)
		p.until(t, "issued", func(o *model.Order) bool { return o.State == model.OrderAcked })
	})
}

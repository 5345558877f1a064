// Package ordering has certificates ordered by the real worker while the real servers of nodes lag behind and restart.
package ordering

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/gate"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/orders"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/wgkey"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// proven lets every name be proved in some ways: what pre-flight finds out is tested where it stands.
type proven struct{ by []model.ChallengeType }

// Check implements orders.Preflight.
func (p proven) Check(_ context.Context, names []string, _ *model.Issuer) (orders.Methods, error) {
	out := orders.Methods{}
	for _, n := range names {
		out[strings.TrimPrefix(n, "*.")] = orders.Proof{Types: p.by}
	}
	return out, nil
}

// ungated looks at no node.
type ungated struct{}

// Ready implements orders.Gate.
func (ungated) Ready(context.Context, model.Revision, []*model.Challenge) error { return nil }

// rig is a database, nodes, and Pebble behind Unbound and a proxy that counts.
type rig struct {
	db     *store.Store
	world  *model.Current
	nodes  fleet
	proxy  *acmetest.Proxy
	org    *model.Organization
	pool   *model.Pool
	sealer *authority.Sealer
	dice   *rand.Rand
	zones  []string
}

// newRig starts five nodes that apply within lag and serve zones, and an authority.
func newRig(t testing.TB, lag time.Duration, c acmetest.Config, zones ...string) *rig {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := &rig{db: storetest.New(t), world: model.NewCurrent(), dice: rand.New(rand.NewPCG(seed, 0)), zones: zones}
	kek, err := authority.NewKEK()
	if err == nil {
		r.sealer, err = authority.NewSealer(kek)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.org, r.pool = &model.Organization{ID: model.OrgID{}.New(), Name: "o"}, &model.Pool{ID: model.PoolID{}.New(), Name: "p"}
	r.makeNodes(t, 5, lag)
	r.tx(t, func(tx *store.Tx) error {
		ctx := t.Context()
		if err := tx.CreateOrganization(ctx, r.org); err != nil {
			return err
		}
		if err := tx.CreatePool(ctx, r.pool); err != nil {
			return err
		}
		for _, n := range r.nodes {
			if err := tx.CreateNode(ctx, n.row); err != nil {
				return err
			}
		}
		for _, z := range zones {
			if err := tx.CreateDomain(ctx, &model.Domain{ID: model.DomainID{}.New(), Org: r.org.ID, Name: z, Pool: r.pool.ID}); err != nil {
				return err
			}
		}
		return nil
	})
	r.run(t)
	var servers []netip.AddrPort
	for _, n := range r.nodes {
		servers = append(servers, netip.AddrPortFrom(n.row.Addresses[0], n.dnsPort))
	}
	c.DNS, c.TLSPort = acmetest.StartResolver(t, zones, servers...), int(r.nodes[0].tlsPort)
	r.proxy = acmetest.StartProxy(t, acmetest.Start(t, c), seed)
	many := model.IssuerLimits{NewOrders: 100_000, PerDomain: 100_000, PerSet: 100_000, FailedValidations: 100_000}
	r.tx(t, func(tx *store.Tx) error {
		return tx.CreateIssuer(t.Context(), &model.Issuer{
			ID: model.IssuerID{}.New(), Name: "pebble", DirectoryURL: r.proxy.Directory, RootsPEM: r.proxy.RootsPEM, Rank: 1, Limits: many, CAAIdentities: []string{"pebble.test"},
		})
	})
	return r
}

// makeNodes gives each node an address of its own, on which all have the same ports.
func (r *rig) makeNodes(t testing.TB, n int, lag time.Duration) {
	t.Helper()
	for range 20 {
		net24 := netip.AddrFrom4([4]byte{127, byte(64 + r.dice.IntN(128)), byte(r.dice.IntN(256)), 1})
		dnsPort, err := free(net24)
		if err != nil {
			t.Fatal(err)
		}
		tlsPort, err := free(net24)
		if err != nil {
			t.Fatal(err)
		}
		r.nodes = nil
		for i, a := 0, net24; i < n; i, a = i+1, a.Next() {
			key, err := wgkey.New()
			if err != nil {
				t.Fatal(err)
			}
			v := &model.Node{ID: model.NodeID{}.New(), Name: fmt.Sprintf("n%d", i+1), Pool: r.pool.ID, Addresses: []netip.Addr{a}, WireGuardKey: key.Public(), Lifecycle: model.Active}
			one := &node{row: v, dnsPort: dnsPort, tlsPort: tlsPort, model: model.Empty()}
			one.lag.Store(int64(lag))
			r.nodes = append(r.nodes, one)
		}
		for _, n := range r.nodes {
			if err = n.start(); err != nil {
				break
			}
		}
		if err == nil {
			break
		}
		for _, n := range r.nodes {
			n.stop()
		}
	}
	t.Cleanup(func() {
		for _, n := range r.nodes {
			n.stop()
		}
	})
}

func free(a netip.Addr) (uint16, error) {
	l, err := net.Listen("tcp", netip.AddrPortFrom(a, 0).String())
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port), nil
}

func (r *rig) tx(t testing.TB, fn func(*store.Tx) error) model.Revision {
	t.Helper()
	rev, err := r.db.Tx(context.WithoutCancel(t.Context()), "test", fn)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

// run follows the database, and has the nodes follow that.
func (r *rig) run(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	running.Go(func() {
		for rest(ctx, 10*time.Millisecond) {
			m := r.world.Get()
			if b, err := r.db.Changes(ctx, m.Revision(), 10000); err == nil && b.To != m.Revision() {
				r.world.Set(m.Apply(b))
			}
		}
	})
	for _, n := range r.nodes {
		dice := rand.New(rand.NewPCG(r.dice.Uint64(), 0))
		running.Go(func() { n.follow(ctx, t, r.world, dice) })
	}
}

// publish makes HTTP services, which need certificates, and waits until every node serves their names.
func (r *rig) publish(t testing.TB, hostnames ...string) {
	t.Helper()
	rev := r.tx(t, func(tx *store.Tx) error {
		for i, h := range hostnames {
			s := &model.Service{ID: model.ServiceID{}.New(), Org: r.org.ID, Name: fmt.Sprintf("s%d", i), Kind: model.HTTP, Hostname: h, Pool: r.pool.ID}
			if err := tx.CreateService(t.Context(), s); err != nil {
				return err
			}
		}
		return nil
	})
	for end := time.Now().Add(time.Minute); len(r.nodes.Behind(rev)) > 0; rest(t.Context(), 20*time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("behind: %v", r.nodes.Behind(rev))
		}
	}
}

// work runs two replicas of the worker, one of which plans.
func (r *rig) work(t testing.TB, g orders.Gate, by ...model.ChallengeType) {
	r.carry(t, g, true, by...)
}

// carry runs two replicas of the worker; with plan, one of them plans.
func (r *rig) carry(t testing.TB, g orders.Gate, plan bool, by ...model.ChallengeType) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	for i := range 2 {
		w := orders.New(orders.Options{
			Store: r.db, Sealer: r.sealer, World: r.world, Gate: g, Preflight: proven{by}, Fleet: r.nodes, Replica: fmt.Sprint("replica ", i), UserAgent: "warren-test",
			Log: slog.New(slog.NewTextHandler(quiet(), &slog.HandlerOptions{Level: slog.LevelWarn})), Reg: prometheus.NewRegistry(), AtOnce: 64, Every: 100 * time.Millisecond,
		})
		running.Go(func() { _ = w.Run(ctx) })
		if plan && i == 0 {
			running.Go(func() { _ = orders.NewPlanner(w).Run(ctx) })
		}
	}
}

// quiet is where logs go: only to those who look.
func quiet() io.Writer {
	if testing.Verbose() {
		return os.Stderr
	}
	return io.Discard
}

func (r *rig) gate() orders.Gate {
	return gate.New(gate.Options{World: r.world, Fleet: r.nodes, Policy: gate.Wait, Dial: r.nodes.dial, Log: slog.New(slog.DiscardHandler)})
}

// issued waits until so many sets of names have a certificate that all nodes have, and returns the orders.
func (r *rig) issued(t testing.TB, n int, limit time.Duration) (all []*model.Order) {
	t.Helper()
	for end := time.Now().Add(limit); ; rest(t.Context(), 500*time.Millisecond) {
		all = nil
		done := 0
		err := r.db.View(t.Context(), func(tx *store.Tx) error {
			managed, err := tx.AllManagedCertificates(t.Context())
			if len(managed) < n || slices.ContainsFunc(managed, func(m *model.ManagedCertificate) bool { return m.Certificate.IsZero() }) {
				return err // to read all orders is much work
			}
			for _, m := range managed {
				os, e := tx.ListOrdersOf(t.Context(), m.ID, 10)
				if err = errors.Join(err, e); err != nil {
					return err
				}
				all = append(all, os...)
				if len(os) > 0 && os[0].State == model.OrderAcked && m.Certificate == os[0].Certificate {
					done++
				}
			}
			return err
		})
		if err != nil { // a busy database: workers wait, too
			t.Log(err)
			done = 0
		}
		if done == n {
			return all
		}
		if time.Now().After(end) {
			t.Fatalf("not %d certificates within %v; %s", n, limit, r.proxy)
		}
	}
}

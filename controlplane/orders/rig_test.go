package orders

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	storetest.Main(m)
}

// rig is a database, an authority behind a proxy, and a name server that answers what the database says.
type rig struct {
	db     *store.Store
	dsn    string
	kek    []byte
	sealer *authority.Sealer
	proxy  *acmetest.Proxy
	pebble *acmetest.CA
	dns    *acmetest.DNS
	issuer *model.Issuer
	org    *model.Organization
	pool   *model.Pool
	world  *model.Current

	mu    sync.Mutex
	muted string // guarded by mu
}

// places bounds how many rigs there are at a time: most of what tests do is waiting, and each rig has a database, an authority and workers.
var places = make(chan struct{}, 3)

// newRig makes a rig for a test that may run beside others.
func newRig(t *testing.T, c acmetest.Config) *rig {
	t.Helper()
	t.Parallel()
	places <- struct{}{}
	t.Cleanup(func() { <-places })
	return newRigAlone(t, c)
}

// newRigAlone is newRig for tests whose replicas are killed: their leases are short.
func newRigAlone(t *testing.T, c acmetest.Config) *rig {
	t.Helper()
	r := &rig{dsn: storetest.DSN(t), world: model.NewCurrent(), dns: acmetest.StartDNS(t)}
	r.db = storetest.Open(t, r.dsn)
	c.DNS = r.dns.Addr
	r.pebble = acmetest.Start(t, c)
	r.proxy = acmetest.StartProxy(t, r.pebble, 1)
	var err error
	if r.kek, err = authority.NewKEK(); err != nil {
		t.Fatal(err)
	}
	if r.sealer, err = authority.NewSealer(r.kek); err != nil {
		t.Fatal(err)
	}
	r.org, r.pool = &model.Organization{ID: model.OrgID{}.New(), Name: "o"}, &model.Pool{ID: model.PoolID{}.New(), Name: "p"}
	r.issuer = &model.Issuer{ID: model.IssuerID{}.New(), Name: "pebble", DirectoryURL: r.proxy.Directory, RootsPEM: r.proxy.RootsPEM, Rank: 1, Limits: model.IssuerLimits{NewOrders: 10000, PerDomain: 10000}}
	r.tx(t, func(tx *store.Tx) error {
		for _, err := range []error{tx.CreateOrganization(t.Context(), r.org), tx.CreatePool(t.Context(), r.pool), tx.CreateIssuer(t.Context(), r.issuer)} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	r.follow(t)
	return r
}

func (r *rig) tx(t *testing.T, fn func(*store.Tx) error) {
	t.Helper()
	if _, err := r.db.Tx(context.WithoutCancel(t.Context()), "test", fn); err != nil {
		t.Fatal(err)
	}
}

// follow is what feed and nodes do: the model, and the answers to challenges.
func (r *rig) follow(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	t.Cleanup(func() { cancel(); following.Wait() })
	served := map[string]string{}
	following.Go(func() {
		follow(ctx, r.db, r.world, 20*time.Millisecond, func(b model.Batch) {
			for id, c := range b.Challenges {
				if c != nil && r.answers(c.Name) {
					served[id.String()] = "_acme-challenge." + c.Name + " " + string(c.Value)
					r.dns.Add("_acme-challenge."+c.Name, string(c.Value))
				} else if s, ok := served[id.String()]; ok {
					name, value, _ := strings.Cut(s, " ")
					r.dns.Remove(name, value)
				}
			}
		})
	})
}

// follow keeps a world at what is in a database, until ctx ends.
func follow(ctx context.Context, db *store.Store, world *model.Current, every time.Duration, see func(model.Batch)) {
	for ; ctx.Err() == nil; pause(ctx, every) {
		m := world.Get()
		if b, err := db.Changes(ctx, m.Revision(), 1000); err == nil && b.To != m.Revision() {
			see(b)
			world.Set(m.Apply(b))
		}
	}
}

// publish makes a domain with a service, which needs a certificate.
func (r *rig) publish(t *testing.T, apex string) {
	t.Helper()
	ctx := t.Context()
	r.tx(t, func(tx *store.Tx) error {
		d := &model.Domain{ID: model.DomainID{}.New(), Org: r.org.ID, Name: apex, Pool: r.pool.ID}
		s := &model.Service{ID: model.ServiceID{}.New(), Org: r.org.ID, Name: strings.ReplaceAll(apex, ".", "-"), Kind: model.HTTP, Hostname: "www." + apex, Pool: r.pool.ID}
		if err := tx.CreateDomain(ctx, d); err != nil {
			return err
		}
		return tx.CreateService(ctx, s)
	})
}

// mute lets nobody answer the challenges of a name.
func (r *rig) mute(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.muted = name
}

func (r *rig) answers(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return name != r.muted
}

// open is a Gate that lets everything through.
type open struct{}

func (open) Ready(context.Context, model.Revision, []*model.Challenge) error { return nil }

// probing is a Gate that asks the name server, as a gate asks nodes.
type probing struct{ addr string }

func (p probing) Ready(ctx context.Context, _ model.Revision, all []*model.Challenge) error {
	c := dns.Client{Net: "tcp", Timeout: time.Second}
	for _, x := range all {
		for {
			in, _, err := c.ExchangeContext(ctx, new(dns.Msg).SetQuestion("_acme-challenge."+x.Name+".", dns.TypeTXT), p.addr)
			if err == nil && slices.ContainsFunc(in.Answer, func(rr dns.RR) bool {
				txt, ok := rr.(*dns.TXT)
				return ok && slices.Contains(txt.Txt, string(x.Value))
			}) {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s is not answered", x.Name)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	return nil
}

// allowing is a Preflight whose answers tests set.
type allowing struct {
	mu      sync.Mutex
	say     func(names []string, i *model.Issuer) error
	methods Methods
}

func (a *allowing) Check(_ context.Context, names []string, i *model.Issuer) (Methods, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.say == nil {
		return a.methods, nil
	}
	return nil, a.say(names, i)
}

// nodes is a Fleet whose nodes tests hold back.
type nodes struct {
	mu     sync.Mutex
	behind []string
}

func (n *nodes) Behind(model.Revision) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.behind
}

func (n *nodes) set(behind ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.behind = behind
}

func (r *rig) options(name string) Options {
	return Options{
		Store: r.db, Sealer: r.sealer, World: r.world, Gate: probing{r.dns.Addr}, Preflight: &allowing{}, Fleet: &nodes{}, Replica: name, UserAgent: "warren-test",
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), Reg: prometheus.NewRegistry(), Lease: 3 * time.Second, Every: 100 * time.Millisecond,
	}
}

// run runs a worker with a planner until the test ends, or end is called.
func (r *rig) run(t *testing.T, o Options) (w *Worker, end func()) {
	t.Helper()
	w = New(o)
	w.accounts.around = func(id model.IssuerID, next http.RoundTripper) http.RoundTripper {
		if id != r.issuer.ID {
			return next
		}
		return r.proxy.Watch(next)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.Run(ctx) })
	wg.Go(func() { _ = NewPlanner(w).Run(ctx) })
	end = func() { cancel(); wg.Wait() }
	t.Cleanup(end)
	return w, end
}

// until waits for something in the database, for three times as long as it takes a test that is alone.
func (r *rig) until(t *testing.T, what string, limit time.Duration, ok func(tx *store.Tx) (bool, error)) {
	t.Helper()
	for end := time.Now().Add(3 * limit); ; time.Sleep(30 * time.Millisecond) {
		found := false
		r.tx(t, func(tx *store.Tx) (err error) { found, err = ok(tx); return err })
		if found {
			return
		}
		if time.Now().After(end) {
			r.dump(t)
			t.Fatalf("%s: not within %v; %s", what, 3*limit, r.proxy)
		}
	}
}

// dump logs what the database says of orders.
func (r *rig) dump(t *testing.T) {
	r.tx(t, func(tx *store.Tx) error {
		for _, m := range r.managed(t, tx) {
			os, err := tx.ListOrdersOf(t.Context(), m.ID, 10)
			if err != nil {
				return err
			}
			for _, o := range os {
				if o.State == model.OrderAcked {
					continue
				}
				events, err := tx.ListOrderEvents(t.Context(), o.ID)
				if err != nil {
					return err
				}
				t.Logf("%v: %s, %s: %s, next %v, attempts %d, lease %q", o.Names, o.State, o.Class, o.Problem, time.Until(o.NextAttempt), o.Attempts, o.LeaseHolder)
				for _, e := range events[max(0, len(events)-6):] {
					t.Logf("    %s %s %s %s", e.At.Format("05.000"), e.State, e.What, e.Problem)
				}
			}
		}
		return nil
	})
}

func (r *rig) managed(t *testing.T, tx *store.Tx) []*model.ManagedCertificate {
	t.Helper()
	all, err := tx.AllManagedCertificates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// served waits until n managed certificates have a certificate and no order under way, and returns the
// certificates by their first name.
func (r *rig) served(t *testing.T, n int, limit time.Duration) map[string]*model.Certificate {
	t.Helper()
	out := map[string]*model.Certificate{}
	r.until(t, fmt.Sprintf("%d certificates", n), limit, func(tx *store.Tx) (bool, error) {
		clear(out)
		for _, m := range r.managed(t, tx) {
			os, err := tx.ListOrdersOf(t.Context(), m.ID, 1)
			if err != nil || len(os) == 0 || os[0].State != model.OrderAcked || m.Certificate != os[0].Certificate {
				return false, err // the two are read one after the other
			}
			c, err := tx.GetCertificate(t.Context(), m.Certificate)
			if err != nil {
				return false, err
			}
			out[c.Names[0]] = c
		}
		return len(out) == n, nil
	})
	return out
}

// usable fails the test unless the key in a certificate's row is its own, and the chain verifies.
func (r *rig) usable(t *testing.T, c *model.Certificate) {
	t.Helper()
	key, err := r.sealer.Open(c.SealedKey, c.ID.String())
	if err != nil {
		t.Errorf("%v: %v", c.Names, err)
		return
	}
	if _, err := tls.X509KeyPair(c.ChainPEM, key); err != nil {
		t.Errorf("%v: %v", c.Names, err)
	}
	if _, err := check(c.ChainPEM, key, c.Names, time.Now()); err != nil {
		t.Errorf("%v: %v", c.Names, err)
	}
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

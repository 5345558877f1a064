package pushads

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/anypb"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const cluster = "test-cluster"

// patience bounds every wait; nothing is measured by it.
const patience = 30 * time.Second

// world is the configuration: resources at a revision, and who may read what.
type world struct {
	mu     sync.Mutex
	rev    model.Revision
	res    map[snapshot.Ref]*snapshot.Resource
	scopes map[push.Reader][]string
	trace  []snapshot.Changes
}

func newWorld() *world {
	return &world{rev: 1, res: map[snapshot.Ref]*snapshot.Resource{}, scopes: map[push.Reader][]string{}}
}

func (w *world) allow(r push.Reader, scopes ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scopes[r] = scopes
}

func (w *world) revoke(r push.Reader) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.scopes, r)
}

func (w *world) scopesOf(_ *model.Model, kind identity.Kind, id string) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.scopes[push.Reader{Kind: kind, ID: id}]
	if !ok {
		return nil, fault.New(fault.Denied, "no reader")
	}
	return s, nil
}

// put makes a resource; the content decides the version.
func put(typeURL, name, content string, scopes ...string) *snapshot.Resource {
	return &snapshot.Resource{
		TypeURL: typeURL, Name: name, Version: resource.Version(typeURL, snapshot.Epoch, []byte(content)),
		Any: &anypb.Any{TypeUrl: typeURL, Value: []byte(content)}, Scopes: scopes,
	}
}

// step makes the next revision.
func (w *world) step(upserts []*snapshot.Resource, removed ...snapshot.Ref) snapshot.Changes {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rev++
	ch := snapshot.Changes{Revision: w.rev, CommittedAt: time.Now(), Upserts: upserts, Removed: removed}
	for _, r := range upserts {
		r.Cause = w.rev
		w.res[r.Ref()] = r
	}
	for _, ref := range removed {
		delete(w.res, ref)
	}
	w.trace = append(w.trace, ch)
	return ch
}

// all is a full build of the newest revision.
func (w *world) all() snapshot.Changes {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch := snapshot.Changes{Revision: w.rev, CommittedAt: time.Now(), Full: true}
	for _, r := range w.res {
		ch.Upserts = append(ch.Upserts, r)
	}
	slices.SortFunc(ch.Upserts, func(a, b *snapshot.Resource) int { return a.Ref().Compare(b.Ref()) })
	return ch
}

// view is what a reader should hold: type/name to content.
func (w *world) view(r push.Reader) map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]string{}
	for ref, res := range w.res {
		if slices.ContainsFunc(res.Scopes, func(s string) bool { return slices.Contains(w.scopes[r], s) }) {
			out[resource.ShortType(ref.TypeURL)+" "+ref.Name] = string(res.Any.GetValue())
		}
	}
	return out
}

var ca = sync.OnceValue(func() *authority.Authority {
	cert, key, err := authority.Create(authority.Identity, cluster, time.Now())
	if err != nil {
		panic(err)
	}
	a, err := authority.Parse(authority.Identity, cert, key)
	if err != nil {
		panic(err)
	}
	return a
})

func clientTLS(t testing.TB, r push.Reader) *tls.Config {
	t.Helper()
	return clientTLSOf(t, identity.Identity{Cluster: cluster, Kind: r.Kind, ID: r.ID})
}

func clientTLSOf(t testing.TB, id identity.Identity) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := ca().SignIdentity(key.Public(), id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	roots := ca().Pool()
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13,
		InsecureSkipVerify: true, // the server's name is its SPIFFE ID, checked below
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
			return err
		},
	}
}

// replica is one control replica's push port.
type replica struct {
	*push.Server
	addr string
	reg  *prometheus.Registry
	stop func()
}

func newReplica(t testing.TB, w *world, change ...func(*push.Options)) *replica {
	t.Helper()
	r := &replica{reg: prometheus.NewRegistry()}
	o := push.Options{Cluster: cluster, Scopes: w.scopesOf, Drain: time.Millisecond, Log: slog.New(slog.DiscardHandler), Reg: r.reg}
	for _, c := range change {
		c(&o)
	}
	r.Server = push.New(o)
	cert, err := ca().ServerCertificate(cluster, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	g := grpc.NewServer(append(push.GRPCOptions(), grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca().Pool(), MinVersion: tls.VersionTLS13,
	})))...)
	discovery.RegisterAggregatedDiscoveryServiceServer(g, r.Server)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = g.Serve(l) })
	wg.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	r.stop = sync.OnceFunc(func() {
		cancel()
		g.Stop()
		wg.Wait()
	})
	t.Cleanup(r.stop)
	return r
}

// metric is the value of a counter or gauge, summed over labels unless one value is given.
func (r *replica) metric(t testing.TB, name, label string) float64 {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label != "" && (len(m.GetLabel()) == 0 || m.GetLabel()[0].GetValue() != label) {
				continue
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// node is a client with a memory instead of a data plane.
type node struct {
	push.Reader
	client *ads.Client
	conns  *ads.Conns
	stop   func()

	mu        sync.Mutex
	content   map[string]map[string]string // type, name: applied content
	versions  map[string]map[string]string // type, name: received version
	cp        *nodev1.Checkpoint
	types     []string // that it knows; nil: all of its kind
	health    map[string]string
	fulls     int
	delivered map[string]int // "version" of resources handed over, how often
	resets    []string       // of the last transaction
	upserts   int            // of all transactions
	reject    func(ads.Resource) string
	refused   map[string]*nodev1.Rejection // by name: what it rejects now
	fail      func(ads.Transaction) error
	wrong     []string
}

func reader(id string) push.Reader { return push.Reader{Kind: identity.Node, ID: id} }

// newNode makes a node that does not run yet.
func newNode(r push.Reader) *node {
	return &node{
		Reader: r, content: map[string]map[string]string{}, versions: map[string]map[string]string{},
		health: map[string]string{}, delivered: map[string]int{}, refused: map[string]*nodev1.Rejection{},
	}
}

// run connects to replicas; calling it again after stop is a restart with the state on disk.
func (n *node) run(t testing.TB, replicas ...*replica) *node {
	t.Helper()
	var addrs []string
	for _, r := range replicas {
		addrs = append(addrs, r.addr)
	}
	n.conns = ads.NewConns(addrs, credentials.NewTLS(clientTLS(t, n.Reader)))
	types := resource.NodeTypes()
	if n.types != nil {
		types = n.types
	}
	if n.Kind == identity.Connector {
		types = resource.ConnectorTypes()
	}
	n.mu.Lock()
	state := ads.State{Checkpoint: n.cp, Received: map[string]map[string]string{}}
	for typ, versions := range n.versions {
		state.Received[typ] = maps.Clone(versions)
	}
	n.mu.Unlock()
	n.client = ads.New(ads.Options{
		Conns: n.conns, NodeID: n.ID, Types: types, State: state, Handler: n,
		Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry(),
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := n.client.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	n.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		_ = n.conns.Close()
	})
	t.Cleanup(n.stop)
	return n
}

func (n *node) Transaction(_ context.Context, t ads.Transaction) ([]*nodev1.Rejection, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail != nil {
		if err := n.fail(t); err != nil {
			return nil, err
		}
	}
	if t.Checkpoint.GetRevision() < n.cp.GetRevision() {
		n.wrong = append(n.wrong, fmt.Sprintf("revision went from %d to %d", n.cp.GetRevision(), t.Checkpoint.GetRevision()))
	}
	n.cp, n.resets = t.Checkpoint, t.Reset
	for _, typ := range t.Reset {
		n.content[typ], n.versions[typ] = map[string]string{}, map[string]string{}
	}
	for typ, names := range t.Removed {
		for _, name := range names {
			delete(n.content[typ], name)
			delete(n.versions[typ], name)
			delete(n.refused, name)
		}
	}
	for typ, list := range t.Upserts {
		if n.content[typ] == nil {
			n.content[typ], n.versions[typ] = map[string]string{}, map[string]string{}
		}
		for _, r := range list {
			n.delivered[r.Version]++
			n.upserts++
			n.versions[typ][r.Name] = r.Version
			if n.reject != nil {
				if why := n.reject(r); why != "" {
					n.refused[r.Name] = &nodev1.Rejection{TypeUrl: typ, Name: r.Name, Version: r.Version, Reason: why}
					continue
				}
			}
			delete(n.refused, r.Name)
			n.content[typ][r.Name] = string(r.Body)
		}
	}
	return slices.Collect(maps.Values(n.refused)), nil
}

func (n *node) Presence(_ context.Context, typeURL string, upserts []ads.Resource, removed []string, full bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if full {
		maps.DeleteFunc(n.health, func(name, _ string) bool {
			return strings.HasPrefix(name, strings.ToLower(resource.ShortType(typeURL))+"/")
		})
		n.fulls++
	}
	for _, r := range upserts {
		n.health[r.Name] = string(r.Body)
	}
	for _, name := range removed {
		delete(n.health, name)
	}
}

// view is what the node has applied, in the form of world.view.
func (n *node) view() map[string]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := map[string]string{}
	for typ, m := range n.content {
		for name, content := range m {
			out[resource.ShortType(typ)+" "+name] = content
		}
	}
	return out
}

func (n *node) revision() model.Revision {
	n.mu.Lock()
	defer n.mu.Unlock()
	return model.Revision(n.cp.GetRevision())
}

func (n *node) get(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// reach waits until the node has applied a revision.
func (n *node) reach(t testing.TB, rev model.Revision) {
	t.Helper()
	eventually(t, func() bool { return n.revision() >= rev }, func() string { return fmt.Sprintf("at %d, want %d", n.revision(), rev) })
}

// equal checks that the node holds what the world says.
func (n *node) equal(t testing.TB, w *world) {
	t.Helper()
	if got, want := n.view(), w.view(n.Reader); !maps.Equal(got, want) {
		t.Errorf("node holds %v\nwant %v", got, want)
	}
	n.get(func() {
		if len(n.wrong) > 0 {
			t.Errorf("%v", n.wrong)
		}
	})
}

func eventually(t testing.TB, done func() bool, state func() string) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(patience)
	defer end.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("did not happen: %s", state())
		}
	}
}

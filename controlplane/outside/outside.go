// Package outside asks nodes at their public addresses what a client would, since what they say of themselves does not
// tell whether anybody reaches them.
package outside

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/model"
)

// Pace and bounds of asking: what breaks is known after every and two times askTime.
const (
	every   = 3 * time.Second
	askTime = 1500 * time.Millisecond
	asking  = 32 // nodes at a time
	// reaching is how long an answer of any node proves that there is a way out of here.
	reaching = time.Minute
)

// Options is what a Watch is made of.
type Options struct {
	World *model.Current
	// Dial opens connections to public addresses of nodes; nil: as the host does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  *slog.Logger
	Reg  prometheus.Registerer
}

// Watch asks again and again, and keeps the last answers in memory. Silence says something only of a node that has
// answered before, or while others answer: who reaches nobody may be the one who is cut off. Safe for concurrent use.
type Watch struct {
	with Options
	ask  func(ctx context.Context, q question) answers // replaced in tests of time
	m    metrics

	mu    sync.Mutex
	nodes map[model.NodeID]*known // guarded by mu
}

// known is what is known of a node.
type known struct {
	tls, dns         hops.Answer
	tlsFine, dnsFine time.Time // last answer; zero: never
	oldSince         time.Time // it answers with an older certificate; zero: it does not
	old              bool      // for longer than that takes to settle
}

type metrics struct {
	silent *prometheus.GaugeVec
	older  prometheus.Gauge
}

// New makes a Watch; Run does the work.
func New(o Options) *Watch {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	w := &Watch{with: o, nodes: map[model.NodeID]*known{}, m: metrics{
		silent: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cp_outside_silent_nodes", Help: "Nodes that do not answer this replica at their public addresses, by what they are asked for.",
		}, []string{"kind"}),
		older: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cp_outside_older_certificates", Help: "Nodes that have answered this replica for a minute with a certificate that another one has taken the place of.",
		}),
	}}
	w.ask = asker{o.Dial}.ask
	o.Reg.MustRegister(w.m.silent, w.m.older)
	return w
}

// String names the task.
func (w *Watch) String() string { return "outside" }

// Run asks until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// question is what one node is asked.
type question struct {
	node model.NodeID
	tls  []netip.AddrPort
	name string // a hostname that the node answers for; "": it has none
	dns  []netip.AddrPort
	zone string // "": it has none
}

// answers are why there was none, or nil.
type answers struct {
	tls, dns error
	serial   *uint32 // of the zone; nil: it was not said
	leaf     []byte  // of the certificate that was shown; nil: none was
}

// look asks all nodes once.
func (w *Watch) look(ctx context.Context) {
	m := w.with.World.Get()
	names := hops.Hostnames(m)
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(asking)
	there := map[model.NodeID]bool{}
	for n := range m.Nodes() {
		if !n.Enrolled() || len(n.Addresses) == 0 {
			continue
		}
		there[n.ID] = true
		q := about(m, n, names[n.Pool])
		g.Go(func() error {
			if a := w.ask(each, q); each.Err() == nil {
				w.note(q, a, older(m, q.name, a.leaf))
			}
			return nil
		})
	}
	_ = g.Wait() // nobody fails
	w.forget(there)
}

func about(m *model.Model, n *model.Node, name string) question {
	q := question{node: n.ID, name: name}
	port := uint16(model.StreamPort)
	if at := n.Stream().Addr; at.IsValid() {
		port = at.Port()
	}
	for _, a := range n.Addresses {
		q.tls = append(q.tls, netip.AddrPortFrom(a, port))
	}
	for _, a := range n.Addresses {
		if !a.IsLoopback() { // no resolver asks there, so the node's DNS may listen where it likes
			q.dns = append(q.dns, netip.AddrPortFrom(a, 53))
		}
	}
	for d := range m.DomainsOf(n.Pool) {
		if len(q.dns) > 0 {
			q.zone = d.Name
		}
		break
	}
	return q
}

func (w *Watch) note(q question, a answers, old bool) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.nodes[q.node]
	if k == nil {
		k = &known{}
		w.nodes[q.node] = k
	}
	w.take(q.node, "tls", &k.tls, &k.tlsFine, now, a.tls)
	w.settle(q, k, old, now)
	if q.zone == "" {
		k.dns = hops.Answer{}
		return
	}
	w.take(q.node, "dns", &k.dns, &k.dnsFine, now, a.dns)
	k.dns.Serial = a.serial
}

// take keeps an answer. It needs the lock.
func (w *Watch) take(id model.NodeID, kind string, a *hops.Answer, fine *time.Time, now time.Time, err error) {
	was := a.Silent
	if errors.Is(err, errNoWay) {
		*a = hops.Answer{}
		return
	}
	*a = hops.Answer{At: now, Silent: err != nil}
	if err != nil {
		a.Err = err.Error()
	} else {
		*fine = now
	}
	if was != a.Silent {
		w.with.Log.Info("a node's answer to the outside changed", "node", id.String(), "kind", kind, "silent", a.Silent, "err", err)
	}
}

// forget drops nodes that are gone, and counts.
func (w *Watch) forget(there map[model.NodeID]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tls, dns, old := 0, 0, 0
	for id, k := range w.nodes {
		if !there[id] {
			delete(w.nodes, id)
			continue
		}
		if k.tls.Silent {
			tls++
		}
		if k.old {
			old++
		}
		if k.dns.Silent {
			dns++
		}
	}
	w.m.silent.WithLabelValues("tls").Set(float64(tls))
	w.m.silent.WithLabelValues("dns").Set(float64(dns))
	w.m.older.Set(float64(old))
}

// Sight is what was seen of a node.
func (w *Watch) Sight(id model.NodeID) hops.Sight {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.nodes[id]
	if k == nil {
		return hops.Sight{}
	}
	s := hops.Sight{TLS: k.tls, DNS: k.dns, Older: k.old}
	if k.tls.Silent && k.tlsFine.IsZero() && !w.reaches(now, func(k *known) time.Time { return k.tlsFine }) {
		s.TLS = hops.Answer{}
	}
	if k.dns.Silent && k.dnsFine.IsZero() && !w.reaches(now, func(k *known) time.Time { return k.dnsFine }) {
		s.DNS = hops.Answer{}
	}
	return s
}

// reaches reports whether any node has answered lately. It needs the lock.
func (w *Watch) reaches(now time.Time, fine func(*known) time.Time) bool {
	for _, k := range w.nodes {
		if at := fine(k); !at.IsZero() && now.Sub(at) < reaching {
			return true
		}
	}
	return false
}

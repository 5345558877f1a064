package ordering

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/test/bench/measure"
)

// lag is how much later a node applies what there is, at most.
const lag = 2 * time.Second

// zonesAndHosts are for a number of orders: in each zone one of apex and wildcard, and one of a wildcard below.
func zonesAndHosts(orders int) (zones, hosts []string) {
	for i := range orders / 2 {
		z := fmt.Sprintf("z%d.test", i)
		zones, hosts = append(zones, z), append(hosts, "*."+z, "*.below."+z)
	}
	return zones, hosts
}

// prober asks all the time, at one node after the other, names that wildcards answer: beside challenges and where they are. Whatever a node that
// was up all along does not answer with addresses counts, silence too.
type prober struct {
	asked, denied int
	why           string
}

// How long things may take on a busy machine: one answer, and all orders. A process that gets nine seconds of a processor in four minutes
// was seen not to be done after three.
const (
	patience = time.Minute
	patient  = 8 * time.Minute
)

func (p *prober) run(ctx context.Context, f fleet, zones []string, dice *rand.Rand) {
	c := dns.Client{Timeout: patience}
	for rest(ctx, 2*time.Millisecond) {
		n := f[dice.IntN(len(f))]
		labels := []string{"beside.", "beside.below.", "_acme-challenge.", "_acme-challenge.below."}
		name := labels[dice.IntN(len(labels))] + zones[dice.IntN(len(zones))] + "."
		turn, up := n.standing()
		in, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), netip.AddrPortFrom(n.row.Addresses[0], n.dnsPort).String())
		if now, _ := n.standing(); !up || now != turn {
			continue // it has restarted
		}
		p.asked++
		switch {
		case err != nil:
			p.denied++
			p.why = fmt.Sprintf("%s at %s: %v", name, n.row.Name, err)
		case in.Rcode != dns.RcodeSuccess || len(in.Answer) == 0:
			p.denied++
			p.why = fmt.Sprintf("%s at %s: %s, %d answers", name, n.row.Name, dns.RcodeToString[in.Rcode], len(in.Answer))
		}
	}
}

// order has so many certificates ordered at once while nodes lag and restart, and fails unless each took one order, no validation
// failed, and wildcards went on.
func order(t testing.TB, count int, c acmetest.Config, faults acmetest.Faults, limit time.Duration) (took time.Duration, r *rig, p *prober) {
	zones, hosts := zonesAndHosts(count)
	r = newRig(t, lag, c, zones...)
	r.proxy.Set(faults)
	r.publish(t, hosts...)
	ctx, cancel := context.WithCancel(t.Context())
	var beside sync.WaitGroup
	defer func() { cancel(); beside.Wait() }()
	p = &prober{}
	asking, restarting := rand.New(rand.NewPCG(r.dice.Uint64(), 0)), rand.New(rand.NewPCG(r.dice.Uint64(), 0))
	beside.Go(func() { p.run(ctx, r.nodes, zones, asking) })
	beside.Go(func() { r.nodes.restart(ctx, t, restarting) })
	begin := time.Now()
	r.work(t, r.gate(), model.DNS01)
	all := r.issued(t, count, limit)
	took = time.Since(begin)
	cancel()
	beside.Wait()
	if len(all) != count {
		t.Errorf("%d orders for %d certificates", len(all), count)
	}
	for names, n := range r.proxy.NewOrders() {
		if n != 1 {
			t.Errorf("%d orders of %s at the authority", n, names)
		}
	}
	if f := r.proxy.FailedValidations(); len(f) > 0 {
		t.Errorf("failed validations: %v", f)
	}
	if f := r.proxy.InvalidOrders(); len(f) > 0 {
		t.Errorf("invalid orders: %v", f)
	}
	if p.denied > 0 || p.asked == 0 {
		t.Errorf("%d of %d questions below wildcards not answered, the last %s", p.denied, p.asked, p.why)
	}
	restarts := int64(0)
	for _, n := range r.nodes {
		restarts += n.restarts.Load()
	}
	if restarts == 0 {
		t.Error("no node has restarted")
	}
	t.Logf("%d orders in %v, %d restarts, %d questions; %s", count, took, restarts, p.asked, r.proxy)
	return took, r, p
}

// Orders over five nodes that apply with random delays of up to two seconds and restart in between, Unbound before Pebble.
func TestNodesLagAndRestart(t *testing.T) {
	order(t, 80, acmetest.Config{}, acmetest.Faults{}, patient)
}

// The same at an authority that rejects half of the nonces, fails, loses answers after the work was done, limits and answers with HTML.
func TestHostileAuthority(t *testing.T) {
	faults := acmetest.Faults{Fail: 0.2, Lose: 0.1, Limit: 0.005, HTML: 0.02, HTMLAfter: 0.02, LimitFor: 2 * time.Second}
	order(t, 12, acmetest.Config{NonceReject: 50}, faults, patient)
}

// Without the gate the same nodes make authorities refuse: what is proved above is the gate's doing.
func TestWithoutTheGate(t *testing.T) {
	refused := false
	for _, c := range []struct{ late, limit time.Duration }{
		{lag, time.Minute},
		{time.Hour, patient}, // two seconds may be less than a busy machine takes to have a proof looked at
	} {
		if refused {
			break
		}
		t.Run(c.late.String(), func(t *testing.T) {
			zones, hosts := zonesAndHosts(20)
			r := newRig(t, lag, acmetest.Config{}, zones...)
			r.publish(t, hosts...)
			for _, n := range r.nodes {
				n.lag.Store(int64(c.late))
			}
			r.work(t, ungated{}, model.DNS01)
			for end := time.Now().Add(c.limit); !refused && time.Now().Before(end); rest(t.Context(), 50*time.Millisecond) {
				refused = len(r.proxy.FailedValidations()) > 0
			}
			t.Log(r.proxy)
		})
	}
	if !refused {
		t.Error("no validation has failed")
	}
}

// Pebble dials the TLS port of nodes that the name leads to, and gets the proof from whichever it asks (RFC 8737). Port 80, which would
// be as good and is asked first, is open at no node.
func TestTLSALPN(t *testing.T) {
	r := newRig(t, lag/4, acmetest.Config{}, "alpn.test")
	hosts := []string{"www.alpn.test", "mail.alpn.test", "deep.below.alpn.test"}
	r.publish(t, hosts...)
	r.tx(t, func(tx *store.Tx) error { // not delegated: each name by itself
		ds, err := tx.ListDomainsCovering(t.Context(), "alpn.test")
		if err != nil {
			return err
		}
		now := time.Now()
		if _, err := tx.ClaimDomainFinding(t.Context(), ds[0].ID, hosts, now, now.Add(time.Minute)); err != nil {
			return err
		}
		return tx.SetDomainFinding(t.Context(), &model.DomainFinding{Domain: ds[0].ID, Provable: hosts, Found: now, NextCheck: now.Add(time.Hour)})
	})
	r.work(t, r.gate(), model.TLSALPN01, model.HTTP01)
	all := r.issued(t, len(hosts), patient)
	if len(all) != len(hosts) || len(r.proxy.FailedValidations()) > 0 {
		t.Errorf("%d orders, failed validations: %v", len(all), r.proxy.FailedValidations())
	}
	for _, o := range all {
		if len(o.Names) != 1 || strings.HasPrefix(o.Names[0], "*.") {
			t.Errorf("ordered %v", o.Names)
		}
	}
}

// BenchmarkThousandOrders has a thousand certificates ordered at once.
func BenchmarkThousandOrders(b *testing.B) {
	const count = 1000
	for b.Loop() {
		took, r, p := order(b, count, acmetest.Config{}, acmetest.Faults{}, 20*time.Minute)
		restarts := int64(0)
		for _, n := range r.nodes {
			restarts += n.restarts.Load()
		}
		err := measure.Figure{
			"bench": "orders over five nodes that lag by up to 2 s and restart", "orders": count, "seconds": measure.Round(took.Seconds()), "restarts": restarts,
			"failed_validations": len(r.proxy.FailedValidations()), "want": "failed_validations == 0, unanswered == 0", "questions_below_wildcards": p.asked, "unanswered": p.denied,
		}.Print(os.Stdout)
		if err != nil {
			b.Fatal(err)
		}
	}
}

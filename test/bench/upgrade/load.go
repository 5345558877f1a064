package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/warrenedge/warren/test/bench/load"
	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// What is asked meanwhile. Requests may wait: a program that is started again in place lets them.
const (
	keptRate, freshRate = 50, 20 // per second: seven programs begin and end beside it
	conns               = 64
	patience            = 15 * time.Second
	callEvery           = 200 * time.Millisecond
)

// clients follow DNS, by connections that they keep and by new ones; beside them somebody calls the API.
type clients struct {
	*load.Load
	calling sync.WaitGroup
	cancel  context.CancelFunc // of the calls

	mu      sync.Mutex
	calls   int      // guarded by mu
	refused []string // guarded by mu; why calls failed
}

// load starts the clients and returns once they have asked for a while.
func (b *bench) load(ctx context.Context) (*clients, error) {
	roots, err := b.Roots()
	if err != nil {
		return nil, err
	}
	probes := []lab.Probe{{Rate: keptRate}, {Rate: freshRate, Fresh: true}}
	for i := range probes {
		p := &probes[i]
		p.From, p.URL, p.Timeout, p.Conns = b.Client, "https://"+app+"/", patience, conns
		p.TLS, p.Resolve = &tls.Config{RootCAs: roots}, lab.Resolver(b.Client, b.Client.Addr)
	}
	l := &clients{}
	if l.Load, err = load.Start(ctx, probes...); err != nil {
		return nil, err
	}
	ctx, l.cancel = context.WithCancel(ctx)
	l.calling.Go(func() {
		for measure.Pause(ctx, callEvery) == nil {
			err := b.API(context.WithoutCancel(ctx), http.MethodGet, "/api/v1/nodes", nil, nil)
			l.called(err)
		}
	})
	return l, nil
}

func (l *clients) called(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if err != nil {
		l.refused = append(l.refused, err.Error())
		fmt.Fprintln(os.Stderr, "a call of the API failed:", err)
	}
}

// seen is what clients saw.
type seen struct {
	sent, failed, lost int
	failures           map[string]int
	at                 []string // what was done when requests failed, how many
	longestGap         time.Duration
	calls, refused     int
}

// end lets the clients finish and accounts for them. It may be repeated.
func (l *clients) end() seen {
	l.cancel()
	l.calling.Wait()
	s := seen{failures: map[string]int{}, calls: l.calls, refused: len(l.refused)}
	for _, r := range l.End() {
		s.sent, s.failed, s.lost = s.sent+r.Sent, s.failed+r.Failed, s.lost+r.Lost
		s.longestGap = max(s.longestGap, r.LongestGap)
		for why, n := range r.Failures {
			s.failures[why] += n
		}
		for _, h := range r.Heals {
			if h.Failed > 0 {
				s.at = append(s.at, fmt.Sprintf("%s: %d", h.Event, h.Failed))
			}
		}
	}
	return s
}

// named asks a node's own DNS for the addresses of the service.
func (b *bench) named(n *cluster.Node) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return b.Named(ctx, n, app)
}

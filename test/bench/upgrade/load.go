package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

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

// load is clients that follow DNS, by connections that they keep and by new ones, and somebody who calls the API.
type load struct {
	probers []*lab.Prober
	running sync.WaitGroup
	cancel  context.CancelFunc

	mu      sync.Mutex
	calls   int      // guarded by mu
	refused []string // guarded by mu; why calls failed
}

// load starts the clients and returns once they have asked for a while.
func (b *bench) load(ctx context.Context) (*load, error) {
	pem, err := os.ReadFile(b.WebCA())
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	l := &load{}
	for _, p := range []lab.Probe{{Rate: keptRate}, {Rate: freshRate, Fresh: true}} {
		p.From, p.URL, p.Timeout, p.Conns = b.Client, "https://"+app+"/", patience, conns
		p.TLS, p.Resolve = &tls.Config{RootCAs: roots}, lab.Resolver(b.Client, b.Client.Addr)
		prober, err := lab.NewProber(p)
		if err != nil {
			return nil, err
		}
		l.probers = append(l.probers, prober)
	}
	ctx, l.cancel = context.WithCancel(ctx)
	for _, p := range l.probers {
		l.running.Go(func() { _ = p.Run(ctx) })
	}
	l.running.Go(func() {
		for pause(ctx, callEvery) == nil {
			err := b.API(context.WithoutCancel(ctx), http.MethodGet, "/api/v1/nodes", nil, nil)
			l.called(err)
		}
	})
	return l, pause(ctx, 1500*time.Millisecond)
}

func (l *load) called(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if err != nil {
		l.refused = append(l.refused, err.Error())
		fmt.Fprintln(os.Stderr, "a call of the API failed:", err)
	}
}

func (l *load) mark(event string) {
	for _, p := range l.probers {
		p.Mark(event)
	}
}

// seen is what clients saw.
type seen struct {
	sent, failed, lost int
	failures           map[string]int
	longestGap         time.Duration
	calls, refused     int
}

// end lets the clients finish and accounts for them.
func (l *load) end() seen {
	l.cancel()
	l.running.Wait()
	s := seen{failures: map[string]int{}, calls: l.calls, refused: len(l.refused)}
	for _, p := range l.probers {
		r := p.Report()
		s.sent, s.failed, s.lost = s.sent+r.Sent, s.failed+r.Failed, s.lost+r.Lost
		s.longestGap = max(s.longestGap, r.LongestGap)
		for why, n := range r.Failures {
			s.failures[why] += n
		}
		for _, h := range r.Heals {
			if h.Failed > 0 {
				fmt.Fprintf(os.Stderr, "%d requests failed at %s\n", h.Failed, h.Event)
			}
		}
	}
	return s
}

// named asks a node's own DNS for the addresses of the service.
func (b *bench) named(n *cluster.Node) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return b.Client.Dial(ctx, network, netip.AddrPortFrom(n.Host.Addr, 53))
	}}
	addrs, err := r.LookupHost(ctx, app+".")
	if err == nil && len(addrs) == 0 {
		err = errors.New("no address")
	}
	return addrs, err
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// How requests are sent. The rounds of the paths take turns, so that what else the machine does meets all of them.
const (
	rounds   = 2
	keptEach = 4000 // requests on kept connections, of each round
	newEach  = 1000 // requests on a new connection each
	workers  = 4
	p99Rate  = 200 // a second
	p99Slice = 500 * time.Millisecond
	p99Turns = 16
)

// A way is one system under HTTP.
type way struct {
	name     string
	programs []*lab.Process
	url      string
	dial     func(ctx context.Context) (net.Conn, error)
	tls      *tls.Config

	steadily    *http.Transport // of steady, kept between its slices
	kept, fresh time.Duration   // processor time
	took        []time.Duration
	failed      int
}

// http compares what requests cost by each path, without delay.
func (b *bench) http(ctx context.Context) error {
	var ways []*way
	for _, name := range []string{stream, frp, chisel, wireguard} {
		p := b.paths[name]
		ways = append(ways, &way{name: name, programs: p.programs, url: "http://target/", dial: func(ctx context.Context) (net.Conn, error) { return p.dial(ctx, webPort) }})
	}
	https, err := b.https("warren, stream carrier, TLS and HTTP at the node", b.node, b.Sites[0], b.paths[stream].programs)
	if err != nil {
		return err
	}
	ways = append(ways, https)
	if err := inTurns(ctx, ways, rounds); err != nil {
		return err
	}
	for _, w := range ways {
		f := measure.Figure{
			"bench": "HTTP", "path": w.name, "cpu_ms_per_kept_request": measure.Milliseconds(w.kept / (rounds * keptEach)), "cpu_ms_per_new_connection": measure.Milliseconds(w.fresh / (rounds * newEach)),
			"p50_ms_at_200_per_s": measure.Milliseconds(measure.Quantile(w.took, 0.5)), "p99_ms_at_200_per_s": measure.Milliseconds(measure.Quantile(w.took, 0.99)), "failed": w.failed,
		}
		if w == ways[0] {
			peer := ways[1]
			f["kept_of_frp"] = measure.Round(float64(w.kept) / float64(peer.kept))
			f["new_of_frp"] = measure.Round(float64(w.fresh) / float64(peer.fresh))
			f["p99_of_frp"] = measure.Round(float64(measure.Quantile(w.took, 0.99)) / float64(measure.Quantile(peer.took, 0.99)))
			f["wanted"] = "kept <= 0.8, new <= 1, p99 <= 1 of frp"
		}
		if err := f.Print(os.Stdout); err != nil {
			return err
		}
	}
	return nil
}

// https is the service of a site whose TLS ends at a node; the peers' servers have nothing like it.
func (b *bench) https(called string, n *cluster.Node, s *cluster.Site, programs []*lab.Process) (*way, error) {
	pem, err := os.ReadFile(b.WebCA())
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	name := "app" + s.Name + "." + cluster.Domain
	return &way{
		name: called, programs: programs, url: "https://" + name + "/", tls: &tls.Config{RootCAs: roots, ServerName: name},
		dial: func(ctx context.Context) (net.Conn, error) {
			return b.Client.Dial(ctx, "tcp", netip.AddrPortFrom(n.Host.Addr, 443))
		},
	}, nil
}

func (w *way) client(fresh bool) *http.Transport {
	return &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return w.dial(ctx) },
		TLSClientConfig:   w.tls,
		DisableKeepAlives: fresh, MaxIdleConnsPerHost: workers, MaxConnsPerHost: 64,
	}
}

func get(ctx context.Context, c *http.Transport, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := c.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return err
}

// inTurns sends requests by each way: rounds for the processor time, then short slices for the times that they take,
// so that a moment in which the machine does something else meets all of them.
func inTurns(ctx context.Context, ways []*way, rounds int) error {
	for range rounds {
		for _, w := range ways {
			if err := w.round(ctx); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	for _, w := range ways {
		w.steadily = w.client(false)
		defer w.steadily.CloseIdleConnections()
		if err := get(ctx, w.steadily, w.url); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	for range p99Turns {
		for _, w := range ways {
			if err := w.steady(ctx); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	return nil
}

func (w *way) round(ctx context.Context) error {
	kept, err := w.spent(ctx, keptEach, false)
	if err != nil {
		return fmt.Errorf("kept connections: %w", err)
	}
	fresh, err := w.spent(ctx, newEach, true)
	if err != nil {
		return fmt.Errorf("new connections: %w", err)
	}
	w.kept += kept
	w.fresh += fresh
	return nil
}

// spent sends requests one after the other from a few clients and returns the processor time of the programs.
func (w *way) spent(ctx context.Context, requests int, fresh bool) (time.Duration, error) {
	c := w.client(fresh)
	defer c.CloseIdleConnections()
	if err := get(ctx, c, w.url); err != nil {
		return 0, err
	}
	before, err := measure.CPU(w.programs...)
	if err != nil {
		return 0, err
	}
	errs := make(chan error, workers)
	for range workers {
		go func() {
			var failed error
			for i := 0; i < requests/workers && failed == nil; i++ {
				failed = get(ctx, c, w.url)
			}
			errs <- failed
		}()
	}
	for range workers {
		if e := <-errs; e != nil {
			err = e
		}
	}
	if err != nil {
		return 0, err
	}
	after, err := measure.CPU(w.programs...)
	return after - before, err
}

// steady sends a slice of requests when they are due, whatever became of those before.
func (w *way) steady(ctx context.Context) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	defer wg.Wait()
	start := time.Now()
	for i := range int(p99Slice * p99Rate / time.Second) {
		if err := measure.Pause(ctx, time.Until(start.Add(time.Duration(i)*time.Second/p99Rate))); err != nil {
			return err
		}
		wg.Go(func() {
			sent := time.Now()
			err := get(ctx, w.steadily, w.url)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				w.failed++
				return
			}
			w.took = append(w.took, time.Since(sent))
		})
	}
	return nil
}

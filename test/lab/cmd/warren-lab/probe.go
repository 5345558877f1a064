package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/warrenedge/warren/test/lab"
)

// probe is a prober that runs beside the console.
type probe struct {
	prober *lab.Prober
	cancel context.CancelFunc
	done   chan struct{}
}

// startProbe starts one, or reports of the one that runs.
func (k *console) startProbe(ctx context.Context, args []string) error {
	if k.probe != nil {
		fmt.Fprintln(k.out, k.probe.prober.Report())
		return nil
	}
	rate := 20.0
	if len(args) > 0 {
		var err error
		if rate, err = strconv.ParseFloat(args[0], 64); err != nil {
			return fmt.Errorf("rate %q: want a number", args[0])
		}
	}
	roots, err := k.cluster.Roots()
	if err != nil {
		return err
	}
	resolve := lab.Resolver(k.cluster.Client, k.cluster.Client.Addr)
	if len(args) == 2 {
		h, err := k.cluster.Host(args[1])
		if err != nil {
			return err
		}
		resolve = func(context.Context, string) (netip.Addr, error) { return h.Addr, nil }
	}
	p, err := lab.NewProber(lab.Probe{From: k.cluster.Client, URL: "https://" + app + "/", Rate: rate, TLS: &tls.Config{RootCAs: roots}, Resolve: resolve})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	k.probe = &probe{prober: p, cancel: cancel, done: make(chan struct{})}
	go func(done chan struct{}) { _ = p.Run(ctx); close(done) }(k.probe.done)
	return nil
}

func (k *console) endProbe(context.Context, []string) error {
	if k.probe == nil {
		return fmt.Errorf("no probe runs")
	}
	p := k.probe.prober
	k.stopProbe()
	fmt.Fprintln(k.out, p.Report())
	return nil
}

func (k *console) stopProbe() {
	if k.probe == nil {
		return
	}
	k.probe.cancel()
	<-k.probe.done
	k.probe = nil
}

// marked tells the probe that something was done, if it was.
func (k *console) marked(what string, err error) error {
	if err == nil && k.probe != nil {
		k.probe.prober.Mark(what)
	}
	return err
}

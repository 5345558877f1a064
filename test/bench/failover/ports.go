package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// A service's ports are moved so often, from the first port on.
const (
	moves     = 20
	firstPort = 21000
)

// portsMoved moves a TCP service to another port by one call of the API, again and again, and measures until every node
// takes connections there, and none at the port before.
func (b *bench) portsMoved(ctx context.Context) error {
	put := func(noun, body string) error {
		return b.API(ctx, http.MethodPut, "/api/v1/orgs/default/"+noun+"/ports", strings.NewReader(body), nil)
	}
	move := func(port int) error {
		return put("services", fmt.Sprintf(`{"kind":"tcp","ports":"%d","pool":"default"}`, port))
	}
	if err := errors.Join(move(firstPort), put("targets", fmt.Sprintf(`{"service":"ports","site":%q,"address":"10.77.1.10","port":8080}`, b.Sites[0].Name))); err != nil {
		return err
	}
	if err := b.Until(ctx, "the first port is open", func() error { return b.open(ctx, firstPort, true) }); err != nil {
		return err
	}
	var opened, closed []time.Duration
	for i := range moves {
		port := firstPort + i
		since := time.Now()
		if err := move(port + 1); err != nil {
			return err
		}
		var wg sync.WaitGroup
		errs, took := make([]error, 2), make([]time.Duration, 2)
		for k, open := range []bool{true, false} {
			wg.Go(func() {
				for errs[k] = measure.Pause(ctx, 0); errs[k] == nil && b.open(ctx, port+1-k, open) != nil; errs[k] = measure.Pause(ctx, 5*time.Millisecond) {
				}
				took[k] = time.Since(since)
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		opened, closed = append(opened, took[0]), append(closed, took[1])
	}
	for _, noun := range []string{"targets", "services"} {
		if err := b.API(ctx, http.MethodDelete, "/api/v1/orgs/default/"+noun+"/ports", nil, nil); err != nil {
			return err
		}
	}
	return measure.Figure{
		"bench": "a service's port moved by one call of the API, until every node", "moves": moves,
		"opened_p50_ms": measure.Milliseconds(measure.Quantile(opened, 0.5)), "opened_max_ms": measure.Milliseconds(measure.Quantile(opened, 1)),
		"closed_p50_ms": measure.Milliseconds(measure.Quantile(closed, 0.5)), "closed_max_ms": measure.Milliseconds(measure.Quantile(closed, 1)), "wanted": "<= 1000 ms",
	}.Print(os.Stdout)
}

// open returns nil when every node takes connections at a port, or none does.
func (b *bench) open(ctx context.Context, port int, want bool) error {
	try := func(n *cluster.Node) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		c, err := b.Client.Dial(ctx, "tcp", netip.AddrPortFrom(n.Host.Addr, uint16(port)))
		if err == nil {
			_ = c.Close()
		}
		if is := err == nil; is != want {
			return fmt.Errorf("%s: port %d open: %v, %w", n.Name, port, is, err)
		}
		return nil
	}
	for _, n := range b.Nodes {
		if err := try(n); err != nil {
			return err
		}
	}
	return nil
}

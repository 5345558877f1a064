package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/warrenedge/warren/dataplane/join"
	"github.com/warrenedge/warren/dataplane/streams"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/wgkey"
	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab/cluster"
)

const (
	peersNet = "198.19.0.0/16"
	upFormat = "%d peers are up"
	calls    = 15 * time.Millisecond // between two calls of the API: a key may make a hundred a second
	apart    = 20 * time.Millisecond // of beginnings: the node shakes hands with each, and its processor is the peers'
)

// node is what peers have to know of it.
type node struct {
	ID             string
	Key            wgkey.Public
	Overlay        netip.Addr
	WireGuard, TLS netip.AddrPort
}

// orders are what the peers' program is told.
type orders struct {
	Dir     string
	Control string
	Node    node
	Tokens  map[string]string // by the connector's name
}

var saidUp = regexp.MustCompile(`tunnel up .*addr="?([0-9a-f:]+)"? .*key="?([A-Za-z0-9+/]{43}=)`)

// enlist makes sites with a connector each, and the tokens with which those join.
func enlist(ctx context.Context, c *cluster.Cluster, sites int) (string, error) {
	n := c.Nodes[0]
	o := orders{Dir: filepath.Join(c.Dir, "peers"), Control: "198.18.1.10:8443", Tokens: map[string]string{}}
	m := saidUp.FindStringSubmatch(n.Proc.Log())
	if m == nil {
		return "", errors.New("the node's log does not say its key")
	}
	var of struct {
		ID string `json:"id"`
	}
	err := errors.Join(o.Node.Key.UnmarshalText([]byte(m[2])), c.API(ctx, http.MethodGet, "/api/v1/nodes/"+n.Name, nil, &of))
	if err != nil {
		return "", err
	}
	o.Node.ID, o.Node.Overlay = of.ID, netip.MustParseAddr(m[1])
	o.Node.WireGuard, o.Node.TLS = netip.AddrPortFrom(n.Host.Addr, 51820), netip.AddrPortFrom(n.Host.Addr, 443)
	var names []string
	for i := range sites {
		names = append(names, fmt.Sprintf("idle%d", i))
	}
	slow := time.NewTicker(calls)
	defer slow.Stop()
	var token struct {
		Token string `json:"token"`
	}
	call := func(method, path, body string) error { // all of these may be said twice
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-slow.C:
		}
		return c.Until(ctx, path, func() error { return c.API(ctx, method, path, strings.NewReader(body), &token) })
	}
	for _, name := range names {
		err := call(http.MethodPut, "/api/v1/orgs/default/sites/"+name, `{"pool":"default"}`)
		if err == nil {
			err = call(http.MethodPut, "/api/v1/orgs/default/connectors/"+name, fmt.Sprintf(`{"site":%q}`, name))
		}
		if err != nil {
			return "", err
		}
	}
	for _, name := range names { // last, as a token is good for ten minutes
		if err := call(http.MethodPost, "/api/v1/join-tokens", fmt.Sprintf(`{"organization":"default","connector":%q}`, name)); err != nil {
			return "", err
		}
		o.Tokens[name] = token.Token
	}
	b, err := json.Marshal(o)
	return string(b), err
}

// runPeers joins and keeps both carriers of each connector up until ctx ends. It prints how many are.
func runPeers(ctx context.Context, file string) error {
	b, err := os.ReadFile(file)
	var o orders
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err != nil {
		return err
	}
	ids, err := o.join(ctx)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var beats []*peer
	reg := prometheus.NewRegistry()
	for i, id := range ids {
		p, err := newPeer(id, netip.AddrFrom4([4]byte{198, 19, byte(i >> 8), byte(i)}), o.Node)
		if err != nil {
			return err
		}
		beats = append(beats, p)
		dials := streams.NewConnector(streams.Options{
			Credentials: identity.Credentials{Cluster: id.Cluster, Certificate: id.Certificate, Authorities: id.Authorities},
			As:          identity.Connector, Handler: func(context.Context, net.Conn, string) {}, TUN: func() bool { return false }, Watched: p.beats.Lean,
			Log: slog.New(slog.DiscardHandler), Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"peer": id.ID}, reg),
		})
		dials.Apply(streams.ConnectorConfig{Nodes: map[string]endpoint.Endpoint{o.Node.ID: endpoint.At(o.Node.TLS)}})
		running.Go(func() { _ = p.run(ctx) })
		running.Go(func() { _ = dials.Run(ctx) })
		if measure.Pause(ctx, apart) != nil {
			return nil
		}
	}
	for {
		up := 0
		for _, p := range beats {
			if p.beats.Up(o.Node.ID) {
				up++
			}
		}
		streams, err := dialled(reg)
		if err != nil {
			return err
		}
		fmt.Printf(upFormat+"\n", min(up, streams))
		if measure.Pause(ctx, 2*time.Second) != nil {
			return nil
		}
	}
}

// dialled counts peers whose control connection is up.
func dialled(reg *prometheus.Registry) (n int, err error) {
	all, err := reg.Gather()
	if err != nil {
		return 0, err
	}
	for _, f := range all {
		if f.GetName() == "node_connector_stream_nodes" {
			for _, m := range f.GetMetric() {
				n += int(m.GetGauge().GetValue())
			}
		}
	}
	return n, nil
}

// join gives every connector its identity.
func (o orders) join(ctx context.Context) ([]*join.Identity, error) {
	var mu sync.Mutex
	var ids []*join.Identity
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for name, token := range o.Tokens {
		g.Go(func() error {
			id, err := join.Load(ctx, join.Options{
				Dir: filepath.Join(o.Dir, name), Name: name, Kind: identity.Connector, Token: token, Control: []string{o.Control}, Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, id)
			return nil
		})
	}
	return ids, g.Wait()
}

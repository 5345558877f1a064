// Package idle measures what sites cost a node that do nothing. The node is a process of its own, made of the parts of
// warren-node that know of sites; its connectors are in another process and don't count.
package idle

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/reach"
	"github.com/warrenedge/warren/dataplane/sni"
	"github.com/warrenedge/warren/dataplane/streams"
	"github.com/warrenedge/warren/dataplane/tunnel"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/wgkey"
)

// nodeVariable makes of the test's program the node.
const nodeVariable = "WARREN_BENCH_NODE"

// order is what the node is told, a line of JSON each time.
type order struct {
	Cluster, Cert, Key, CA string // PEM; in the first order
	Addr                   netip.Addr
	Sites                  []site
}

type site struct {
	ID   string
	Key  []byte // of WireGuard, public
	Addr netip.Addr
}

// word is what the node says after each order.
type word struct {
	TLS       netip.AddrPort
	WireGuard uint16
	Key       []byte
	Up        int
	Heap      uint64 // in use, with stacks
}

// TestMain is the node, if it is told to be.
func TestMain(m *testing.M) {
	if os.Getenv(nodeVariable) == "" {
		os.Exit(m.Run())
	}
	if err := errors.Join(profiled(node)...); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}

func node() error {
	ctx, cancel := context.WithCancel(context.Background())
	g, ctx := errgroup.WithContext(ctx)
	err := serve(ctx, g, json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout))
	cancel()
	if werr := g.Wait(); !errors.Is(werr, context.Canceled) {
		err = errors.Join(err, werr)
	}
	return err
}

// profiled runs f, and leaves profiles in the folder that a variable names.
func profiled(f func() error) []error {
	dir := os.Getenv(profileVariable)
	if dir == "" {
		return []error{f()}
	}
	cpu, err := os.Create(filepath.Join(dir, "node.cpu"))
	if err == nil {
		err = pprof.StartCPUProfile(cpu)
	}
	errs := []error{err, f()}
	pprof.StopCPUProfile()
	return append(errs, cpu.Close())
}

func serve(ctx context.Context, g *errgroup.Group, in *json.Decoder, out *json.Encoder) error {
	var first order
	if err := in.Decode(&first); err != nil {
		return err
	}
	cert, err := tls.X509KeyPair([]byte(first.Cert), []byte(first.Key))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(first.CA))
	c := identity.Credentials{Cluster: first.Cluster, Certificate: func() *tls.Certificate { return &cert }, Authorities: func() *x509.CertPool { return pool }}
	key, err := wgkey.New()
	if err != nil {
		return err
	}
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	tun, err := tunnel.New(tunnel.Options{Mode: tunnel.ModeNetstack, Key: key, Filter: tunnel.NodeRole, TLS: &c, Log: log, Registerer: reg})
	if err != nil {
		return err
	}
	ends := streams.NewNode(streams.NodeOptions{Credentials: c, Log: log, Registerer: reg})
	own, wireguard := sni.NewHandoff(), sni.NewHandoff()
	paths := fabric.New(fabric.Carriers{WireGuard: tun, Stream: ends, BothTUN: func(string) bool { return false }}, log, reg)
	forward := sni.New(sni.Options{
		Reach: reach.Dialer{Dial: paths.DialTarget, Health: balance.NewHealth(log, reg), Log: log}, Limit: inbound.NewLimiter(1<<20, 1<<20), // all sites are of one address here
		HTTP: sni.NewHandoff(), Log: log, Registerer: reg,
		Own: []sni.Own{{Protocol: tunnel.Protocol, To: wireguard}, {Protocol: streams.ProtocolControl, To: own}, {Protocol: streams.ProtocolStream, To: own}},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	g.Go(func() error { return tun.Run(ctx) })
	g.Go(func() error { return tun.ServeTLS(ctx, wireguard) })
	g.Go(func() error { return ends.Serve(ctx, own) })
	g.Go(func() error { return forward.Serve(ctx, l) })
	for o, told := first, false; ; {
		if !told {
			if err := tell(ctx, o, tun, ends, paths); err != nil {
				return err
			}
		}
		w := word{TLS: l.Addr().(*net.TCPAddr).AddrPort(), WireGuard: tun.ListenPort(), Up: up(o, tun, ends)}
		k := key.Public()
		w.Key = k[:]
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		w.Heap = m.HeapAlloc + m.StackInuse
		if err := out.Encode(w); err != nil {
			return err
		}
		var next order
		if err := in.Decode(&next); err != nil {
			writeHeap()
			return nil // the other process has ended
		}
		if told = len(next.Sites) == 0; !told {
			o.Sites = next.Sites
		}
	}
}

// writeHeap writes what is in use, if profiles are asked for. That of a test is an aid, and its failure none.
func writeHeap() {
	if dir := os.Getenv(profileVariable); dir != "" {
		if f, err := os.Create(filepath.Join(dir, "node.mem")); err == nil {
			_ = pprof.WriteHeapProfile(f)
			_ = f.Close()
		}
	}
}

func tell(ctx context.Context, o order, tun *tunnel.Tunnel, ends *streams.Node, paths *fabric.Fabric) error {
	cfg := tunnel.Config{Addr: o.Addr}
	known := map[string]bool{}
	var fab fabric.Config
	fab.Self = "node_1"
	for _, s := range o.Sites {
		k, err := wgkey.PublicFromBytes(s.Key)
		if err != nil {
			return err
		}
		cfg.Peers = append(cfg.Peers, tunnel.Peer{ID: s.ID, Kind: tunnel.Connector, Key: k, Addr: s.Addr, Keepalive: 25 * time.Second})
		known[s.ID] = true
		fab.Sites = append(fab.Sites, fabric.Site{ID: "site of " + s.ID, Connectors: []fabric.Connector{{ID: s.ID, Addr: s.Addr}}})
	}
	if err := tun.Apply(ctx, cfg); err != nil {
		return err
	}
	ends.Apply(streams.NodeConfig{Peers: known})
	paths.Apply(fab)
	return nil
}

// up counts the sites to which both carriers are up.
func up(o order, tun *tunnel.Tunnel, ends *streams.Node) (n int) {
	for _, s := range o.Sites {
		if tun.Up(s.ID) && ends.Up(s.ID) {
			n++
		}
	}
	return n
}

// chain is a certificate and its key as PEM.
func chain(cert *tls.Certificate) (certPEM, keyPEM string, err error) {
	for _, der := range cert.Certificate {
		certPEM += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return "", "", fmt.Errorf("key: %w", err)
	}
	return certPEM, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})), nil
}

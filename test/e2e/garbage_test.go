//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/streams"
	"github.com/warrenedge/warren/dataplane/tunnel"
	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// What strangers send to each port of each node, and how much more of memory a node may hold after it.
const (
	strangeDatagrams   = 5000
	strangeConnections = 120
	strangeMemory      = 64 << 10 // KiB
)

// strange is a datagram that begins as one of the port's own may, or in any way.
func strange(r *rand.Rand) []byte {
	b := make([]byte, r.IntN(1600))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	if len(b) < 4 {
		return b
	}
	switch r.IntN(4) {
	case 0: // WireGuard's messages, of their own sizes or not
		binary.LittleEndian.PutUint32(b, 1+r.Uint32N(4))
		if sizes := []int{148, 92, 64, 32}; r.IntN(2) == 0 {
			b = append(b, make([]byte, 148)...)[:sizes[b[0]-1]]
		}
	case 1: // gossip's: a packet that says it is sealed
		b[0] = 1
	case 2: // and a stream, as long as it says or not
		b = append([]byte{10}, b...)
		binary.BigEndian.PutUint32(b[1:], r.Uint32N(uint32(2*len(b))))
	}
	return b
}

// strangers sends datagrams and opens connections until all are sent.
func (c *suite) strangers(r *rand.Rand, from *lab.Host, n *cluster.Node) {
	c.t.Helper()
	c.until("a way to "+n.Name, func() error { // datagrams don't wait until neighbours have found each other
		conn, err := from.Dial(c.t.Context(), "tcp", netip.AddrPortFrom(n.Host.Addr, 443))
		if err != nil {
			return err
		}
		return conn.Close()
	})
	for _, port := range []uint16{51820, 7946} {
		var conns []net.Conn
		for range 8 { // as many sources
			conn, err := from.Dial(c.t.Context(), "udp", netip.AddrPortFrom(n.Host.Addr, port))
			c.must(err)
			defer conn.Close()
			conns = append(conns, conn)
		}
		for i := range strangeDatagrams {
			_, _ = conns[i%len(conns)].Write(strange(r)) // what the kernel has no room for is lost
		}
	}
	for i := range strangeConnections {
		port := []uint16{443, 7946}[i%2]
		ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
		conn, err := from.Dial(ctx, "tcp", netip.AddrPortFrom(n.Host.Addr, port))
		cancel()
		if err != nil { // so many are not taken
			continue
		}
		defer conn.Close() // most stay open until the end
		_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
		switch i % 6 {
		case 0, 1, 3:
			_, _ = conn.Write(strange(r))
		case 2, 4: // the carriers' own protocols, without a certificate that anybody knows
			protocol := []string{streams.ProtocolStream, streams.ProtocolControl, streams.ProtocolRelay, streams.ProtocolRelayControl, tunnel.Protocol}[i/6%5]
			client := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}, ServerName: app})
			if client.HandshakeContext(c.t.Context()) == nil {
				_, _ = client.Write(strange(r))
			}
		}
	}
}

// sum adds up a node's metrics whose names, with labels, begin so.
func (c *suite) sum(n *cluster.Node, prefix string) (sum float64, err error) {
	out, err := n.Host.Command("curl", "-sS", "http://127.0.0.1:9090/metrics").Output()
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) == 2 && strings.HasPrefix(line, prefix) {
			v, verr := strconv.ParseFloat(fields[1], 64)
			sum, err = sum+v, errors.Join(err, verr)
		}
	}
	return sum, err
}

// Strangers send whatever they like to the ports of WireGuard, of gossip, and of streams and relays: nodes go on, hold little
// more memory than before, know each other and serve. What a flood costs who is served meanwhile is bench-tunnel's.
func TestStrangersAtEveryPort(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	r, from := rand.New(rand.NewPCG(c.Lab.Seed, 0)), c.Lab.Host("stranger", "198.18.7.9")
	var pids []int
	var before []uint64
	for _, n := range c.Nodes {
		kib, err := measure.ResidentOf(n.Proc.PID())
		c.must(err)
		pids, before = append(pids, n.Proc.PID()), append(before, kib)
	}
	for _, n := range c.Nodes {
		c.strangers(r, from, n)
	}
	for i, n := range c.Nodes {
		if !n.Proc.Running() || n.Proc.PID() != pids[i] || strings.Contains(n.Proc.Log(), "panic") {
			t.Errorf("%s is not what it was:\n%s", n.Name, n.Proc.Tail(20))
			continue
		}
		c.until(n.Name+" holds no more than before", func() error {
			kib, err := measure.ResidentOf(n.Proc.PID())
			if err == nil && kib > before[i]+strangeMemory {
				err = fmt.Errorf("%d KiB, %d before", kib, before[i])
			}
			return err
		})
		for _, name := range []string{`node_gossip_dropped_total{reason="malformed"}`, `node_gossip_dropped_total{reason="memberlist"}`, `node_tunnel_refused_handshakes_total{reason="mac"}`, `node_streams_refused_total`} {
			c.until(name+" of "+n.Name+" counts what has arrived", func() error { // what came last may still wait for a processor
				sum, err := c.sum(n, name)
				if err == nil && sum == 0 {
					err = errors.New("nothing of this kind has")
				}
				return err
			})
		}
		c.until(n.Name+" names all nodes", func() error {
			if got := c.Dig(n.Host.Addr.String(), app, "A"); len(got) != len(c.Nodes) {
				return fmt.Errorf("%v", got)
			}
			return nil
		})
	}
	c.until("all is well", func() error {
		_, err := c.Warren("status")
		errs := []error{err}
		for _, n := range c.Nodes {
			_, err := c.Curl("https://"+app+"/", append(cluster.At(n, app), "--max-time", "5")...)
			errs = append(errs, err)
		}
		for _, s := range c.Sites {
			errs = append(errs, c.tunnelsUp(s))
		}
		return errors.Join(errs...)
	})
}

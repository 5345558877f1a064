package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
)

// The flood of the figure, and the tunnel's load beside it: what two cores carry with room to spare. With the cores
// full, anything at all that is done besides takes its share away.
const (
	floodRate  = 30000
	floodBatch = 30
	paced      = 100_000_000 // bits per second of the site's link
)

const initiationSize = 148

// flood compares a stream in a tunnel of the node without and with handshakes of strangers that come in at its
// WireGuard port.
func (b *bench) flood(ctx context.Context) error {
	flooder := b.Lab.Host("flooder", "198.18.6.9")
	key, err := b.nodeKey()
	if err != nil {
		return err
	}
	for _, load := range []struct {
		name string
		rate int64
	}{{"100 Mbit/s", paced}, {"as much as goes", 0}} {
		k, err := b.Sites[1].Net.Router.Link()
		if err == nil {
			err = k.Set(lab.Both, lab.Shape{Rate: load.rate})
		}
		if err != nil {
			return err
		}
		for _, kind := range []string{"valid mac1, random keys", "garbage"} {
			if err := b.flooded(ctx, flooder, key, kind, load.name); err != nil {
				return fmt.Errorf("%s, %s: %w", load.name, kind, err)
			}
		}
	}
	return nil
}

func (b *bench) flooded(ctx context.Context, flooder *lab.Host, key [32]byte, kind, load string) error {
	var rates [2]float64
	var cpu [2]time.Duration
	var sent int64
	var own time.Duration
	for i := range rates {
		var wg sync.WaitGroup
		within, stop := context.WithCancel(ctx)
		var ferr error
		if i == 1 {
			wg.Go(func() { sent, own, ferr = sendFlood(within, flooder, b.node.Host.Addr, key, kind == "garbage") })
		}
		before, err := measure.CPU(b.node.Proc)
		if err == nil {
			rates[i], err = b.rate(ctx, wireguard, down)
		}
		after, aerr := measure.CPU(b.node.Proc)
		stop()
		wg.Wait()
		if err := errors.Join(err, aerr, ferr); err != nil {
			return err
		}
		cpu[i] = after - before
	}
	took := (warmup + measured).Seconds()
	return measure.Figure{
		"bench": "handshakes of strangers at the WireGuard port", "kind": kind, "tunnel": load, "handshakes_per_s": measure.Round(float64(sent) / took),
		"mbit_per_s": measure.Round(rates[0]), "mbit_per_s_flooded": measure.Round(rates[1]), "ratio": measure.Round(rates[1] / rates[0]),
		"node_cores": measure.Round(cpu[0].Seconds() / took), "node_cores_flooded": measure.Round(cpu[1].Seconds() / took), "sender_cores": measure.Round(own.Seconds() / took),
		"wanted": "ratio >= 0.9 at 30000 per s",
	}.Print(os.Stdout)
}

// sendFlood sends handshake initiations until ctx ends, and says how many and what that cost.
func sendFlood(ctx context.Context, from *lab.Host, to netip.Addr, key [32]byte, garbage bool) (sent int64, cpu time.Duration, err error) {
	err = from.In(func() error {
		c, err := net.ListenUDP("udp4", nil)
		if err != nil {
			return err
		}
		defer c.Close()
		var replies atomic.Int64
		go drain(c, &replies)
		pc, dst := ipv4.NewPacketConn(c), net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 51820))
		r := rand.NewChaCha8([32]byte{1})
		msgs := make([]ipv4.Message, floodBatch)
		for i := range msgs {
			msgs[i] = ipv4.Message{Buffers: [][]byte{make([]byte, initiationSize)}, Addr: dst}
		}
		start := time.Now()
		for n := int64(0); ctx.Err() == nil; n += floodBatch {
			if ahead := time.Duration(n)*time.Second/floodRate - time.Since(start); ahead > 0 {
				time.Sleep(ahead)
			}
			for _, m := range msgs {
				initiation(m.Buffers[0], r, key, garbage)
			}
			k, err := pc.WriteBatch(msgs, 0)
			if err != nil && !errors.Is(err, unix.ENOBUFS) {
				return err
			}
			sent += int64(k)
		}
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
			return err
		}
		cpu = time.Duration(u.Utime.Nano() + u.Stime.Nano())
		return nil
	})
	return sent, cpu, err
}

// drain takes what is answered.
func drain(c *net.UDPConn, n *atomic.Int64) {
	for b := make([]byte, 2048); ; {
		if _, _, err := c.ReadFromUDPAddrPort(b); err != nil {
			return
		}
		n.Add(1)
	}
}

// initiation fills a message of WireGuard's first kind: random, and unless it is garbage with the mac1 that
// everybody can make who knows the node's public key.
func initiation(b []byte, r *rand.ChaCha8, key [32]byte, garbage bool) {
	_, _ = r.Read(b)
	binary.LittleEndian.PutUint32(b, 1)
	if garbage {
		return
	}
	h := blake2s.Sum256(append([]byte("mac1----"), key[:]...))
	m, _ := blake2s.New128(h[:])
	m.Write(b[:116])
	copy(b[116:], m.Sum(nil))
	clear(b[132:])
}

var saidKey = regexp.MustCompile(`tunnel up .*key="?([A-Za-z0-9+/]{43}=)`)

// nodeKey is the node's public key, as its log says it.
func (b *bench) nodeKey() (key [32]byte, err error) {
	m := saidKey.FindStringSubmatch(b.node.Proc.Log())
	if m == nil {
		return key, errors.New("the node's log does not say its key")
	}
	raw, err := base64.StdEncoding.DecodeString(m[1])
	copy(key[:], raw)
	return key, err
}

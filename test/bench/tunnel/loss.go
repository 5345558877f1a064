package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
)

// The network of the figure: what a site far from its nodes has.
const (
	roundTrip = 40 * time.Millisecond
	lossRate  = 0.001
)

// Times of one stream.
const (
	warmup   = 3 * time.Second // windows open
	measured = 6 * time.Second
)

// sendBuffers lets every host keep more under way than the path holds. The kernel's own 4 MiB would bound all
// paths alike at 40 ms, to a third of what the link carries.
func (b *bench) sendBuffers() error {
	for _, h := range b.Lab.Hosts() {
		if err := set(h, "tcp_wmem", "4096 16384 33554432"); err != nil {
			return err
		}
	}
	return nil
}

// loss sends one stream in each direction over each path while the sites are far away.
func (b *bench) loss(ctx context.Context) error {
	if err := b.sendBuffers(); err != nil {
		return err
	}
	for _, s := range b.Sites {
		k, err := s.Net.Router.Link()
		if err == nil {
			err = k.Set(lab.Both, lab.Shape{Delay: roundTrip / 2, Loss: lossRate})
		}
		if err != nil {
			return err
		}
	}
	if err := measure.Pause(ctx, 5*time.Second); err != nil { // heartbeats have seen the new network
		return err
	}
	var congestion string
	err := b.away.In(func() error {
		c, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
		congestion = strings.TrimSpace(string(c))
		return err
	})
	if err != nil {
		return err
	}
	rates := map[string]map[byte]float64{}
	for _, name := range []string{direct, stream, frp, wireguard, stock} {
		rates[name] = map[byte]float64{}
		for _, way := range []byte{down, up} {
			rate, err := b.rate(ctx, name, way)
			if err != nil {
				return fmt.Errorf("%s, %c: %w", name, way, err)
			}
			rates[name][way] = rate
			err = measure.Figure{"bench": "TCP at 40 ms and 0.1 % loss", "congestion": congestion, "path": name, "direction": direction(way), "mbit_per_s": measure.Round(rate)}.Print(os.Stdout)
			if err != nil {
				return err
			}
		}
	}
	for _, way := range []byte{down, up} {
		ours := rates[stream][way]
		err := measure.Figure{
			"bench": "stream carrier at 40 ms and 0.1 % loss, ratios", "congestion": congestion, "direction": direction(way), "of_direct": measure.Round(ours / rates[direct][way]),
			"of_frp": measure.Round(ours / rates[frp][way]), "of_wireguard_stock_netstack": measure.Round(ours / rates[stock][way]), "of_wireguard_our_netstack": measure.Round(ours / rates[wireguard][way]),
			"wanted": "of direct >= 0.65, of frp >= 2, of WireGuard with the stock netstack >= 30 down",
		}.Print(os.Stdout)
		if err != nil {
			return err
		}
	}
	return nil
}

func direction(way byte) string {
	if way == down {
		return "down"
	}
	return "up"
}

// rate is how many Mbit/s one stream carries.
func (b *bench) rate(ctx context.Context, name string, way byte) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*(warmup+measured))
	defer cancel()
	if name == direct {
		return b.directRate(ctx, way)
	}
	c, err := b.paths[name].dial(ctx, rawPort)
	if err != nil {
		return 0, err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer c.Close()
	if _, err := c.Write([]byte{way}); err != nil {
		return 0, err
	}
	if way == up {
		wg.Go(func() { send(c) })
	}
	var n atomic.Int64
	wg.Go(func() { receive(c, way, func(k int) { n.Add(int64(k)) }) })
	return count(ctx, &n)
}

// directRate is a connection that the site opens to the internet itself, as it has to.
func (b *bench) directRate(ctx context.Context, way byte) (float64, error) {
	ln := b.away.Listen(rawPort)
	defer ln.Close()
	inside := b.Lab.Find("s1-target")
	far, err := inside.Dial(ctx, "tcp", netip.AddrPortFrom(b.away.Addr, rawPort))
	if err != nil {
		return 0, err
	}
	near, err := ln.Accept()
	if err != nil {
		return 0, errors.Join(err, far.Close())
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer near.Close()
	defer far.Close()
	wg.Go(func() { sendOrTake(far) })
	if _, err := near.Write([]byte{way}); err != nil {
		return 0, err
	}
	if way == up {
		wg.Go(func() { send(near) })
	}
	var n atomic.Int64
	wg.Go(func() { receive(near, way, func(k int) { n.Add(int64(k)) }) })
	return count(ctx, &n)
}

// count waits for the windows to open and then says at which rate n grows.
func count(ctx context.Context, n *atomic.Int64) (float64, error) {
	if err := measure.Pause(ctx, warmup); err != nil {
		return 0, err
	}
	before, since := n.Load(), time.Now()
	if err := measure.Pause(ctx, measured); err != nil {
		return 0, err
	}
	got := n.Load() - before
	if got == 0 {
		return 0, errors.New("nothing arrived")
	}
	return float64(got) * 8 / 1e6 / time.Since(since).Seconds(), nil
}

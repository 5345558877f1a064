//go:build netns

package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const echoPort = 7

// echo answers every UDP packet with itself, with the sender's address after it, and every TCP connection with its peer's address.
func echo(h *Host) {
	conn := h.ListenUDP(echoPort)
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf[:1500])
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(append(buf[:n], from.String()...), from)
		}
	}()
	ln := h.Listen(echoPort)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			_, _ = io.WriteString(c, host)
			_ = c.Close()
		}
	}()
}

// flow is a connected UDP socket.
type flow struct {
	t *testing.T
	net.Conn
	asked *byte // number of the last question
}

func (h *Host) flow(t *testing.T, to netip.Addr) flow {
	t.Helper()
	c, err := h.Dial(t.Context(), "udp", netip.AddrPortFrom(to, echoPort))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return flow{t, c, new(byte)}
}

// silence is how long an answer that must not come is waited for.
const silence = 300 * time.Millisecond

// ask sends one packet and returns what the echo saw as its sender, or "" when no answer came. A late answer to a question before
// is none.
func (f flow) ask(wait time.Duration) string {
	f.t.Helper()
	*f.asked++
	if _, err := f.Write([]byte{*f.asked}); err != nil {
		return "" // an ICMP error of the packet before
	}
	_ = f.SetReadDeadline(time.Now().Add(wait))
	for buf := make([]byte, 200); ; {
		n, err := f.Read(buf)
		if err != nil {
			return ""
		}
		if buf[0] == *f.asked {
			return string(buf[1:n])
		}
	}
}

// answers asks until there is an answer.
func (f flow) answers() (seen string) {
	f.t.Helper()
	Eventually(f.t, 10*time.Second, "an answer", func() error {
		if seen = f.ask(silence); seen == "" {
			return errors.New("silence")
		}
		return nil
	})
	return seen
}

func (f flow) isSilent(what string) {
	f.t.Helper()
	if seen := f.ask(silence); seen != "" {
		f.t.Errorf("%s: an answer to %s", what, seen)
	}
}

// tcp asks over TCP.
func (h *Host) tcp(to netip.Addr, wait time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	c, err := h.Dial(ctx, "tcp", netip.AddrPortFrom(to, echoPort))
	if err != nil {
		return "", err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	return string(b), err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func linkOf(t testing.TB, h *Host) *Link {
	t.Helper()
	k, err := h.Link()
	must(t, err)
	return k
}

func TestLinkDelaysEachWay(t *testing.T) {
	l := New(t)
	a, b := l.Host("a", "198.18.9.1"), l.Host("b", "198.18.9.2")
	echo(b)
	f := a.flow(t, b.Addr)
	median := func() time.Duration {
		var all []time.Duration
		for range 51 {
			since := time.Now()
			if f.ask(10*time.Second) == "" {
				t.Fatal("no answer")
			}
			all = append(all, time.Since(since))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	veth := median()
	k := linkOf(t, a)
	wire := median()
	must(t, k.Set(Up, Shape{Delay: 20 * time.Millisecond}))
	must(t, k.Set(Down, Shape{Delay: 5 * time.Millisecond}))
	shaped := median()
	t.Logf("round trip, median: %v by veth, %v by link, %v with 20+5 ms", veth, wire, shaped)
	if shaped < 25*time.Millisecond || wire >= shaped {
		t.Errorf("%v", shaped)
	}
	must(t, k.Set(Both, Shape{}))
	if again := median(); again >= shaped {
		t.Errorf("a wire again: %v", again)
	}
}

// numbered sends packets with numbers from a to b and returns those that arrived, in order of arrival.
func numbered(t *testing.T, a, b *Host, k *Link, count int) (first uint64, arrived []uint64) {
	t.Helper()
	in := b.ListenUDP(9)
	raw, err := in.SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20) }))
	must(t, err)
	// Neighbours don't look for each other meanwhile: every frame is one of ours.
	for _, h := range [][2]*Host{{a, b}, {b, a}} {
		mac := h[1].Run("cat", "/sys/class/net/eth0/address")
		h[0].Run("ip", "neigh", "replace", h[1].Addr.String(), "lladdr", mac[:17], "dev", "eth0", "nud", "permanent")
	}
	var open, done atomic.Bool
	var read atomic.Uint64
	got := make(chan []uint64, 1)
	go func() {
		var all []uint64
		buf := make([]byte, 100)
		for {
			_ = in.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			n, err := in.Read(buf)
			switch {
			case err == nil && n == 8:
				all = append(all, binary.BigEndian.Uint64(buf))
				read.Add(1)
			case err == nil:
				open.Store(true)
			case done.Load():
				got <- all
				return
			}
		}
	}()
	out, err := a.Dial(t.Context(), "udp", netip.AddrPortFrom(b.Addr, 9))
	must(t, err)
	defer out.Close()
	var before Stats
	Eventually(t, 20*time.Second, "a way there", func() error { // a bridge takes a moment to see that a cable is in
		if !open.Load() {
			_, err := out.Write([]byte{0})
			must(t, err)
			return errors.New("nothing has arrived")
		}
		if before = k.Stats(Up); before.Left+before.Lost != before.Frames {
			return fmt.Errorf("%+v", before)
		}
		return nil
	})
	first = before.Frames
	for i := range count {
		for k.Stats(Up).Frames+200 < first+uint64(i) { // what the device holds is bounded
			runtime.Gosched()
		}
		_, err := out.Write(binary.BigEndian.AppendUint64(nil, uint64(i)))
		must(t, err)
	}
	Eventually(t, 20*time.Second, "all frames are through", func() error {
		if s := k.Stats(Up); s.Left+s.Lost != s.Frames || s.Frames != first+uint64(count) {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	Eventually(t, 20*time.Second, "what has left is read", func() error { // its reader may have to wait for a processor
		if left := k.Stats(Up).Left - before.Left; read.Load() < left {
			return fmt.Errorf("%d of %d", read.Load(), left)
		}
		return nil
	})
	done.Store(true)
	return first, <-got
}

func TestLinkLosesWhatItsSeedSays(t *testing.T) {
	const count, loss = 10000, 0.05
	var before []uint64
	for range 2 {
		t.Setenv(seedVariable, "20261126")
		l := New(t)
		a, b := l.Host("a", "198.18.9.1"), l.Host("b", "198.18.9.2")
		k := linkOf(t, a)
		must(t, k.Set(Up, Shape{Loss: loss}))
		first, arrived := numbered(t, a, b, k, count)
		var want []uint64
		for i := range uint64(count) {
			if !Lost(k.Seed(Up), first+i, loss) {
				want = append(want, i)
			}
		}
		if !slices.Equal(arrived, want) {
			t.Fatalf("%d arrived, want %d, or not the same ones, or not in order", len(arrived), len(want))
		}
		if part := 1 - float64(len(arrived))/count; math.Abs(part-loss) > 0.01 {
			t.Errorf("%.3f lost, want about %v", part, loss)
		}
		if before != nil && !slices.Equal(arrived, before) {
			t.Error("the same seed, other frames")
		}
		before = arrived
	}
}

func TestLinkReordersOnlyByJitter(t *testing.T) {
	l := New(t)
	a, b := l.Host("a", "198.18.9.1"), l.Host("b", "198.18.9.2")
	k := linkOf(t, a)
	must(t, k.Set(Up, Shape{Delay: 2 * time.Millisecond, Rate: 1e9}))
	if _, arrived := numbered(t, a, b, k, 5000); len(arrived) != 5000 || !slices.IsSorted(arrived) {
		t.Errorf("%d arrived, in order: %v", len(arrived), slices.IsSorted(arrived))
	}
}

func TestLinkJitterReorders(t *testing.T) {
	l := New(t)
	a, b := l.Host("a", "198.18.9.1"), l.Host("b", "198.18.9.2")
	k := linkOf(t, a)
	must(t, k.Set(Up, Shape{Delay: 10 * time.Millisecond, Jitter: 10 * time.Millisecond}))
	if _, arrived := numbered(t, a, b, k, 1000); len(arrived) != 1000 || slices.IsSorted(arrived) {
		t.Errorf("%d arrived, in order: %v", len(arrived), slices.IsSorted(arrived))
	}
}

func TestCutIsOneWayOrBoth(t *testing.T) {
	l := New(t)
	a, b := l.Host("a", "198.18.9.1"), l.Host("b", "198.18.9.2")
	echo(b)
	f := a.flow(t, b.Addr)
	f.answers()
	k := linkOf(t, a)
	for _, d := range []Direction{Up, Down, Both} {
		up, down := k.Stats(Up), k.Stats(Down)
		must(t, k.Cut(d))
		f.isSilent("cut " + d.String())
		up2, down2 := k.Stats(Up), k.Stats(Down)
		if cutUp, cutDown := up2.Cut > up.Cut, down2.Cut > down.Cut; cutUp != (d != Down) || cutDown != (d == Down) {
			t.Errorf("cut %v: up %+v, down %+v", d, up2, down2)
		}
		if d == Down && up2.Left == up.Left {
			t.Error("nothing left upwards")
		}
		must(t, k.Heal())
		f.answers()
	}
}

func TestRateLimitsBytes(t *testing.T) {
	l := New(t)
	a, b := l.Host("a", "198.18.9.1"), l.Host("b", "198.18.9.2")
	ln := b.Listen(80)
	k := linkOf(t, a)
	const rate, size = 8e6, 1 << 20
	must(t, k.Set(Up, Shape{Rate: rate}))
	got := make(chan int64, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			got <- 0
			return
		}
		n, _ := io.Copy(io.Discard, c)
		got <- n
	}()
	c, err := a.Dial(t.Context(), "tcp", netip.AddrPortFrom(b.Addr, 80))
	must(t, err)
	since := time.Now()
	_, err = c.Write(make([]byte, size))
	must(t, err)
	must(t, c.Close())
	if n := <-got; n != size {
		t.Fatalf("%d bytes arrived", n)
	}
	took := time.Since(since)
	t.Logf("%.1f Mbit/s of %.0f", size*8/took.Seconds()/1e6, rate/1e6)
	if least := time.Duration(size * 8 / rate * float64(time.Second)); took < least {
		t.Errorf("took %v, at this rate %v at least", took, least)
	}
}

func TestLinkCarriesEveryFamily(t *testing.T) {
	l := New(t)
	a, b := l.Host("a", "198.18.9.1", "2001:db8::1"), l.Host("b", "198.18.9.2", "2001:db8::2")
	echo(b)
	must(t, linkOf(t, a).Set(Both, Shape{Delay: time.Millisecond}))
	must(t, linkOf(t, b).Set(Both, Shape{Delay: time.Millisecond}))
	// Nobody knows anybody's hardware address yet: ARP and neighbour discovery pass too.
	if seen, err := a.tcp(b.Addr, 10*time.Second); err != nil || seen != "198.18.9.1" {
		t.Errorf("IPv4: %q, %v", seen, err)
	}
	ln := l.Host("six", "2001:db8::3")
	echo(ln)
	if seen, err := a.tcp(ln.Addr, 10*time.Second); err != nil || seen != "2001:db8::1" {
		t.Errorf("IPv6: %q, %v", seen, err)
	}
	if _, err := ln.tcp(b.Addr, silence); err == nil {
		t.Error("a host without IPv4 reached one by IPv4")
	}
}

func TestLinkNamesWhatItRefuses(t *testing.T) {
	l := New(t)
	k := linkOf(t, l.Host("a", "198.18.9.1"))
	if err := k.Set(Up, Shape{Loss: 2}); err == nil || err.Error() != "link of a: loss 2: want a part of 1" {
		t.Error(err)
	}
	k.close()
	if err := k.Cut(Both); err == nil {
		t.Error("a closed link was cut")
	}
}

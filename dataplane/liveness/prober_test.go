package liveness

import (
	"testing"
	"time"
)

// search runs a prober on a path that carries packets up to a size, one look each 200 ms.
func search(p *prober, carries int, from, to time.Duration) (probes, largest int) {
	var seq uint32
	for at := from; at < to; at += 200 * ms {
		size, ok := p.due(at, 300*ms)
		if !ok {
			continue
		}
		seq++
		probes++
		largest = max(largest, size)
		p.sentProbe(seq, at)
		if size <= carries {
			p.answered(seq, at+20*ms)
		}
	}
	return probes, largest
}

func TestProber(t *testing.T) {
	for _, tt := range []struct{ carries, least, most, probes int }{
		{1420, 1420, 1420, 1},
		{1500, 1420, 1420, 1},
		{1419, 1412, 1419, 20},
		{1350, 1343, 1350, 20},
		{1288, 1280, 1288, 20},
		{1280, 1280, 1280, 20},
		{1000, 1280, 1280, 20}, // no path of IPv6: there is nothing smaller to fall back to
	} {
		var p prober
		if n, _ := search(&p, tt.carries, 0, time.Hour); n != 0 || p.mtu() != 0 {
			t.Fatalf("%d probes before it began, result %d", n, p.mtu())
		}
		p.begin()
		if p.mtu() != SizeLeast {
			t.Errorf("%d before anything is known", p.mtu())
		}
		n, largest := search(&p, tt.carries, 0, time.Minute)
		if got := p.mtu(); got < tt.least || got > tt.most || n > tt.probes || largest > SizeMost {
			t.Errorf("a path of %d: found %d with %d probes of up to %d", tt.carries, got, n, largest)
		}
		if n, _ := search(&p, tt.carries, time.Minute, 9*time.Minute); n != 0 {
			t.Errorf("a path of %d: %d probes after the search", tt.carries, n)
		}
	}
}

func TestProberLooksAgain(t *testing.T) {
	var p prober
	p.begin()
	search(&p, 1350, 0, time.Minute)
	search(&p, 1420, time.Minute, 12*time.Minute)
	if p.mtu() != 1420 {
		t.Errorf("%d after the path got better", p.mtu())
	}
	from := 12 * time.Minute
	for _, carries := range []int{1390, 1300} {
		search(&p, carries, from, from+12*time.Minute)
		if from += 12 * time.Minute; p.mtu() < carries-sizeStep || p.mtu() > carries {
			t.Errorf("%d after the path got worse to %d", p.mtu(), carries)
		}
	}
}

// Single losses, and answers to probes of long ago, don't mislead.
func TestProberLosses(t *testing.T) {
	var p prober
	p.begin()
	for at := time.Duration(0); at < 2*300*ms; at += 300 * ms {
		if size, ok := p.due(at, 300*ms); !ok || size != SizeMost {
			t.Fatalf("size %d, %v", size, ok)
		}
		p.sentProbe(uint32(at), at)
	}
	p.answered(0, time.Second)
	if p.mtu() != SizeLeast {
		t.Errorf("%d by an answer to an earlier probe", p.mtu())
	}
	p.due(600*ms, 300*ms)
	p.sentProbe(7, 600*ms)
	p.answered(7, 620*ms)
	if p.mtu() != SizeMost {
		t.Errorf("%d after two losses", p.mtu())
	}
}

package nettest

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Bounds of what a host goes through: how long a fault lasts, and how long it is waited for somebody to get over it.
const (
	lastLeast = time.Second
	giveUp    = 10 * time.Minute
	look      = 10 * time.Millisecond
)

// A Recovery is how a host got over a fault.
type Recovery struct {
	Fault     string
	Lasting   time.Duration
	Recovered bool
	After     time.Duration // the end of the fault
}

// kinds are what may happen to a host's network; end puts it right.
var kinds = []struct {
	name       string
	begin, end func(h *Host, r *rand.Rand)
}{
	{"cut", func(h *Host, _ *rand.Rand) { h.Cut(true, true) }, heal},
	{"cut of what is sent", func(h *Host, _ *rand.Rand) { h.Cut(true, false) }, heal},
	{"cut of what comes", func(h *Host, _ *rand.Rand) { h.Cut(false, true) }, heal},
	{"cut, then other translations", func(h *Host, _ *rand.Rand) { h.Cut(true, true) }, func(h *Host, r *rand.Rand) { h.Rebind(); heal(h, r) }},
	{"cut, then another address", func(h *Host, _ *rand.Rand) { h.Cut(true, true) }, func(h *Host, r *rand.Rand) {
		h.Move(netip.AddrFrom4([4]byte{100, byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))}))
		heal(h, r)
	}},
	{"UDP blocked", func(h *Host, _ *rand.Rand) { h.BlockUDP(true) }, func(h *Host, _ *rand.Rand) { h.BlockUDP(false) }},
	{"suspended", func(h *Host, _ *rand.Rand) { h.Suspend(); h.Cut(true, true) }, func(h *Host, r *rand.Rand) { heal(h, r); h.Resume() }},
}

func heal(h *Host, _ *rand.Rand) { h.Cut(false, false) }

// Ordeal lets the network of each host fail so many times, from a seed, all hosts at once, each time for a second or
// longer, up to most. It tells how each was got over: ok reports whether a host is well by evidence that is younger than a time.
func Ordeal(seed uint64, hosts []*Host, each int, most time.Duration, ok func(host int, since time.Time) bool) []Recovery {
	var mu sync.Mutex
	var all []Recovery
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for range each {
				one := h.undergo(r, most, func(since time.Time) bool { return ok(i, since) })
				mu.Lock()
				all = append(all, one)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all
}

func (h *Host) undergo(r *rand.Rand, most time.Duration, ok func(since time.Time) bool) Recovery {
	time.Sleep(time.Duration((1 + 19*r.Float64()) * float64(time.Second)))
	k := kinds[r.IntN(len(kinds))]
	// As many from one second to ten as from six minutes to an hour.
	lasting := time.Duration(float64(lastLeast) * math.Pow(float64(most/lastLeast), r.Float64())).Round(time.Millisecond)
	k.begin(h, r)
	time.Sleep(lasting)
	k.end(h, r)
	end := time.Now()
	for time.Since(end) < giveUp {
		if ok(end) {
			return Recovery{k.name, lasting, true, time.Since(end)}
		}
		time.Sleep(look)
	}
	return Recovery{k.name, lasting, false, 0}
}

// Summary is a set of recoveries in numbers.
type Summary struct {
	Faults, Recovered int
	Longest           time.Duration // fault
	P50, P99, Max     time.Duration // of recoveries
	Worst             Recovery
	Lost              []Recovery // not recovered
}

// Summarize counts.
func Summarize(all []Recovery) Summary {
	s := Summary{Faults: len(all)}
	var after []time.Duration
	for _, r := range all {
		s.Longest = max(s.Longest, r.Lasting)
		if !r.Recovered {
			s.Lost = append(s.Lost, r)
			continue
		}
		s.Recovered++
		if after = append(after, r.After); r.After >= s.Worst.After {
			s.Worst = r
		}
	}
	if slices.Sort(after); len(after) > 0 {
		at := func(q float64) time.Duration { return after[max(int(math.Ceil(q*float64(len(after))))-1, 0)] }
		s.P50, s.P99, s.Max = at(0.5), at(0.99), at(1)
	}
	return s
}

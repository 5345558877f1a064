package streams

import "time"

// Bounds of the stream connections between a connector and a node.
const (
	restConns  = 1    // kept idle whatever happens: the first request of the day waits for nobody
	leastConns = 2    // and so many while there is any demand
	spareConns = 64   // at most so many more than were needed lately
	mostConns  = 1024 // in all; whoever needs more is told at once
)

// window is how long a peak of demand is remembered at least, and half of how long at most.
const window = 30 * time.Second

// size is how many stream connections there should be when as many as peak were needed at one time
// lately. It doubles, so that a rising demand finds them ready, and holds still while demand does. Each costs a node a
// dozen kilobytes, and thousands of sites have no demand.
func size(peak int) int {
	if peak == 0 {
		return restConns
	}
	n := leastConns
	for n < peak+leastConns {
		n *= 2
	}
	return max(min(n, peak+spareConns, mostConns), leastConns)
}

// peaks remembers the highest demand of the window in progress and of the one before.
type peaks struct {
	began     time.Time
	last, now int
}

// observe takes in a demand, and returns the highest one lately.
func (p *peaks) observe(demand int, at time.Time) int {
	switch age := at.Sub(p.began); {
	case age >= 2*window || age < 0:
		p.began, p.last, p.now = at, 0, 0
	case age >= window:
		p.began, p.last, p.now = at, p.now, 0
	}
	p.now = max(p.now, demand)
	return max(p.last, p.now)
}

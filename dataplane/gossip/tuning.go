package gossip

import (
	"math"
	"time"

	"github.com/hashicorp/memberlist"
)

// tuning is how fast the failure detector goes. It follows from the longest round trip to a peer: a probe
// whose answer takes longer than the probe may last accuses a living node.
type tuning struct {
	rtt      time.Duration // the longest of the class
	interval time.Duration // between two probes of this node; also how long one may last
	timeout  time.Duration // of the direct probe, before others are asked
	mult     int           // suspicion lasts mult × max(1, log10(nodes)) × interval when others confirm it
}

// suspicionMin is the least time in which an accused node can object. A node that has to wait for a
// processor is late by some hundred milliseconds, not dead.
const suspicionMin = 400 * time.Millisecond

// classes are the round trips told apart. Nodes of different classes understand each other.
var classes = []time.Duration{20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}

// classOf is the least class that holds a round trip.
func classOf(rtt time.Duration) int {
	for i, c := range classes {
		if rtt <= c {
			return i
		}
	}
	return len(classes) - 1
}

// tuningOf makes the tuning of a class in a cluster of so many nodes: a direct probe may take 1.5 round
// trips, an indirect one two more, and both fit into the interval.
func tuningOf(class, nodes int) tuning {
	rtt := classes[class]
	timeout := max(50*time.Millisecond, rtt*3/2)
	interval := max(100*time.Millisecond, timeout+rtt*5/2)
	suspicion := suspicionMin + 2*rtt // to the accused and back, the longest way
	unit := interval.Seconds() * max(1, math.Log10(float64(nodes)))
	return tuning{rtt: rtt, interval: interval, timeout: timeout, mult: max(2, int(math.Round(suspicion.Seconds()/unit)))}
}

// pace is how long to wait beside the failure detector.
func (t tuning) pace() pace {
	return pace{silence: 10 * t.interval, connect: 150*time.Millisecond + 2*t.rtt, answer: 600*time.Millisecond + 4*t.rtt}
}

// config makes memberlist's settings; what is not about speed is in engine.go.
func (t tuning) config() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.ProbeInterval, c.ProbeTimeout, c.SuspicionMult = t.interval, t.timeout, t.mult
	c.SuspicionMaxTimeoutMult = 3 // without anybody who confirms
	c.AwarenessMaxMultiplier = 8  // a node that misses answers it should get probes up to eight times slower
	c.IndirectChecks = 3
	c.RetransmitMult = 8 // with 4, about one word in 150 misses one of eight nodes, with 8 one in 600: those learn it from the next answer to a probe
	c.GossipInterval, c.GossipNodes = 50*time.Millisecond, 3
	c.GossipToTheDeadTime = 30 * time.Second
	c.PushPullInterval = 10 * time.Second
	c.TCPTimeout = streamTime
	c.DeadNodeReclaimTime = time.Nanosecond // where a node is comes from its Peer, not from what it says
	c.RequireNodeNames = true
	c.EnableCompression = false // sealed packets are small; random site ids don't compress
	c.DelegateProtocolMin, c.DelegateProtocolMax, c.DelegateProtocolVersion = 1, 1, 1
	return c
}

// roundTrips remembers the least of the last round trips to each peer: load makes single ones long.
type roundTrips map[string][]time.Duration

// minSamples is how many measurements a peer needs before it counts, maxSamples how many are kept.
const minSamples, maxSamples = 3, 8

func (r roundTrips) add(id string, rtt time.Duration) {
	s := append(r[id], rtt)
	r[id] = s[max(0, len(s)-maxSamples):]
}

// class is the class of the farthest peer of which enough is known.
func (r roundTrips) class() int {
	class := 0
	for _, s := range r {
		if len(s) < minSamples {
			continue
		}
		least := s[0]
		for _, d := range s[1:] {
			least = min(least, d)
		}
		class = max(class, classOf(least))
	}
	return class
}

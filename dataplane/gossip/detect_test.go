package gossip

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/warrenedge/warren/shared/bubbletest"
)

// rounds is how many probes each node makes in a time.
func rounds(d time.Duration) int { return int(d / tuningOf(0, 2).interval) }

func TestDeadEverywhere(t *testing.T) {
	for _, tt := range []struct {
		name string
		die  func(c *cluster, i int)
		most int // probe rounds, of 100 ms
	}{
		{"process killed", (*cluster).kill, 10},
		{"power off", (*cluster).off, 12},
	} {
		for _, n := range []int{2, 3, 5, 20} {
			// Who asks whom is chance, and not the seeds': what looks too slow is looked at again, up to ten times as often.
			var took []int
			for seed := uint64(0); seed < 3 || seed < 30 && tooSlow(took, tt.most) != ""; seed++ {
				bubbletest.Run(t, func(t *testing.T) {
					s := newSim(seed)
					c := newCluster(t, s, n)
					c.together()
					time.Sleep(time.Duration(seed%3*700) * time.Millisecond)
					tt.die(c, 0)
					took = append(took, rounds(until(t, 10*time.Second, "dead everywhere", func() bool { return c.every(Dead, 0, but(0)) })))
					for i := 1; i < n; i++ {
						if !c.every(Alive, i, but(0)) {
							t.Errorf("node %d is not alive", i)
						}
					}
					c.stop()
				})
				slices.Sort(took)
			}
			t.Logf("%s, %d nodes: dead everywhere after %v probe rounds", tt.name, n, took)
			if why := tooSlow(took, tt.most); why != "" {
				t.Errorf("%s, %d nodes: %s", tt.name, n, why)
			}
		}
	}
}

// tooSlow says what is wrong with probe rounds, in order, of which half may be so many at most, and one in ten may be many more.
func tooSlow(took []int, most int) string {
	if median := took[len(took)/2]; median > most {
		return fmt.Sprintf("%d probe rounds, want %d at most", median, most)
	}
	if worst := took[len(took)-1-len(took)/10]; worst > most+6 {
		return fmt.Sprintf("%d probe rounds at worst", worst)
	}
	return ""
}

// stalls make each host wait for a processor about a fifth of the time, for up to longest at once.
func stalls(s *sim, longest time.Duration) {
	type pause struct{ from, to time.Time }
	next := map[*host]pause{}
	s.stall = func(h *host) time.Duration {
		now := time.Now()
		p := next[h]
		if !now.Before(p.to) {
			p.from = now.Add(time.Duration(s.rnd.Int64N(int64(6 * longest))))
			p.to = p.from.Add(time.Duration(s.rnd.Int64N(int64(longest))))
			next[h] = p
		}
		if now.Before(p.from) {
			return 0
		}
		return p.to.Sub(now)
	}
}

// Loss and processors that are busy elsewhere are no deaths, near and far.
func TestNobodyIsDeclaredDeadForBeingLate(t *testing.T) {
	for _, tt := range []struct {
		n       int
		delay   time.Duration
		longest time.Duration // of the stalls
	}{
		{3, time.Millisecond, 300 * time.Millisecond},
		{10, time.Millisecond, 300 * time.Millisecond},
		{10, 30 * time.Millisecond, 200 * time.Millisecond},
		{5, 150 * time.Millisecond, 200 * time.Millisecond},
	} {
		bubbletest.Run(t, func(t *testing.T) {
			s := newSim(uint64(tt.n))
			s.delay, s.loss = tt.delay, 0.05
			stalls(s, tt.longest)
			c := newCluster(t, s, tt.n)
			c.together()
			time.Sleep(5 * time.Second) // they find out how far they are from each other
			wrong, seen := 0, 0
			for range 1500 { // half a minute
				time.Sleep(20 * time.Millisecond)
				for i := range c.all {
					seen++
					if !c.every(Alive, i, but()) {
						wrong++
					}
				}
			}
			if wrong*1000 > seen {
				t.Errorf("%d nodes, %s apart: in %d of %d looks somebody was not alive for everybody", tt.n, 2*tt.delay, wrong, seen)
			}
			c.stop()
		})
	}
}

// Keys change while the members stay members: nobody is anything but alive from the first to the last.
func TestKeyRotation(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		c := newCluster(t, newSim(1), 4)
		c.together()
		changes := func() (n float64) {
			for _, m := range c.all {
				n += testutil.ToFloat64(m.m.changes)
			}
			return n
		}
		before := changes()
		for _, keys := range []string{"ab", "ba", "b", "bc", "cb", "c"} {
			for _, i := range rand.Perm(len(c.all)) { // one after the other: they hold different keys meanwhile
				c.all[i].cfg.Keys = ringOf(keys)
				if err := c.all[i].Apply(c.all[i].cfg); err != nil {
					t.Fatal(err)
				}
				seen := testutil.ToFloat64(c.all[i].m.received)
				until(t, time.Minute, "some rounds of packets", func() bool { return testutil.ToFloat64(c.all[i].m.received) > seen+300 })
				for j := range c.all {
					if !c.every(Alive, j, but()) {
						t.Fatalf("with %s at %d: node %d is not alive for everybody", keys, i, j)
					}
				}
			}
		}
		if n := changes() - before; n != 0 {
			t.Errorf("%v changes of what is believed", n)
		}
		for _, m := range c.all {
			if n := testutil.ToFloat64(m.m.restarts); n != 1 {
				t.Errorf("%s was started %v times", m.id, n)
			}
		}
		c.stop()
	})
}

func TestFarPeersAreProbedMoreSlowly(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		s := newSim(1)
		s.delay = 100 * time.Millisecond
		c := newCluster(t, s, 3)
		c.together()
		time.Sleep(5 * time.Second)
		if starts := testutil.ToFloat64(c.all[0].m.restarts); starts != 2 {
			t.Errorf("started %v times", starts)
		}
		c.kill(0)
		took := until(t, 10*time.Second, "dead", func() bool { return c.every(Dead, 0, but(0)) })
		t.Logf("dead after %s at a round trip of 200 ms", took)
		c.sim.set(func() { c.sim.delay = time.Millisecond })
		until(t, 5*time.Minute, "the others found that they are near", func() bool { return testutil.ToFloat64(c.all[1].m.restarts) == 3 })
		if !c.every(Alive, 1, but(0)) {
			t.Error("a node that probes faster is not alive")
		}
		c.stop()
	})
}

func TestLeaveIsToldAtOnce(t *testing.T) {
	for _, n := range []int{2, 5, 20} {
		bubbletest.Run(t, func(t *testing.T) {
			c := newCluster(t, newSim(1), n)
			c.together()
			c.all[0].end()
			took := until(t, 5*time.Second, "left", func() bool { return c.every(Dead, 0, but(0)) })
			if took > 300*time.Millisecond {
				t.Errorf("%d nodes: known after %s", n, took)
			}
			<-c.all[0].Left()
			if err := <-c.all[0].done; err != nil {
				t.Error(err)
			}
			// It comes back on other sockets, as the next process would.
			c.all[0].host = c.sim.host(0)
			c.all[0].start(t)
			took = until(t, 5*time.Second, "back", func() bool { return c.every(Alive, 0, but(0)) })
			if took > time.Second {
				t.Errorf("%d nodes: back after %s", n, took)
			}
			c.stop()
		})
	}
}

func TestKilledNodeComesBack(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		c := newCluster(t, newSim(1), 4)
		c.together()
		c.kill(2)
		until(t, 5*time.Second, "dead", func() bool { return c.every(Dead, 2, but(2)) })
		if err := c.all[2].stop(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // memberlist has forgotten it
		c.all[2].host = c.sim.host(2)
		c.all[2].start(t)
		until(t, 2*time.Second, "back", func() bool { return c.every(Alive, 2, but(2)) })
		// Who starts while it is dead hears of that from the others.
		c.kill(2)
		until(t, 5*time.Second, "dead again", func() bool { return c.every(Dead, 2, but(2)) })
		if err := c.all[1].stop(); err != nil {
			t.Error(err)
		}
		c.all[1].host = c.sim.host(1)
		c.all[1].start(t)
		until(t, 5*time.Second, "the new one knows", func() bool { return c.all[1].View().Node("node_2").State == Dead })
		c.stop()
	})
}

// A node that starves is dead for the others again and again. While that goes on it is kept out, and each death begins
// this anew; but once it is well everybody takes it back within the bound that the damping has, not later for having died
// more often.
func TestStarvedNodeIsTakenBack(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		c := newCluster(t, newSim(1), 5)
		c.together()
		starves := func(yes bool) { c.sim.set(func() { c.all[2].host.off = yes }) }
		for range 60 { // five minutes
			starves(true)
			time.Sleep(2 * time.Second)
			if !c.every(Dead, 2, but(2)) {
				t.Fatal("it starves, and somebody takes it to be alive")
			}
			starves(false)
			time.Sleep(3 * time.Second)
		}
		if !c.every(Dead, 2, but(2)) {
			t.Error("somebody believes it at once, after so many deaths")
		}
		// It is well for 3 s already, and died within the last 5 s.
		took := until(t, maxSuppress-3*time.Second, "alive for all", func() bool { return c.every(Alive, 2, but(2)) })
		if took < maxSuppress-7*time.Second {
			t.Errorf("taken back after %v: the ceiling of the penalty was not reached", took)
		}
		c.stop()
	})
}

// A word spreads at once, and misses nobody for longer than a round of probes, loss or not.
func TestDrainingSpreads(t *testing.T) {
	var took []time.Duration
	for seed := range uint64(9) {
		took = append(took, draining(t, seed))
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > 500*time.Millisecond {
		t.Errorf("known everywhere after %v", took)
	}
}

func draining(t *testing.T, seed uint64) (took time.Duration) {
	bubbletest.Run(t, func(t *testing.T) {
		c := newCluster(t, newSim(seed), 8)
		c.together()
		c.all[3].Drain()
		took = until(t, 5*time.Second, "draining", func() bool { return c.every(Draining, 3, but(3)) })
		c.all[4].cfg.Draining = true
		if err := c.all[4].Apply(c.all[4].cfg); err != nil {
			t.Fatal(err)
		}
		until(t, 2*time.Second, "draining by configuration", func() bool { return c.every(Draining, 4, but(4)) })
		c.all[4].cfg.Draining = false
		if err := c.all[4].Apply(c.all[4].cfg); err != nil {
			t.Fatal(err)
		}
		until(t, 2*time.Second, "no longer", func() bool { return c.every(Alive, 4, but(4)) })
		if !c.every(Draining, 3, but(3)) {
			t.Error("what was drained by hand is not draining any more")
		}
		c.stop()
	})
	return took
}

func TestPartitions(t *testing.T) {
	for _, tt := range []struct {
		name     string
		n, inner int // nodes, and how many of them are cut from the others
		inside   State
	}{
		{"alone", 5, 1, Unknown},
		{"two of six", 6, 2, Unknown},
		{"one of two", 2, 1, Dead},
	} {
		bubbletest.Run(t, func(t *testing.T) {
			c := newCluster(t, newSim(1), tt.n)
			c.together()
			in := func(h *host) bool { return h.index < tt.inner }
			c.sim.set(func() { c.sim.cut = func(a, b *host) bool { return in(a) != in(b) } })
			until(t, 30*time.Second, tt.name+": the majority sees them dead", func() bool {
				for i := range tt.inner {
					if !c.every(Dead, i, func(j int) bool { return j >= tt.inner }) {
						return false
					}
				}
				return true
			})
			until(t, 30*time.Second, tt.name+": those inside see the others "+tt.inside.String(), func() bool {
				for i := tt.inner; i < tt.n; i++ {
					if !c.every(tt.inside, i, func(j int) bool { return j < tt.inner }) {
						return false
					}
				}
				return true
			})
			if tt.inner == 1 && tt.n > 2 {
				n := c.all[0].View().Node("node_4")
				if !n.Unreachable {
					t.Errorf("%s: %+v", tt.name, n)
				}
				time.Sleep(isolationHold + time.Second)
				synctest.Wait()
				if n := c.all[0].View().Node("node_4"); n.State != Dead {
					t.Errorf("%s: for ever %+v", tt.name, n)
				}
			}
			c.sim.set(func() { c.sim.cut = nil })
			until(t, 6*time.Second, tt.name+": all alive", func() bool {
				for i := range tt.n {
					if !c.every(Alive, i, but()) {
						return false
					}
				}
				return true
			})
			c.stop()
		})
	}
}

func TestSitesSpread(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		s := newSim(1)
		s.loss = 0.05
		c := newCluster(t, s, 5)
		want := siteIDs(0, 2000)
		c.all[0].SetSites(want) // before anybody is there
		c.together()
		knows := func(want []string) func() bool {
			return func() bool {
				for _, m := range c.all[1:] {
					if !slices.Equal(m.View().Node("node_0").Sites, want) {
						return false
					}
				}
				return true
			}
		}
		took := until(t, time.Minute, "2,000 sites known", knows(want)) // lost parts come again
		t.Logf("2,000 sites known everywhere after %s", took)
		var all []time.Duration
		for i := range 20 {
			want = slices.Clone(want)
			want[i*7] = fmt.Sprintf("site_%026d", 1_000_000+i)
			slices.Sort(want)
			c.all[0].SetSites(want)
			all = append(all, until(t, 5*time.Second, "one site for another", knows(want)))
		}
		slices.Sort(all)
		t.Logf("a changed site known everywhere after %v", all)
		if all[10] > 300*time.Millisecond {
			t.Errorf("a change takes %s", all[10])
		}
		c.all[0].SetSites(nil)
		until(t, 5*time.Second, "none left", knows([]string{}))
		c.all[0].SetSites(want)
		until(t, time.Minute, "all again", knows(want))
		c.kill(0)
		until(t, 5*time.Second, "no sites at a dead node", knows(nil))
		c.stop()
	})
}

func TestLoadIsTold(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		c := newCluster(t, newSim(1), 4)
		c.together()
		c.all[0].SetLoad(1000)
		until(t, 5*time.Second, "told", func() bool {
			for _, m := range c.all[1:] {
				if m.View().Node("node_0").Load != 768 {
					return false
				}
			}
			return true
		})
		c.stop()
	})
}

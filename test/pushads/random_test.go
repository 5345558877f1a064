package pushads

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/resource"
)

var seed = flag.Uint64("seed", 1, "of random tests")

var randomTypes = []string{resource.Certificate, resource.Node, resource.Site, resource.Route, resource.Zone, resource.RecordSet}

// randomStep changes some resources of some scopes.
func randomStep(rnd *rand.Rand, w *world) snapshot.Changes {
	scopes := [][]string{{"cluster"}, {"pool/p"}, {"pool/q"}, {"pool/p", "pool/q"}, {"node/node_a"}, {"node/node_b"}}
	var upserts []*snapshot.Resource
	var removed []snapshot.Ref
	seen := map[snapshot.Ref]bool{}
	for range 1 + rnd.IntN(4) {
		ref := snapshot.Ref{TypeURL: randomTypes[rnd.IntN(len(randomTypes))], Name: fmt.Sprintf("r/%d", rnd.IntN(12))}
		if seen[ref] {
			continue
		}
		seen[ref] = true
		if w.res[ref] != nil && rnd.IntN(4) == 0 {
			removed = append(removed, ref)
		} else {
			upserts = append(upserts, put(ref.TypeURL, ref.Name, fmt.Sprint(rnd.IntN(5)), scopes[rnd.IntN(len(scopes))]...))
		}
	}
	return w.step(upserts, removed...)
}

// Whatever changes and whoever is cut off, in the end each node holds what it should, and none ever went
// back. Replicas lag behind each other, logs are short, nodes move between replicas and pools and lose
// their files.
func TestRandomTransactions(t *testing.T) {
	const steps = 10_000
	rnd := rand.New(rand.NewPCG(*seed, 0))
	w, a, b := sample()
	var replicas []*replica
	for i := range 2 {
		r := newReplica(t, w, func(o *push.Options) {
			o.LogEntries = 100 * (1 + 10*i)
			o.Hold = 20 * time.Millisecond
			o.CatchUp = 20 * time.Millisecond
			o.Window = push.Window{First: time.Millisecond, Quiet: time.Millisecond, Busy: time.Millisecond, Most: time.Millisecond}
		})
		r.Publish(w.all(), nil)
		replicas = append(replicas, r)
	}
	nodes := []*node{newNode(a).run(t, replicas...), newNode(b).run(t, replicas[1], replicas[0])}
	behind := []int{len(w.trace), len(w.trace)}
	feed := func(j int, r *replica) {
		for ; behind[j] < len(w.trace); behind[j]++ {
			r.Publish(w.trace[behind[j]], nil)
		}
	}
	pools := []string{"pool/p", "pool/q"}
	for i := range steps {
		if rnd.IntN(500) == 0 {
			n := nodes[rnd.IntN(2)]
			w.allow(n.Reader, "cluster", "node/"+n.ID, pools[rnd.IntN(2)])
		}
		randomStep(rnd, w)
		for j, r := range replicas {
			if rnd.IntN(3) > 0 || i == steps-1 {
				feed(j, r)
			}
		}
		n := nodes[rnd.IntN(2)]
		switch rnd.IntN(200) {
		case 0, 1: // the connection breaks
			if c, err := n.conns.Conn(t.Context()); err == nil {
				n.conns.Failed(c)
			}
		case 2: // a restart from disk
			n.stop()
			n.run(t, replicas...)
		case 3: // let it catch up, so that tails are seen too
			for j, r := range replicas {
				feed(j, r)
			}
			n.reach(t, w.rev)
		case 4:
			if rnd.IntN(4) == 0 {
				n.stop()
				n.get(func() { clear(n.content); clear(n.versions); n.cp = nil })
				n.run(t, replicas...)
			}
		}
	}
	for _, n := range nodes {
		n.reach(t, w.rev)
		n.equal(t, w)
	}
	for i, r := range replicas {
		t.Logf("replica %d: resumes current %v, tail %v, types %v, full %v", i,
			r.metric(t, "cp_push_resumes_total", "current"), r.metric(t, "cp_push_resumes_total", "tail"),
			r.metric(t, "cp_push_resumes_total", "types"), r.metric(t, "cp_push_resumes_total", "full"))
		if n := r.metric(t, "cp_push_nacks_total", "Checkpoint"); n != 0 {
			t.Errorf("replica %d: %v checkpoints did not match", i, n)
		}
	}
}

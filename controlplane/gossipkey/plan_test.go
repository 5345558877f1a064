package gossipkey

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/model"
)

// rows makes keys from words such as "seals asked torn:opens".
func rows(words string) []*model.GossipKey {
	var out []*model.GossipKey
	for _, w := range strings.Fields(words) {
		k := &model.GossipKey{ID: model.GossipKeyID{}.New(), State: model.GossipKeyState(strings.TrimPrefix(w, "torn:"))}
		if k.State != model.GossipKeyAsked {
			k.SealedKey = []byte(w)
		}
		out = append(out, k)
	}
	return out
}

func readable(k *model.GossipKey) bool { return !bytes.HasPrefix(k.SealedKey, []byte("torn")) }

func fresh(id model.GossipKeyID) ([]byte, error) { return []byte("fresh " + id.String()), nil }

// apply writes edits as the store does, and objects to what it would refuse.
func apply(t *testing.T, keys []*model.GossipKey, e Edits) []*model.GossipKey {
	t.Helper()
	out := slices.Clone(keys)
	check := func() {
		in := map[model.GossipKeyState]int{}
		for _, k := range out {
			if in[k.State]++; k.State != model.GossipKeyRetired && in[k.State] > 1 {
				t.Fatalf("%d keys are %s", in[k.State], k.State)
			}
			if (k.State == model.GossipKeyAsked) != (k.SealedKey == nil) {
				t.Fatalf("key %+v", k)
			}
		}
	}
	for _, id := range e.Delete {
		out = slices.DeleteFunc(out, func(k *model.GossipKey) bool { return k.ID == id })
	}
	for _, u := range e.Update {
		out[slices.IndexFunc(out, func(k *model.GossipKey) bool { return k.ID == u.ID })] = u
		check()
	}
	out = append(out, e.Create...)
	check()
	return out
}

func states(keys []*model.GossipKey) string {
	var out []string
	for _, k := range keys {
		out = append(out, string(k.State))
	}
	return strings.Join(out, " ")
}

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		have string
		step Step
		then string
	}{
		{"", Begin, "seals"},
		{"asked", Begin, "seals"},
		{"seals", Rest, "seals"},
		{"seals asked", Teach, "seals opens"},
		{"seals opens", Seal, "retired seals"},
		{"retired seals", Forget, "seals"},
		{"seals opens asked", Seal, "retired seals asked"},
		{"retired seals asked", Forget, "seals asked"},
		// Nobody writes these but with psql, or with a lost key-encryption key.
		{"retired retired", Restore, "retired seals"},
		{"opens", Seal, "seals"},
		{"retired opens", Seal, "retired seals"},
		{"torn:seals", Discard, ""},
		{"torn:seals opens", Discard, "opens"},
		{"seals torn:retired asked", Discard, "seals asked"},
	} {
		keys := rows(c.have)
		step := Next(keys, readable)
		e, err := Take(step, keys, readable, fresh)
		if err != nil {
			t.Fatal(err)
		}
		if then := states(apply(t, keys, e)); step != c.step || then != c.then {
			t.Errorf("%q: %s to %q, want %s to %q", c.have, step, then, c.step, c.then)
		}
	}
	lost := errors.New("no key")
	if _, err := Take(Begin, nil, readable, func(model.GossipKeyID) ([]byte, error) { return nil, lost }); !errors.Is(err, lost) {
		t.Errorf("%v", err)
	}
}

// told is what nodes hold in a state of the rows, the sealing key first, as package snapshot compiles it.
func told(keys []*model.GossipKey) []string {
	var out []string
	for _, k := range keys {
		if k.State == model.GossipKeySeals {
			out = slices.Insert(out, 0, string(k.SealedKey))
		} else if k.State.Told() {
			out = append(out, string(k.SealedKey))
		}
	}
	return out
}

// TestNodesAlwaysTalk: whenever nodes apply what they are told, whoever takes the steps and however often he
// forgets what he saw, each node can open what any other seals; and rotations come to an end.
func TestNodesAlwaysTalk(t *testing.T) {
	sealed := 0
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		history := [][]*model.GossipKey{nil} // the rows at each revision
		head := func() []*model.GossipKey { return history[len(history)-1] }
		write := func(keys []*model.GossipKey) { history = append(history, keys) }
		e, _ := Take(Begin, nil, readable, fresh)
		write(apply(t, nil, e))
		nodes := make([]int, 2+rnd.IntN(4)) // the revision that each has applied
		for i := range nodes {
			nodes[i] = 1
		}
		type worker struct {
			seen []*model.GossipKey
			at   int
		}
		workers := make([]worker, 2)
		rotations := map[string]bool{}
		for range 600 {
			switch rnd.IntN(4) {
			case 0: // a node applies some of what there is
				n := rnd.IntN(len(nodes))
				nodes[n] += rnd.IntN(len(history) - nodes[n])
			case 1: // a worker looks at rows that may be old
				w := &workers[rnd.IntN(len(workers))]
				rev := max(1, len(history)-1-rnd.IntN(3))
				keys := history[rev]
				if rnd.IntN(10) == 0 {
					*w = worker{} // another process
				}
				if w.at == 0 || !same(w.seen, keys) {
					*w = worker{keys, rev}
				}
				step := Next(keys, readable)
				if step.Waits() && slices.ContainsFunc(nodes, func(applied int) bool { return applied < w.at }) {
					continue
				}
				if step != Rest && same(keys, head()) {
					e, _ := Take(step, head(), readable, fresh)
					write(apply(t, head(), e))
				}
			case 2: // somebody asks
				if rnd.IntN(10) == 0 && !slices.ContainsFunc(head(), func(k *model.GossipKey) bool { return k.State == model.GossipKeyAsked }) {
					write(append(slices.Clone(head()), rows("asked")...))
				}
			case 3: // something else changes
				write(head())
			}
			rotations[told(head())[0]] = true
			for _, a := range nodes {
				for _, b := range nodes {
					if seal := told(history[a])[0]; !slices.Contains(told(history[b]), seal) {
						t.Fatalf("seed %d: a node at %d (%s) seals for one at %d (%s)", seed, a, states(history[a]), b, states(history[b]))
					}
				}
			}
		}
		sealed += len(rotations)
	}
	if sealed < 500 {
		t.Errorf("%d keys have sealed: this shows nothing", sealed)
	}
}

func same(a, b []*model.GossipKey) bool {
	return slices.EqualFunc(a, b, func(x, y *model.GossipKey) bool { return x.ID == y.ID && x.State == y.State })
}

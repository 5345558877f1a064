package push

import (
	"bytes"
	"maps"
	"slices"

	"github.com/tidwall/btree"
	"google.golang.org/protobuf/types/known/timestamppb"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/resource"
)

// Kind is how a transaction brings its reader up to date.
type Kind string

// Kinds of transaction.
const (
	KindCurrent Kind = "current" // nothing differs: only a checkpoint
	KindTail    Kind = "tail"    // what the logs say has changed
	KindTypes   Kind = "types"   // the types that differ, in full
	KindFull    Kind = "full"    // every type in full: the reader has nothing
)

// plan is what brings a reader from one checkpoint to the newest revision.
type plan struct {
	kind       Kind
	checkpoint *nodev1.Checkpoint
	work       []*work
}

// work is what a plan does to one type.
type work struct {
	typeURL string
	reset   bool
	upserts []*snapshot.Resource
	removed []string
	trees   []*btree.Map[string, *snapshot.Resource] // instead of upserts and removed, if reset

	after string // name of the last resource taken from trees[0]
	pages int
	built bool // the last page is out
	acked bool
}

// plan compares what a reader has with the newest revision. It needs the lock; for writing if the result
// is to be carried out, which copies trees.
func (x *index) plan(have *nodev1.Checkpoint, scopes, types []string, carryOut bool) *plan {
	p := &plan{kind: KindCurrent, checkpoint: &nodev1.Checkpoint{
		Revision: uint64(x.rev), EncoderEpoch: x.epoch, ScopeHash: scopeHash(scopes),
	}}
	if !x.committed.IsZero() {
		p.checkpoint.CommittedAt = timestamppb.New(x.committed)
	}
	differ := x.differ(have, scopes, types, p.checkpoint)
	switch {
	case have == nil:
		p.kind = KindFull
		p.reset(x, scopes, types, carryOut)
	case len(differ) == 0:
	default:
		var refs map[string]map[string]bool
		covered := have.GetEncoderEpoch() == x.epoch && bytes.Equal(have.GetScopeHash(), p.checkpoint.GetScopeHash())
		if covered {
			refs, covered = x.tail(scopes, model.Revision(have.GetRevision()))
		}
		// A type that the reader never had is not in the logs as such.
		covered = covered && !slices.ContainsFunc(differ, func(t string) bool { return digestOf(have, t) == nil })
		if !covered {
			p.kind = KindTypes
			p.reset(x, scopes, differ, carryOut)
			break
		}
		p.kind = KindTail
		for _, t := range differ {
			w := &work{typeURL: t}
			for _, name := range slices.Sorted(maps.Keys(refs[t])) {
				if r := x.find(scopes, snapshot.Ref{TypeURL: t, Name: name}); r != nil {
					w.upserts = append(w.upserts, r)
				} else {
					w.removed = append(w.removed, name)
				}
			}
			p.work = append(p.work, w)
		}
	}
	return p
}

// differ fills in the digests of cp and returns the types of which the reader has something else.
func (x *index) differ(have *nodev1.Checkpoint, scopes, types []string, cp *nodev1.Checkpoint) []string {
	var differ []string
	for _, t := range types {
		count, digest := x.sum(scopes, t)
		d := &nodev1.TypeDigest{TypeUrl: t, Count: count, Digest: digest.Bytes()}
		cp.Types = append(cp.Types, d)
		old := digestOf(have, t)
		same := old != nil && old.GetCount() == count && bytes.Equal(old.GetDigest(), d.GetDigest())
		if !same && (old != nil || count > 0) {
			differ = append(differ, t)
		}
	}
	return differ
}

func (p *plan) reset(x *index, scopes, types []string, carryOut bool) {
	for _, t := range types {
		p.checkpoint.ResetTypes = append(p.checkpoint.ResetTypes, t)
		w := &work{typeURL: t, reset: true}
		if carryOut {
			w.trees = x.trees(scopes, t)
		}
		p.work = append(p.work, w)
	}
}

// full reports whether the plan may be large: it then waits for its turn.
func (p *plan) full() bool { return p.kind == KindFull || p.kind == KindTypes }

func digestOf(cp *nodev1.Checkpoint, typeURL string) *nodev1.TypeDigest {
	for _, d := range cp.GetTypes() {
		if d.GetTypeUrl() == typeURL {
			return d
		}
	}
	return nil
}

// pageBytes is how much one response carries, unless a single resource is larger.
const pageBytes = 512 << 10

// page takes the next part of the work. skip leaves out a resource.
func (w *work) page(skip func(*snapshot.Resource) bool) (upserts []*snapshot.Resource, removed []string) {
	room := pageBytes
	take := func(r *snapshot.Resource) bool {
		size := len(r.Any.GetValue()) + len(r.Name) + entryOverhead
		if size > room && len(upserts) > 0 {
			return false
		}
		room -= size
		upserts = append(upserts, r)
		return true
	}
	w.pages++
	for len(w.removed) > 0 && room > 0 {
		removed = append(removed, w.removed[0])
		room -= len(w.removed[0])
		w.removed = w.removed[1:]
	}
	for len(w.upserts) > 0 && room > 0 {
		if !skip(w.upserts[0]) && !take(w.upserts[0]) {
			break
		}
		w.upserts = w.upserts[1:]
	}
	for len(w.trees) > 0 && room > 0 {
		more := false
		w.trees[0].Ascend(w.after, func(name string, r *snapshot.Resource) bool {
			if name == w.after && name != "" {
				return true
			}
			if room <= 0 || !take(r) {
				more = true
				return false
			}
			w.after = name
			return true
		})
		if more {
			break
		}
		w.trees, w.after = w.trees[1:], ""
	}
	w.built = len(w.removed)+len(w.upserts)+len(w.trees) == 0
	return upserts, removed
}

// durable reports whether a type takes part in transactions.
func durable(typeURL string) bool {
	return typeOrder[typeURL] > 0 && !resource.Ephemeral(typeURL) && typeURL != resource.Checkpoint
}

// typeOrder is the place of each known type in apply order, from 1.
var typeOrder = func() map[string]int {
	order := map[string]int{}
	for _, t := range slices.Concat(resource.NodeTypes(), resource.ConnectorTypes()) {
		if order[t] == 0 {
			order[t] = len(order) + 1
		}
	}
	return order
}()

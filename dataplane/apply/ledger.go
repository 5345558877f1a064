package apply

import (
	"cmp"
	"iter"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
)

// ledger is what was received and what of it is good. It is replaced, never modified: a transaction that
// can't be applied leaves nothing behind.
type ledger struct {
	checkpoint *nodev1.Checkpoint
	received   map[string]map[string]string // type, name, version; rejected ones, too
	good       map[string]map[string]item   // the newest version of each name that could be decoded
	rejected   map[ref]*nodev1.Rejection
}

type ref struct{ typ, name string }

// item is a resource with what it says.
type item struct {
	raw   ads.Resource
	value any
}

// decoder makes a validated value of a resource. Several may be made at a time.
type decoder func(ads.Resource) (any, error)

func newLedger() *ledger {
	return &ledger{received: map[string]map[string]string{}, good: map[string]map[string]item{}, rejected: map[ref]*nodev1.Rejection{}}
}

// stage returns the ledger after a transaction, and the types whose good content it changes. A resource
// that can't be decoded is rejected: its last good version stays.
func (l *ledger) stage(t ads.Transaction, decode decoder) (next *ledger, changed map[string]bool) {
	next = &ledger{checkpoint: t.Checkpoint, received: maps.Clone(l.received), good: maps.Clone(l.good), rejected: maps.Clone(l.rejected)}
	changed = map[string]bool{}
	touched := map[string]bool{}
	for typ := range t.Upserts {
		touched[typ] = true
	}
	for typ := range t.Removed {
		touched[typ] = true
	}
	for _, typ := range t.Reset {
		touched[typ] = true
	}
	for typ := range touched {
		next.received[typ], next.good[typ] = cloned(l.received[typ]), cloned(l.good[typ])
		if slices.Contains(t.Reset, typ) {
			arrived := map[string]bool{}
			for _, r := range t.Upserts[typ] {
				arrived[r.Name] = true
			}
			for name := range l.received[typ] {
				if !arrived[name] {
					next.drop(typ, name, changed)
				}
			}
		}
		ahead := decodeAhead(t.Upserts[typ], l.good[typ], decode)
		for i, r := range t.Upserts[typ] {
			next.put(r, ahead(i), changed)
		}
		for _, name := range t.Removed[typ] {
			next.drop(typ, name, changed)
		}
	}
	return next, changed
}

func cloned[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}

// many is from how many resources on several processors decode them: a node that starts gets ten thousands at once.
const many = 256

// decodeAhead returns what decodes the i-th resource, which may have been done already, if it is not the one in use.
func decodeAhead(rs []ads.Resource, have map[string]item, decode decoder) func(i int) decoder {
	if len(rs) < many {
		return func(int) decoder { return decode }
	}
	type outcome struct {
		done  bool
		value any
		err   error
	}
	out, next := make([]outcome, len(rs)), atomic.Int64{}
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(rs); i = int(next.Add(1)) - 1 {
				if old, ok := have[rs[i].Name]; ok && old.raw.Version == rs[i].Version {
					continue
				}
				value, err := decode(rs[i])
				out[i] = outcome{true, value, err}
			}
		})
	}
	all.Wait()
	return func(i int) decoder {
		if o := out[i]; o.done {
			return func(ads.Resource) (any, error) { return o.value, o.err }
		}
		return decode
	}
}

func (l *ledger) put(r ads.Resource, decode decoder, changed map[string]bool) {
	l.received[r.TypeURL][r.Name] = r.Version
	if old, ok := l.good[r.TypeURL][r.Name]; ok && old.raw.Version == r.Version {
		delete(l.rejected, ref{r.TypeURL, r.Name}) // back to what is in use
		return
	}
	value, err := decode(r)
	if err != nil {
		l.rejected[ref{r.TypeURL, r.Name}] = &nodev1.Rejection{TypeUrl: r.TypeURL, Name: r.Name, Version: r.Version, Reason: strings.ReplaceAll(err.Error(), "\n", "; ")}
		return
	}
	delete(l.rejected, ref{r.TypeURL, r.Name})
	l.good[r.TypeURL][r.Name] = item{r, value}
	changed[r.TypeURL] = true
}

func (l *ledger) drop(typ, name string, changed map[string]bool) {
	delete(l.received[typ], name)
	delete(l.rejected, ref{typ, name})
	if _, ok := l.good[typ][name]; ok {
		delete(l.good[typ], name)
		changed[typ] = true
	}
}

// rejections is everything that is rejected now, in a fixed order: each checkpoint is answered with all of
// it, so that any replica knows.
func (l *ledger) rejections(more ...*nodev1.Rejection) []*nodev1.Rejection {
	out := slices.AppendSeq(more, maps.Values(l.rejected))
	slices.SortFunc(out, func(a, b *nodev1.Rejection) int {
		return cmp.Or(cmp.Compare(a.GetTypeUrl(), b.GetTypeUrl()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return out
}

// state is what the stream starts from.
func (l *ledger) state() ads.State {
	return ads.State{Checkpoint: l.checkpoint, Received: l.received}
}

// values yields the good values of a type, ordered by name.
func values[T any](l *ledger, typ string) []T {
	good := l.good[typ]
	out := make([]T, 0, len(good))
	for _, name := range slices.Sorted(maps.Keys(good)) {
		out = append(out, good[name].value.(T))
	}
	return out
}

// each yields what values does, in no order and without a copy of all.
func each[T any](l *ledger, typ string) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, g := range l.good[typ] {
			if !yield(g.value.(T)) {
				return
			}
		}
	}
}

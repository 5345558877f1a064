package model

import (
	"iter"
	"strings"

	"github.com/google/uuid"
)

// A table is an ordered map of rows that copies in O(1): the copy shares what neither side has changed.
type table[K kind, V any] struct{ t tree }

func newTable[K kind, V any]() table[K, V] { return table[K, V]{newTree()} }

func (t table[K, V]) copy() table[K, V] { return table[K, V]{t.t.copy()} }

func (t table[K, V]) get(id ID[K]) *V {
	v, _ := t.t.get(entry{id: id.UUID}).v.(*V)
	return v
}

func (t table[K, V]) set(id ID[K], v *V) {
	if v == nil {
		t.t.remove(entry{id: id.UUID})
		return
	}
	t.t.set(entry{id: id.UUID, v: v})
}

// all yields the rows ordered by id, which is by age.
func (t table[K, V]) all() iter.Seq[*V] {
	return func(yield func(*V) bool) {
		t.t.ascend(entry{}, func(e entry) bool { return yield(e.v.(*V)) })
	}
}

// An index is an ordered set of (key, id) pairs that copies in O(1).
type index struct{ t tree }

func newIndex() index { return index{newTree()} }

func (x index) copy() index                     { return index{x.t.copy()} }
func (x index) add(key string, id uuid.UUID)    { x.t.set(entry{key: key, id: id}) }
func (x index) remove(key string, id uuid.UUID) { x.t.remove(entry{key: key, id: id}) }

// of yields the ids of a key in order.
func (x index) of(key string) iter.Seq[uuid.UUID] {
	return func(yield func(uuid.UUID) bool) {
		x.t.ascend(entry{key: key}, func(p entry) bool { return p.key == key && yield(p.id) })
	}
}

// under yields the entries whose key starts with prefix, in order.
func (x index) under(prefix string) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		x.t.ascend(entry{key: prefix}, func(p entry) bool { return strings.HasPrefix(p.key, prefix) && yield(p) })
	}
}

// keys yields the different keys that start with prefix, in order; it costs O(log n) for each, however
// many ids a key has.
func (x index) keys(prefix string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for from := prefix; ; {
			found := ""
			x.t.ascend(entry{key: from}, func(p entry) bool {
				if strings.HasPrefix(p.key, prefix) {
					found = p.key
				}
				return false
			})
			if found == "" || !yield(found) {
				return
			}
			from = found + "\x00" // the least key that is greater
		}
	}
}

// key makes an index key of an id.
func key[K kind](id ID[K]) string { return string(id.UUID[:]) }

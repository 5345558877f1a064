package model

import (
	"bytes"
	"iter"
	"strings"

	"github.com/google/uuid"
	"github.com/tidwall/btree"
)

// A table is an ordered map of rows that copies in O(1): the copy shares what neither side has changed.
type table[K kind, V any] struct{ t *btree.BTreeG[row[K, V]] }

type row[K kind, V any] struct {
	id ID[K]
	v  *V
}

func newTable[K kind, V any]() table[K, V] {
	less := func(a, b row[K, V]) bool { return a.id.Compare(b.id) < 0 }
	return table[K, V]{btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})}
}

func (t table[K, V]) copy() table[K, V] { return table[K, V]{t.t.Copy()} }

func (t table[K, V]) get(id ID[K]) *V {
	r, _ := t.t.Get(row[K, V]{id: id})
	return r.v
}

func (t table[K, V]) set(id ID[K], v *V) {
	if v == nil {
		t.t.Delete(row[K, V]{id: id})
		return
	}
	t.t.Set(row[K, V]{id, v})
}

// all yields the rows ordered by id, which is by age.
func (t table[K, V]) all() iter.Seq[*V] {
	return func(yield func(*V) bool) {
		t.t.Scan(func(r row[K, V]) bool { return yield(r.v) })
	}
}

// An index is an ordered set of (key, id) pairs that copies in O(1).
type index struct{ t *btree.BTreeG[pair] }

type pair struct {
	key string
	id  uuid.UUID
}

func newIndex() index {
	less := func(a, b pair) bool {
		if a.key != b.key {
			return a.key < b.key
		}
		return bytes.Compare(a.id[:], b.id[:]) < 0
	}
	return index{btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})}
}

func (x index) copy() index                     { return index{x.t.Copy()} }
func (x index) add(key string, id uuid.UUID)    { x.t.Set(pair{key, id}) }
func (x index) remove(key string, id uuid.UUID) { x.t.Delete(pair{key, id}) }

// of yields the ids of a key in order.
func (x index) of(key string) iter.Seq[uuid.UUID] {
	return func(yield func(uuid.UUID) bool) {
		x.t.Ascend(pair{key: key}, func(p pair) bool { return p.key == key && yield(p.id) })
	}
}

// under yields the pairs whose key starts with prefix, in order.
func (x index) under(prefix string) iter.Seq[pair] {
	return func(yield func(pair) bool) {
		x.t.Ascend(pair{key: prefix}, func(p pair) bool { return strings.HasPrefix(p.key, prefix) && yield(p) })
	}
}

// keys yields the different keys that start with prefix, in order; it costs O(log n) for each, however
// many ids a key has.
func (x index) keys(prefix string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for from := prefix; ; {
			found := ""
			x.t.Ascend(pair{key: from}, func(p pair) bool {
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

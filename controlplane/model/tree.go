package model

import (
	"bytes"

	"github.com/google/uuid"
	"github.com/tidwall/btree"
)

// A tree is an ordered map of entries that copies in O(1). It is an interface, and the one tree for rows of all
// kinds, for the compiler's sake: a generic tree inside Model would be compiled anew, once for each kind of row,
// in every package that imports this one (5,000 functions in each of fifty).
type tree interface {
	copy() tree
	get(key entry) entry // the zero entry if there is none
	set(e entry)
	remove(key entry)
	ascend(from entry, yield func(entry) bool)
}

// An entry is ordered by its key, then by its id.
type entry struct {
	key string
	id  uuid.UUID
	v   any // of a table: *V
}

func (e entry) less(o entry) bool {
	if e.key != o.key {
		return e.key < o.key
	}
	return bytes.Compare(e.id[:], o.id[:]) < 0
}

type entries struct{ t *btree.BTreeG[entry] }

//go:noinline
func newTree() tree {
	return entries{btree.NewBTreeGOptions(entry.less, btree.Options{NoLocks: true})}
}

func (x entries) copy() tree       { return entries{x.t.Copy()} }
func (x entries) set(e entry)      { x.t.Set(e) }
func (x entries) remove(key entry) { x.t.Delete(key) }

func (x entries) get(key entry) entry {
	e, _ := x.t.Get(key)
	return e
}

func (x entries) ascend(from entry, yield func(entry) bool) { x.t.Ascend(from, yield) }

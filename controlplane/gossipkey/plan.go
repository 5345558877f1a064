// Package gossipkey replaces the key of the gossip between nodes without a moment in which two of them can't
// talk.
package gossipkey

import (
	"slices"

	"github.com/warrenedge/warren/controlplane/model"
)

// A Step takes the keys from one state to the next. Where a rotation is, is in the rows alone: any replica can
// take the next step, whoever took the last one.
type Step string

// Steps.
const (
	Rest    Step = "rest"    // there is nothing to do
	Discard Step = "discard" // a key can't be opened: nodes don't have it
	Begin   Step = "begin"   // there is no key yet: a new one seals
	Restore Step = "restore" // no key seals, because somebody removed it by hand: one that all nodes have does
	Teach   Step = "teach"   // a rotation is asked for: nodes learn a new key, and only open with it
	Seal    Step = "seal"    // all nodes can open with the new key: they seal with it
	Forget  Step = "forget"  // no node seals with the old key any more: it goes
)

// Waits reports whether all nodes must have applied the present state before the step is taken.
func (s Step) Waits() bool { return s == Seal || s == Forget }

// Next returns the step that keys call for. readable reports whether a key that nodes are told can be opened.
func Next(keys []*model.GossipKey, readable func(*model.GossipKey) bool) Step {
	in := map[model.GossipKeyState]int{}
	told := 0
	for _, k := range keys {
		if in[k.State]++; !k.State.Told() {
			continue
		}
		if told++; !readable(k) {
			return Discard
		}
	}
	switch {
	case told == 0:
		return Begin
	case in[model.GossipKeyOpens] > 0:
		return Seal
	case in[model.GossipKeySeals] == 0:
		return Restore
	case in[model.GossipKeyRetired] > 0:
		return Forget
	case in[model.GossipKeyAsked] > 0:
		return Teach
	}
	return Rest
}

// Edits are what a step does to the rows, in this order: at no time two keys seal.
type Edits struct {
	Delete []model.GossipKeyID
	Update []*model.GossipKey
	Create []*model.GossipKey
}

// Take returns what a step does to keys. fresh makes a sealed key for a row.
func Take(s Step, keys []*model.GossipKey, readable func(*model.GossipKey) bool, fresh func(model.GossipKeyID) ([]byte, error)) (e Edits, err error) {
	to := func(k *model.GossipKey, state model.GossipKeyState) *model.GossipKey {
		next := *k
		next.State = state
		if k.State == model.GossipKeyAsked && err == nil {
			next.SealedKey, err = fresh(k.ID)
		}
		return &next
	}
	move := func(from, state model.GossipKeyState) {
		for _, k := range keys {
			if k.State == from {
				e.Update = append(e.Update, to(k, state))
			}
		}
	}
	remove := func(drop func(*model.GossipKey) bool) {
		for _, k := range keys {
			if drop(k) {
				e.Delete = append(e.Delete, k.ID)
			}
		}
	}
	switch s {
	case Discard:
		remove(func(k *model.GossipKey) bool { return k.State.Told() && !readable(k) })
	case Begin:
		if move(model.GossipKeyAsked, model.GossipKeySeals); len(e.Update) == 0 {
			e.Create = append(e.Create, to(&model.GossipKey{ID: model.GossipKeyID{}.New(), State: model.GossipKeyAsked}, model.GossipKeySeals))
		}
	case Restore: // all others are retired, and every node has them
		e.Update = append(e.Update, to(newest(keys), model.GossipKeySeals))
	case Teach:
		move(model.GossipKeyAsked, model.GossipKeyOpens)
	case Seal:
		move(model.GossipKeySeals, model.GossipKeyRetired)
		move(model.GossipKeyOpens, model.GossipKeySeals)
	case Forget:
		remove(func(k *model.GossipKey) bool { return k.State == model.GossipKeyRetired })
	}
	return e, err
}

// newest is the youngest key that nodes are told.
func newest(keys []*model.GossipKey) *model.GossipKey {
	told := slices.DeleteFunc(slices.Clone(keys), func(k *model.GossipKey) bool { return !k.State.Told() })
	return slices.MaxFunc(told, func(a, b *model.GossipKey) int { return a.ID.Compare(b.ID) })
}

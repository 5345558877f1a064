// Package accesskey replaces the keys that sign access tokens before they are old.
package accesskey

import (
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/accesstoken"
)

const (
	// Signs is how long one key signs.
	Signs = 24 * time.Hour
	// Verifies is how long nodes and targets know a key after it has ceased to sign: no token of it is good any more.
	Verifies = accesstoken.Life + 2*accesstoken.Skew
)

// A Step takes the keys from one state to the next. Where a rotation is, is in the rows alone.
type Step string

// Steps.
const (
	Rest    Step = "rest"
	Discard Step = "discard" // a key can't be opened: it will sign nothing
	Begin   Step = "begin"   // there is no key that signs: a new one does
	Publish Step = "publish" // the one that signs is old: nodes learn a new one
	Sign    Step = "sign"    // all nodes know the new one: it signs
	Forget  Step = "forget"  // no token of a retired one is good
)

// Next returns the step that the keys call for. readable reports whether a key can be opened.
func Next(keys []*model.AccessKey, now time.Time, readable func(*model.AccessKey) bool) Step {
	var current, next *model.AccessKey
	forget := false
	for _, k := range keys {
		if k.State != model.AccessKeyRetired && !readable(k) {
			return Discard
		}
		switch k.State {
		case model.AccessKeyCurrent:
			current = k
		case model.AccessKeyNext:
			next = k
		case model.AccessKeyRetired:
			forget = forget || now.Sub(k.Updated) >= Verifies
		}
	}
	switch {
	case next != nil:
		return Sign // also where none signs: nodes have learnt this one
	case current == nil:
		return Begin
	case forget:
		return Forget
	case now.Sub(current.Updated) >= Signs:
		return Publish
	}
	return Rest
}

// Edits are what a step does to the rows, in this order: at no time two keys sign.
type Edits struct {
	Delete []model.AccessKeyID
	Move   []Move
	Create model.AccessKeyState // of a new row; "": none
}

// Move is another state for a row.
type Move struct {
	ID    model.AccessKeyID
	State model.AccessKeyState
}

// Take returns what a step does to the keys.
func Take(s Step, keys []*model.AccessKey, now time.Time, readable func(*model.AccessKey) bool) (e Edits) {
	move := func(from, to model.AccessKeyState) {
		for _, k := range keys {
			if k.State == from {
				e.Move = append(e.Move, Move{k.ID, to})
			}
		}
	}
	switch s {
	case Discard:
		for _, k := range keys {
			if k.State != model.AccessKeyRetired && !readable(k) {
				e.Move = append(e.Move, Move{k.ID, model.AccessKeyRetired}) // what it has signed is still good
			}
		}
	case Begin:
		e.Create = model.AccessKeyCurrent
	case Publish:
		e.Create = model.AccessKeyNext
	case Sign:
		move(model.AccessKeyCurrent, model.AccessKeyRetired)
		move(model.AccessKeyNext, model.AccessKeyCurrent)
	case Forget:
		for _, k := range keys {
			if k.State == model.AccessKeyRetired && now.Sub(k.Updated) >= Verifies {
				e.Delete = append(e.Delete, k.ID)
			}
		}
	}
	return e
}

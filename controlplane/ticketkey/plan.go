// Package ticketkey gives the nodes of each pool keys of TLS session tickets to share, and replaces them.
package ticketkey

import (
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

const (
	// Seals is how long one key seals. Who gets hold of a key can read what TLS 1.2 resumes with its tickets.
	Seals = 12 * time.Hour
	// Opens is how long tickets of a key are honoured after it has ceased to seal.
	Opens = 24 * time.Hour
)

// A Step takes the keys of a pool from one state to the next. Where a rotation is, is in the rows alone.
type Step string

// Steps.
const (
	Rest    Step = "rest"
	Discard Step = "discard" // a key can't be opened: nodes don't have it
	Begin   Step = "begin"   // there is no key that seals: a new one does
	Teach   Step = "teach"   // the one that seals is old: nodes learn a new one
	Seal    Step = "seal"    // all nodes can open with the new one: they seal with it
	Forget  Step = "forget"  // nobody's ticket is that old
)

// Next returns the step that the keys of one pool call for. readable reports whether a key can be opened.
func Next(keys []*model.TicketKey, now time.Time, readable func(*model.TicketKey) bool) Step {
	var seals, opens *model.TicketKey
	forget := false
	for _, k := range keys {
		if !readable(k) {
			return Discard
		}
		switch k.State {
		case model.TicketKeySeals:
			seals = k
		case model.TicketKeyOpens:
			opens = k
		case model.TicketKeyRetired:
			forget = forget || now.Sub(k.Updated) >= Opens
		}
	}
	switch {
	case opens != nil:
		return Seal // also where none seals: nodes have learnt this one
	case seals == nil:
		return Begin
	case forget:
		return Forget
	case now.Sub(seals.Updated) >= Seals:
		return Teach
	}
	return Rest
}

// Edits are what a step does to the rows, in this order: at no time two keys seal.
type Edits struct {
	Delete []model.TicketKeyID
	Move   []Move
	Create model.TicketKeyState // of a new row; "": none
}

// Move is another state for a row.
type Move struct {
	ID    model.TicketKeyID
	State model.TicketKeyState
}

// Take returns what a step does to the keys of one pool.
func Take(s Step, keys []*model.TicketKey, now time.Time, readable func(*model.TicketKey) bool) Edits {
	var e Edits
	move := func(from, to model.TicketKeyState) {
		for _, k := range keys {
			if k.State == from {
				e.Move = append(e.Move, Move{k.ID, to})
			}
		}
	}
	switch s {
	case Discard:
		for _, k := range keys {
			if !readable(k) {
				e.Delete = append(e.Delete, k.ID)
			}
		}
	case Begin:
		e.Create = model.TicketKeySeals
	case Teach:
		e.Create = model.TicketKeyOpens
	case Seal:
		move(model.TicketKeySeals, model.TicketKeyRetired)
		move(model.TicketKeyOpens, model.TicketKeySeals)
	case Forget:
		for _, k := range keys {
			if k.State == model.TicketKeyRetired && now.Sub(k.Updated) >= Opens {
				e.Delete = append(e.Delete, k.ID)
			}
		}
	}
	return e
}
